"""How loops over rows are compiled: decorators for what no array form fits.

Bits: fastmath is off, so that results do not depend on threads, workers or how many rows share a loop.
"""

from collections.abc import Callable
from typing import Any

from numba import njit

from riskpipe.compile_cache import compiled_once, use_compile_cache

use_compile_cache()  # before the first decorator
# without numba's reference counts, whose atomic increments on every array access cost ten times the arithmetic and
# more: such a function must not allocate
_OPTIONS = {
    "nogil": True,
    "cache": True,
    "fastmath": False,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
}


def _by_one_process(decorate: Callable[..., Any]) -> Callable[..., Any]:
    return lambda function: compiled_once(decorate(function))


compiled = _by_one_process(njit(**_OPTIONS))
internal = _by_one_process(njit(**_OPTIONS, no_cpython_wrapper=True))  # called by compiled code only
# a call passes every array of its tuples by value, some kilobytes, so what runs once per row is inlined
inlined = njit(**_OPTIONS, inline="always")
