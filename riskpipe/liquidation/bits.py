"""Sets of lanes as words of 64 bits: in which a pool is closed, or called, and which are active."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from riskpipe.compiled import inlined
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.footprint import WIDTH, WORD

_ONE = np.uint64(1)
NO_LANE = np.uint64(0)
BLOCK = np.uint64((1 << WIDTH) - 1)  # as many lanes as the width


@inlined
def has_lane(words: np.ndarray, s: int) -> bool:
    """Whether lane s is in the set."""
    return (words[s >> 6] >> np.uint64(s & 63)) & _ONE != NO_LANE


@inlined
def add_lane(words: np.ndarray, s: int) -> None:
    """Put lane s into the set."""
    words[s >> 6] |= _ONE << np.uint64(s & 63)


@inlined
def has_any(words: np.ndarray) -> bool:
    """Whether any lane is in the set."""
    found = NO_LANE
    for w in range(len(words)):
        found |= words[w]
    return found != NO_LANE


@inlined
def has_common(words: np.ndarray, others: np.ndarray) -> bool:
    """Whether two sets share a lane."""
    found = NO_LANE
    for w in range(len(words)):
        found |= words[w] & others[w]
    return found != NO_LANE


@inlined
def first_lane(words: np.ndarray) -> int:
    """Return the first lane of the set, -1 when it is empty."""
    for w in range(len(words)):
        word = words[w]
        if word != NO_LANE:
            s = w * WORD
            for width in (32, 16, 8, 4, 2, 1):
                low = word & ((_ONE << np.uint64(width)) - _ONE)
                if low == NO_LANE:
                    word = word >> np.uint64(width)
                    s += width
            return s
    return -1


@inlined
def stop_lane(words: np.ndarray) -> int:
    """Return one past the last lane of the set, 0 when it is empty."""
    for w in range(len(words) - 1, -1, -1):
        word = words[w]
        if word != NO_LANE:
            s = w * WORD
            for width in (32, 16, 8, 4, 2, 1):
                high = word >> np.uint64(width)
                if high != NO_LANE:
                    word = high
                    s += width
            return s + 1
    return 0


@inlined
def first_block(words: np.ndarray) -> int:
    """Return the first lane of the set, rounded down to the width; below 0 when it is empty."""
    return first_lane(words) & -WIDTH


@inlined
def stop_block(words: np.ndarray) -> int:
    """Return one past the last lane of the set, rounded up to the width."""
    return (stop_lane(words) + WIDTH - 1) & -WIDTH


@intrinsic
def negative_lanes(_context: Any, row: Any, _first: Any) -> Any:  # noqa: ANN401  numba's own types, not values
    """Call with (row, first): which of row[first : first + WIDTH] are below zero, as the lowest bits of a word.

    The vector comparison whose result is those bits exists in the compiler's language only.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        vector = ir.VectorType(ir.DoubleType(), WIDTH)
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        is_negative = builder.fcmp_ordered("<", builder.load(place, align=8), ir.Constant(vector, [0.0] * WIDTH))
        return builder.zext(builder.bitcast(is_negative, ir.IntType(WIDTH)), ir.IntType(WORD))

    return types.uint64(row, types.intp), generate


@inlined
def lanes_of_seats(words: np.ndarray, seat: np.ndarray) -> np.uint64:
    """Return the seats whose lanes are in the set, as the lowest bits of a word; seat [WIDTH] the lane of each."""
    found = np.int64(0)
    for w in range(len(words)):
        word, first = words[w], np.uint32(w * WORD)
        for m in range(len(seat)):
            shift = seat[m] - first  # of a lane in another word it is too large
            bit = (word >> np.uint64(shift & np.uint32(WORD - 1))) & _ONE
            found += np.int64(bit * np.uint64(shift < np.uint32(WORD))) << m
    return np.uint64(found)


@inlined
def set_mask(words: np.ndarray, s0: int, mask: FloatArray) -> None:
    """Set mask[n] to 1 where lane s0 + n is in the set, to 0 where not; s0 and the mask's length are multiples of
    the width.
    """  # noqa: D205
    for start in range(0, len(mask), WIDTH):
        s = s0 + start
        word, block = words[s // WORD] >> np.uint64(s % WORD), mask[start : start + WIDTH]
        for n in range(len(block)):
            block[n] = np.float64((word >> np.uint64(n)) & _ONE)
