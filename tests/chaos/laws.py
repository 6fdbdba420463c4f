"""Laws that hold whatever happens to a night."""

from pathlib import Path

from chaos.failure import Failure
from chaos.processes import Ended
from chaos.scene import Scene
from support.nights import assert_same_bits, decoded

from riskpipe.cube.catalogue import night_names
from riskpipe.cube.manifest import verify_published
from riskpipe.cube.store import open_store

STORE, COMPUTE = 3, 4
"""Exit codes."""


def is_published(store: Path | str) -> bool:
    """Whether a store has a published night."""
    return bool(night_names(open_store(str(store))))


def nothing_or_right(scene: Scene, store: Path | str) -> bool:
    """Nothing is published, or what is published is what an undisturbed night publishes; returns whether it is."""
    if not is_published(store):
        return False
    try:
        assert_same_bits(scene.truth, decoded(store))
    except AssertionError as error:
        raise Failure(f"the published cube differs from an undisturbed one's in {error}") from error
    return True


def right(scene: Scene, store: Path | str) -> None:
    """The right night is published, and every stored byte is as its manifest says."""
    if not nothing_or_right(scene, store):
        raise Failure("a night ended well and nothing is published")
    problems = {name: found for name, found in verify_published(open_store(str(store))).items() if found}
    if problems:
        raise Failure(f"verify finds differences in a published night: {problems}")


def no_false_success(scene: Scene, store: Path | str, ended: Ended, *codes: int, is_traced: bool = False) -> None:
    """A command that says it succeeded has published the right night; any other end is a known error that says why.

    `is_traced`: it logs tracebacks of what it tries again or reports, as Prefect does.
    """
    if ended.code == 0:
        right(scene, store)
        return
    nothing_or_right(scene, store)
    if ended.code not in codes:
        raise Failure(f"exit {ended.code}, expected 0 or one of {codes}\n{ended.output[-3000:]}")
    if "riskpipe: " not in ended.output or ("Traceback" in ended.output and not is_traced):
        raise Failure(f"exit {ended.code} without one clear message\n{ended.output[-3000:]}")
