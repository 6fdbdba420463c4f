"""Sets of lanes as words of 64 bits: in which a pool is closed, or called, and which are active."""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.footprint import VECTOR, WIDTH, WORD

_ONE = np.uint64(1)
NO_LANE = np.uint64(0)
ALL_BITS = np.uint64(2**64 - 1)
PLANES = 8  # bits of a count in a tally


@inlined
def has_lane(words: np.ndarray, s: int) -> bool:
    """Whether lane s is in the set."""
    return (words[s >> 6] >> np.uint64(s & 63)) & _ONE != NO_LANE


@inlined
def add_lane(words: np.ndarray, s: int) -> None:
    """Put lane s into the set."""
    words[s >> 6] |= _ONE << np.uint64(s & 63)


def first_lanes(n: int, n_words: int) -> np.ndarray:
    """Return the set of the first n lanes."""
    words = np.zeros(n_words, dtype=np.uint64)
    words[: n // WORD] = ALL_BITS
    if n % WORD:
        words[n // WORD] = 2 ** (n % WORD) - 1
    return words


@inlined
def bits_up_to(n: int) -> np.uint64:
    """Return the lowest n bits of a word, all of them for 64 and more."""
    return ALL_BITS if n >= WORD else (_ONE << np.uint64(n)) - _ONE


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


@intrinsic
def put_block(_context: Any, words: Any, _block: Any, _bits: Any) -> Any:  # noqa: ANN401  numba's own types, not values
    """Call with (words, block, bits): set a set's lanes of one block of WIDTH to the lowest bits of a word.

    One store: the first block of a word is its lower half on every machine that this runs on, little-endian ones.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        array, half = context.make_array(signature.args[0])(context, builder, arguments[0]), ir.IntType(WIDTH)
        place = builder.gep(builder.bitcast(array.data, half.as_pointer()), [arguments[1]])
        builder.store(builder.trunc(arguments[2], half), place, align=4)
        return context.get_dummy_value()

    return types.void(words, types.intp, types.uint64), generate


def _zeros(method: str) -> Any:  # noqa: ANN401  an intrinsic
    """Return what counts the zeros before the lowest bit of a word, or the highest: one instruction; 64 of no bit."""

    @intrinsic
    def count(_context: Any, _word: Any) -> Any:  # noqa: ANN401  numba's own types, not values
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            return getattr(builder, method)(arguments[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.uint64), generate

    return count


zeros_below, zeros_above = _zeros("cttz"), _zeros("ctlz")


@inlined
def first_lane(words: np.ndarray) -> int:
    """Return the first lane of the set, -1 when it is empty."""
    for w in range(len(words)):
        if words[w] != NO_LANE:
            return w * WORD + zeros_below(words[w])
    return -1


@inlined
def stop_lane(words: np.ndarray) -> int:
    """Return one past the last lane of the set, 0 when it is empty."""
    for w in range(len(words) - 1, -1, -1):
        if words[w] != NO_LANE:
            return (w + 1) * WORD - zeros_above(words[w])
    return 0


@inlined
def first_block(words: np.ndarray) -> int:
    """Return the first lane of the set, rounded down to a vector; below 0 when it is empty."""
    return first_lane(words) & -VECTOR


@inlined
def stop_block(words: np.ndarray) -> int:
    """Return one past the last lane of the set, rounded up to a vector."""
    return (stop_lane(words) + VECTOR - 1) & -VECTOR


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
def set_mask(words: np.ndarray, s0: int, mask: FloatArray) -> None:
    """Set mask[n] to 1 where lane s0 + n is in the set, to 0 where not; s0 and the mask's length are multiples of
    a vector's.
    """  # noqa: D205
    for start in range(0, len(mask), VECTOR):
        s = s0 + start
        word, block = words[s // WORD] >> np.uint64(s % WORD), mask[start : start + VECTOR]
        for n in range(VECTOR):
            block[n] = np.float64((word >> np.uint64(n)) & _ONE)


@inlined
def set_wide_mask(words: np.ndarray, s0: int, mask: FloatArray) -> None:
    """Set mask[n] to 1 where lane s0 + n is in the set, to 0 where not; s0 is a multiple of the width. Over most lanes
    this is faster than `set_mask`.
    """  # noqa: D205
    for start in range(0, len(mask), WIDTH):
        s = s0 + start
        word, block = words[s // WORD] >> np.uint64(s % WORD), mask[start : start + WIDTH]
        for n in range(len(block)):
            block[n] = np.float64((word >> np.uint64(n)) & _ONE)


class BitTally(NamedTuple):
    """How often each bit of some words was set, as the bits of numbers that lie across words."""

    plane: np.ndarray  # [PLANES, words] uint64: the k-th bit of every bit's count
    carried: np.ndarray  # [words] scratch
    n_added: np.ndarray  # [1] since it was last emptied


def make_tally(n_words: int) -> BitTally:
    """Allocate an empty tally."""
    return BitTally(
        plane=np.zeros((PLANES, n_words), dtype=np.uint64),
        carried=np.zeros(n_words, dtype=np.uint64),
        n_added=np.zeros(1, dtype=np.int64),
    )


@inlined
def _summed(a: np.uint64, b: np.uint64, c: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Sum of three bits, and what is carried, at every place."""
    either = a ^ b
    return either ^ c, (a & b) | (either & c)


@inlined
def add_to_tally(tally: BitTally, sets: np.ndarray, n: int, count: OffsetArray) -> None:
    """Count the bits of the first n of some sets [set, words], of which there is a multiple of four; those after the
    n-th are emptied, and a tally that is full is emptied into `count`.
    """  # noqa: D205
    n_fours = (n + 3) // 4
    for b in range(n, 4 * n_fours):
        sets[b] = NO_LANE
    for four in range(n_fours):
        if tally.n_added[0] + 4 >= 2**PLANES:
            empty_tally(tally, count)
        tally.n_added[0] += 4
        a, b, c, d = sets[4 * four], sets[4 * four + 1], sets[4 * four + 2], sets[4 * four + 3]
        ones, twos = tally.plane[0], tally.plane[1]
        for w in range(len(ones)):
            once, twice = _summed(a[w], b[w], c[w])
            ones[w], more = _summed(once, d[w], ones[w])
            twos[w], carried = _summed(twice, more, twos[w])
            tally.carried[w] = carried
        for k in range(2, PLANES):
            plane = tally.plane[k]
            for w in range(len(plane)):
                count_bit = plane[w]
                plane[w] = count_bit ^ tally.carried[w]
                tally.carried[w] &= count_bit


@internal
def empty_tally(tally: BitTally, count: OffsetArray) -> None:
    """Add what was counted to count[s], s being the lane, and forget it."""
    for s in range(len(count)):
        for k in range(PLANES):
            count[s] += np.int64((tally.plane[k, s // WORD] >> np.uint64(s % WORD)) & _ONE) << k
    tally.plane[:] = NO_LANE
    tally.n_added[0] = 0
