"""How ingest's loops over rows are compiled: what runs once for every position of a venue, and no array form fits."""

from numba import njit

from riskpipe.numerics import compile_cache

compile_cache()  # before the first decorator
# no reference counts, as in the kernel: such a function must not allocate
_OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
compiled = njit(**_OPTIONS)
inlined = njit(**_OPTIONS, inline="always")
