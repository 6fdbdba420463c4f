"""Where compiled loops are kept: under what they were compiled from, so that nothing else makes them stale.

Numba looks only at the file of the function it loads: a kernel compiled before a change in a module it calls would be
taken for current, and one compiled for another CPU would crash. Here every module's functions lie under the hash of
all sources that the module imports, at whatever place they are installed, and under the numerics fingerprint: processes
and copies of the package share them, and a change to a report compiles nothing. Of several processes that need a
function at the same time one compiles, and the others wait for what it leaves.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FunctionType

from filelock import FileLock
from numba.core import config
from numba.core.caching import _CacheLocator
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

from riskpipe.numerics import numerics_fingerprint

_PACKAGE = Path(__file__).resolve().parent
_PATIENCE_S = 600.0
"""How long a process waits for another one that compiles: far longer than any function takes."""
_IMPORTED = re.compile(rb"^[ \t]*(?:from|import)[ \t]+" + _PACKAGE.name.encode() + rb"((?:\.\w+)*)", re.MULTILINE)


def use_compile_cache() -> None:
    """Have numba keep this package's functions by their sources. Base: NUMBA_CACHE_DIR, else ~/.cache/riskpipe.

    Functions of other packages are kept where numba would keep them.
    """
    own = f"{__name__}.{SourcesLocator.__name__}"
    others = "UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator,IPythonCacheLocator,ZipCacheLocator"
    config.CACHE_LOCATOR_CLASSES = f"{own},{config.CACHE_LOCATOR_CLASSES or others}"


def compiled_once(dispatcher: Dispatcher) -> Dispatcher:
    """Have a function of this package compiled by one process of a host at a time, and return it.

    Locks are taken in the order of calls, which has no circle, and within numba's own: no two processes or threads can
    wait for each other.
    """
    compile_now = dispatcher.compile
    function = dispatcher.py_func

    def compile_or_wait(signature: object) -> object:
        with global_compiler_lock, _alone(Path(function.__code__.co_filename).resolve(), function.__qualname__):
            return compile_now(signature)

    dispatcher.compile = compile_or_wait
    return dispatcher


@contextmanager
def _alone(module: Path, name: str) -> Iterator[None]:
    """Keep other processes from compiling a function; where files cannot be locked, each compiles its own."""
    lock = FileLock(_folder(module) / f"{name}.lock", timeout=_PATIENCE_S, is_singleton=True)
    try:
        lock.acquire()
    except OSError:  # Timeout is one
        yield
        return
    try:
        yield
    finally:
        lock.release()


@cache
def compiled_from(module: Path) -> frozenset[Path]:
    """Every source that a module of this package imports, at once or through others, and its own.

    Where a whole package is imported from, all of its modules count.
    """
    found: set[Path] = set()
    ahead = [module.resolve()]
    while ahead:
        path = ahead.pop()
        if path not in found:
            found.add(path)
            ahead.extend(source for name in _imports(path) for source in _files(name))
    return frozenset(found)


@cache
def _imports(path: Path) -> frozenset[str]:
    return frozenset(name.decode() for name in _IMPORTED.findall(path.read_bytes()))


@cache
def _files(name: str) -> tuple[Path, ...]:
    """Files of a module by its dotted name below the package, `.domain.book`, those of the packages above it too."""
    parts = name.split(".")[1:]
    above = tuple(_PACKAGE.joinpath(*parts[:depth], "__init__.py") for depth in range(len(parts)))
    place = _PACKAGE.joinpath(*parts)
    return (*above, *(place.rglob("*.py") if place.is_dir() else (place.with_suffix(".py"),)))


@cache
def _folder(module: Path) -> Path:
    digest = hashlib.sha256()
    for path in sorted(compiled_from(module), key=lambda path: path.relative_to(_PACKAGE).as_posix()):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or Path.home() / ".cache" / "riskpipe")
    name = module.relative_to(_PACKAGE).with_suffix("").as_posix().replace("/", ".")
    return base / numerics_fingerprint().sha / f"{name}-{digest.hexdigest()[:16]}"


class SourcesLocator(_CacheLocator):
    """Numba's locator of one function's compiled forms."""

    def __init__(self, module: Path, line: int) -> None:
        self._module, self._line = module, line

    def get_cache_path(self) -> str:
        """Folder of the function's module at its present sources."""
        return str(_folder(self._module))

    def get_source_stamp(self) -> str:
        """Name of that folder: what is in it was compiled from these sources."""
        return _folder(self._module).name

    def get_disambiguator(self) -> str:
        """Line of the function, apart from others of its name."""
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: FunctionType, py_file: str) -> "SourcesLocator | None":
        """Make the locator of a function of this package; None for any other, and where nothing can be written."""
        module = Path(py_file).resolve()
        if not module.is_relative_to(_PACKAGE):
            return None
        locator = cls(module, py_func.__code__.co_firstlineno)
        try:
            locator.ensure_cache_path()
        except OSError:
            return None
        return locator
