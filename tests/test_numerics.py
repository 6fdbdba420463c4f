import os
import subprocess
import sys

from riskpipe.numerics import Fingerprint, numerics_fingerprint, source_hash

CODE = "from riskpipe.numerics import *; print(numerics_fingerprint().sha, source_hash())"


def run(**environment):
    command = [sys.executable, "-c", CODE]
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
