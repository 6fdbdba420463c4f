"""How the kernel is compiled, and the impact laws and shocked asset prices in compiled form.

Bits: every sum runs in canonical order (pools, then positions, then slots), fastmath is off, and nothing here calls
BLAS, numpy reductions or vectorised transcendental functions, so that results do not depend on threads, workers or
block size.
"""

from numba import njit

from riskpipe.liquidation.lowering import Terms
from riskpipe.numerics import compile_cache
from riskpipe.pricing import impact as laws

compile_cache()  # before the first decorator
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
compiled = njit(**_OPTIONS)
internal = njit(**_OPTIONS, no_cpython_wrapper=True)  # called by compiled code only
# a call passes every array of its tuples by value, some kilobytes, so what runs once per pool or position is inlined
inlined = njit(**_OPTIONS, inline="always")
impact = internal(laws.impact)
average_impact = internal(laws.average_impact)
is_limited = internal(laws.is_limited)

SMALLEST_INDEX_SHARE = 0.01


@inlined
def shocked_asset(terms: Terms, c: int, x: float) -> float:
    """USD price of asset c under index shock x."""
    price = terms.index_price[c]
    return max(price * (1.0 + terms.index_beta[c] * x), SMALLEST_INDEX_SHARE * price)
