"""Stores by URI. One more backend is one more class that keeps `Store`'s promises, and one more branch here."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from riskpipe.cube.local import LocalStore
from riskpipe.cube.memory import MemoryStore
from riskpipe.cube.protocol import Store
from riskpipe.errors import StoreError

__all__ = ["LocalStore", "MemoryStore", "Store", "open_store"]


def open_store(uri: str, *, must_exist: bool = False) -> Store:
    """Open a store; nothing is created before the first write.

    Parameters
    ----------
    must_exist: refuse a folder that is not there; for readers.
    uri: a folder's path, `file://` and its absolute path, or `memory://` and a name (one per process and name).

    Raises
    ------
    StoreError: for any other scheme, where the path is not a folder, and where it must exist and does not.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "memory":
        return MemoryStore(f"memory://{rest.strip('/')}")
    if separator and scheme == "file":
        parts = urlsplit(uri)
        if parts.netloc not in {"", "localhost"}:
            raise StoreError(f"store {uri}: a file:// URI names no host; write file:///absolute/path")
        path = Path(unquote(parts.path))
    elif separator:
        raise StoreError(
            f"store {uri}: scheme {scheme}:// is not built in; built in are local folders, file:// and memory://"
        )
    else:
        path = Path(uri)
    if not uri or (path.exists() and not path.is_dir()):
        raise StoreError(f"store {uri!r} is not a folder")
    if must_exist and not path.exists():
        raise StoreError(f"there is no store at {path.absolute()}: check the path, or run a night to make one")
    return LocalStore(Path(path.absolute()))
