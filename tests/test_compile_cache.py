import os
import shutil
import subprocess
import sys
from pathlib import Path

import riskpipe
from riskpipe.compile_cache import compiled_from

PACKAGE = Path(riskpipe.__file__).resolve().parent
CALL = """
import numpy as np
from riskpipe.calibrate.backtest import loops
from riskpipe.ingest import names
print(loops.__file__)
found = [f for module in (loops, names) for f in vars(module).values() if hasattr(f, "stats")]
print([(f.py_func.__name__, f._cache.cache_path) for f in found])
"""


def rooms(module: str) -> set[str]:
    return {path.relative_to(PACKAGE).parts[0] for path in compiled_from(PACKAGE / module)}


def test_the_kernel_is_compiled_from_the_model_and_nothing_around_it():
    sources = rooms("liquidation/kernel.py")
    assert {"liquidation", "domain", "pricing", "compiled.py", "numerics.py"} <= sources
    assert not sources & {"run", "cube", "report", "measures", "calibrate", "ingest", "compute", "config", "cli.py"}


def copied(folder: Path) -> Path:
    shutil.copytree(PACKAGE, folder / "riskpipe", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def places(folder: Path, cache: Path) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", CALL]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=folder).stdout
    where, found = told.splitlines()
    assert where.startswith(str(folder)), "the copy is not what was imported"
    return {Path(path).name.partition("-")[0]: path for _, path in eval(found)}  # noqa: S307


def test_copies_share_what_is_compiled_and_only_a_change_below_a_function_moves_it(tmp_path):
    one, other = copied(tmp_path / "one"), copied(tmp_path / "other")
    cache = tmp_path / "cache"
    before = places(one, cache)
    assert set(before) == {"calibrate.backtest.loops", "ingest.names"}
    assert places(other, cache) == before
    with (one / "riskpipe" / "ingest" / "names.py").open("a") as stream:
        stream.write("\n# a remark\n")
    after = places(one, cache)
    assert after["ingest.names"] != before["ingest.names"]
    assert after["calibrate.backtest.loops"] == before["calibrate.backtest.loops"]


def test_a_second_process_compiles_nothing_whatever_the_place_of_the_package(tmp_path):
    tail = """
x = np.arange(9.0)
loops.rolling_lowest_mean(x, 3, 2.0, np.empty(3), np.empty(9))
stats = loops.rolling_lowest_mean.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
    counts = []
    for folder in (copied(tmp_path / "one"), copied(tmp_path / "other")):
        environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-c", CALL + tail]
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=folder).stdout
        counts.append(told.splitlines()[-1])
    assert counts == ["0 1", "1 0"]


def test_of_processes_that_need_a_function_at_once_one_compiles_it(tmp_path):
    tail = """
loops.rolling_lowest_mean(np.arange(9.0), 3, 2.0, np.empty(3), np.empty(9))
print(sum(loops.rolling_lowest_mean.stats.cache_misses.values()))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", CALL + tail]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate(timeout=120)[0].splitlines()[-1] for process in processes]
    assert sorted(told) == ["0", "0", "1"]


def test_a_function_is_compiled_where_nothing_can_be_kept(tmp_path):
    (tmp_path / "file").write_text("no folder")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "file")}
    call = "import numpy as np; from riskpipe.calibrate.backtest import loops; kept = np.empty(9); "
    call += "loops.rolling_lowest_mean(np.arange(9.0), 3, 2.0, np.empty(3), kept); print(kept[-1])"
    told = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() not in {"", "nan"}
