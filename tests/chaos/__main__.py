"""Disturb nights, seed by seed: `make chaos SEEDS=20 TARGET=worker`, or `python -m tests.chaos --target worker`.

Results are kept; what passed with these sources is not done again. Several targets run side by side, each in a process
of its own, with `--at-once 2`. Exits 1 where a law was broken, with seed and what differed, and 2 where a target could
not be tried.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")  # noqa: S108  a folder of a random name in it
"""Where nights are disturbed, if it is there: processes die and the machine does not, so that no disk is waited for."""
sys.path.append(str(ROOT / "tests"))

from chaos.results import Result, Results, table  # noqa: E402
from chaos.scene import Scene, make_scene, open_scene  # noqa: E402
from chaos.shared import close_shared  # noqa: E402
from chaos.targets import TARGETS  # noqa: E402

from riskpipe.numerics import source_hash  # noqa: E402


def main() -> int:
    """Run seeds of targets, one after the other, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=["all", *TARGETS], action="append", help="what happens, repeatable (all)")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds of each target (20)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--at-once", type=int, default=1, help="how many targets side by side (1)")
    parser.add_argument("--afresh", action="store_true", help="do again what passed before")
    parser.add_argument("--results", type=Path, default=ROOT / "chaos.jsonl", help="where results are kept")
    parser.add_argument("--scene", type=Path, help="a folder in which another process has made the undisturbed night")
    parser.add_argument("--keep", type=Path, help="a folder that gets what failing seeds left")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    results = Results(given.results, source_hash())
    names = given.target or ["all"]
    names = list(TARGETS) if "all" in names else names
    seeds = range(given.first, given.first + given.seeds)
    left_out = {name: why for name in names if (why := TARGETS[name].why_not()) is not None}
    passed = set() if given.afresh else results.passed()
    todo = [(name, seed) for name in names if name not in left_out for seed in seeds if (name, seed) not in passed]
    if todo:
        with tempfile.TemporaryDirectory(prefix="riskpipe-chaos-", dir=MEMORY if MEMORY.is_dir() else None) as scratch:
            scene = _scene(Path(scratch), given.scene, len(todo))
            if given.at_once > 1:
                _side_by_side(list(dict.fromkeys(name for name, _ in todo)), given, scene)
                results = Results(given.results, source_hash())
            else:
                _disturb(todo, scene, Path(scratch), results, given.keep)
    sys.stdout.write(table(results, names, seeds, left_out))
    failed = results.failed(names, seeds)
    for result in failed:
        sys.stdout.write(f"\n{result.target}, seed {result.seed}: {result.told}\n")
        sys.stdout.write(f"again: make chaos TARGET={result.target} SEEDS=1 FIRST={result.seed}\n")
    if failed:
        return 1
    return 2 if set(names) == left_out.keys() else 0


def _scene(scratch: Path, made: Path | None, n: int) -> Scene:
    if made is not None:
        return open_scene(made)
    sys.stdout.write(f"{n} seeds to do; first an undisturbed night\n")
    sys.stdout.flush()
    return make_scene(scratch / "scene")


def _side_by_side(names: list[str], given: argparse.Namespace, scene: Scene) -> None:
    """Give every target a process of its own, some at a time; their results are where everybody looks."""
    options = ["--seeds", str(given.seeds), "--first", str(given.first), "--results", str(given.results)]
    options += ["--scene", str(scene.folder)]
    options += ["--afresh"] if given.afresh else []
    options += ["--keep", str(given.keep)] if given.keep else []
    ahead, running = names[::-1], []
    try:
        while ahead or running:
            while ahead and len(running) < given.at_once:
                command = [sys.executable, "-m", "tests.chaos", "--target", ahead.pop(), *options]
                running.append(subprocess.Popen(command, cwd=ROOT))
            time.sleep(0.2)
            running = [process for process in running if process.poll() is None]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _disturb(todo: list[tuple[str, int]], scene: Scene, scratch: Path, results: Results, keep: Path | None) -> None:
    try:
        for name, seed in todo:
            folder = scratch / f"{name}-{seed}"
            started = time.monotonic()
            try:
                told, is_good = TARGETS[name].run(scene, seed, folder), True
            except Exception as error:  # noqa: BLE001  whatever it was, other seeds still tell something
                told, is_good = f"{type(error).__name__}: {error}", False
            result = Result(name, seed, is_good, round(time.monotonic() - started, 1), told)
            results.add(result)
            sys.stdout.write(f"{'ok    ' if is_good else 'FAILED'} {name} {seed} ({result.seconds:.0f} s): {told}\n")
            sys.stdout.flush()
            if not is_good and keep is not None and folder.exists():
                shutil.copytree(folder, keep / folder.name, dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        close_shared()


if __name__ == "__main__":
    sys.exit(main())
