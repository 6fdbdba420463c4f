import os
import subprocess
import sys
from pathlib import Path

import riskpipe
from riskpipe.numerics import Fingerprint, numerics_fingerprint, source_hash

VERSIONS = "from riskpipe.compute.units import *; print(library_versions()['zarr'], numerics_fingerprint().sha)"
CODE = "from riskpipe.numerics import *; print(numerics_fingerprint().sha, source_hash())"


def run(code=CODE, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    ).stdout.split()


def test_two_processes_of_one_machine_have_one_fingerprint_and_source_hash():
    assert run() == [numerics_fingerprint().sha, source_hash()]


def test_what_changes_bits_changes_the_fingerprint():
    assert run(NUMBA_CPU_NAME="generic")[0] != numerics_fingerprint().sha
    fewer = numerics_fingerprint().facts["numpy_dispatch"].split(",")[-1]
    assert run(NPY_DISABLE_CPU_FEATURES=fewer)[0] != numerics_fingerprint().sha


def test_differences_name_each_fact():
    mine = numerics_fingerprint()
    other = Fingerprint.from_facts({**mine.facts, "libm": "glibc 1.0"})
    assert mine.differences(mine) == []
    assert mine.differences(other) == [f"libm: {mine.facts['libm']}, not glibc 1.0"]
    assert Fingerprint.from_facts(mine.as_json()["facts"]) == mine


def test_another_version_of_a_library_is_told_and_keeps_the_blocks_that_are_done(tmp_path):
    (tmp_path / "zarr-3.0.0.dist-info").mkdir()
    (tmp_path / "zarr-3.0.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: zarr\nVersion: 3.0.0\n")
    sources = os.pathsep.join([str(tmp_path), str(Path(riskpipe.__file__).parents[1])])
    assert run(VERSIONS, PYTHONPATH=sources) == ["3.0.0", numerics_fingerprint().sha]
