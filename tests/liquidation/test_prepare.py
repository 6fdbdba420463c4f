"""Preparing a kernel compiles all that a run calls, so that no worker compiles it again."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
SCRIPT = """
import sys
import numpy as np
from support.hard_books import hard_case
from support.random_loans import with_loans
from numba.core.dispatcher import Dispatcher
from riskpipe.liquidation.kernel import Kernel

def signatures():
    modules = [module for name, module in sys.modules.items() if name.startswith("riskpipe.")]
    functions = {value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)}
    return {(function.py_func.__qualname__, str(types)) for function in functions for types in function.signatures}

case = with_loans(np.random.default_rng(11), hard_case(11, n_scenarios=70, n_accounts=25), 6)
kernel = Kernel(case.book, case.market, case.rules)
kernel.prepare()
prepared = signatures()
rounds = kernel.run(case.scenarios).values["system/rounds"]
assert rounds.max() > 2
print(len(prepared) > 10, sorted(name for name, _ in signatures() - prepared))
"""


def test_a_run_calls_nothing_that_preparing_did_not_compile():
    """In a process of its own: what other tests called is compiled already."""
    found = subprocess.run([sys.executable, "-c", SCRIPT], cwd=TESTS, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True []"
