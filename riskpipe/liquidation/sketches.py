"""Sketches: records in single precision, with a bound on how far what they give may be off.

Where a sketch gives more than that bound, or less than its negative, the sign of a pool's health is known, and that is
all that a round asks for. Where it does not, the pool's record is played in double precision (`forms`): which pools
fail in which lanes does not depend on sketches at all, only how soon it is known.

A sketch is a record's numbers put so that they are cheap to play:

- head: n lines + MOST x n ramps + MOST^2 x n balances; bound; constant, with every line's intercept; where its guards
  start and how many they are (`cushions`);
- each line: row, slope;
- each edge, as a ramp that starts where it is: row, gross, -edge, change of slope over gross;
- each balance: row, ratio, base, n positions, n edges, credit, intercept, then -edge and change of credit of each edge,
  then row and size of each position; a plain one, of one position and no edge, has ratio 1 and PLAIN for its edges;
- each requirement in coins: -1 - row of the coin, row of the payoff, slope, intercept, curvature.

The bound, for single precision with unit roundoff u = 2^-24: a sum of n terms, each made of at most k roundings, is off
by less than (n + k) u / (1 - (n + k) u) times the sum of the terms' largest magnitudes within the box of the prices
(Higham, Accuracy and Stability of Numerical Algorithms, second edition, 3.1); k = 10 covers all terms. To it comes what
a line or a balance jumps where it bends, as a ramp does not, and for each term what is lost of numbers too small for
single precision. Without a bound, so that the record is always played, are pools with numbers too large for it, with
requirements in coins that have edges, with edges that do not ascend, and with too many terms.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from riskpipe.compiled import inlined
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.bits import NO_LANE, put_block
from riskpipe.liquidation.footprint import SHARE, WIDTH, WORD
from riskpipe.liquidation.forms import (
    BALANCE,
    COIN_MARGIN,
    EDGE,
    HEAD,
    MANY_EDGES,
    MANY_EDGES_LINE,
    MOST_LINES,
    N_FORMS,
    ONE_EDGE,
    ONE_EDGE_LINE,
    PLAIN_LINE,
    POSITION,
)
from riskpipe.liquidation.vectors import (
    bits_below,
    fused,
    lanes_of,
    least_of,
    magnitude,
    negative_bits,
    positive_part,
    product,
    share_of,
    smaller,
    spread,
    spread_share,
    total,
    where_above,
    where_in,
    where_positive,
)

Operation = Callable[..., Any]  # on vectors, compiled
MOST = 128  # lines, ramps or balances of a sketch; a pool of more has one without a bound
PLAIN = -1  # in place of how many edges a balance has: the lesser of coins and credit x coins, of one position
SKETCH_HEAD, SKETCH_LINE, RAMP, SKETCH_BALANCE, SKETCH_EDGE, SKETCH_COIN = 5, 2, 4, 7, 2, 5  # numbers of each
ROUNDINGS = 10.0  # of a term
ROUNDOFF = 1.001 * 2.0**-24  # over 1 less some thousand of it
LARGEST = 2.0**60  # of a number of a sketch and of a price: a product of two does not overflow, nor a sum below it
EVERY_LANE, EVERY_LANE_OF_SHARE = np.uint64(2**WIDTH - 1), np.uint64(2**SHARE - 1)
LEAST = 1e-6  # USD a term: far above 2^-150 x LARGEST x LARGEST, which numbers too small may be off by


@inlined
def sketch_class(head: float) -> int:
    """Class of a sketch by its head: what plays sketches of one class in turn hardly ever mispredicts a branch."""
    number = int(head)
    return (min(number % MOST, 15) * 16 + min(number // MOST % MOST, 15)) * 8 + min(number // (MOST * MOST), 7)


@inlined
def write_sketch(record: FloatArray, peak: FloatArray, sketch: np.ndarray) -> int:
    """Write the sketch of a record, without guards; returns how many numbers it has.

    Parameters: peak [rows] largest magnitude of each price within the record's box.
    """
    head, constant = int(record[0]), record[1]
    form, n, n_balances = head % N_FORMS, head // N_FORMS % MOST_LINES, head // (N_FORMS * MOST_LINES)
    scale, jumps, largest, n_terms, n_ramps = abs(constant), 0.0, 0.0, n + 1, 0
    at, end = HEAD, SKETCH_HEAD + SKETCH_LINE * n
    for t in range(n):
        row, slope, intercept = int(record[at]), record[at + 1], record[at + 2]
        constant += intercept
        scale += abs(slope) * peak[row] + abs(intercept)
        largest = max(largest, abs(slope), peak[row])
        sketch[SKETCH_HEAD + SKETCH_LINE * t], sketch[SKETCH_HEAD + SKETCH_LINE * t + 1] = row, slope
        gross, n_edges, length = 0.0, 0, PLAIN_LINE
        if form == ONE_EDGE:
            gross, n_edges, length = record[at + 3], 1 if record[at + 4] < np.inf else 0, ONE_EDGE_LINE
        elif form == MANY_EDGES:
            gross, n_edges = record[at + 3], int(record[at + 4])
            length = MANY_EDGES_LINE + EDGE * n_edges
        edges = at + (PLAIN_LINE + 1 if form == ONE_EDGE else MANY_EDGES_LINE)
        last_edge = -np.inf
        for k in range(n_edges):
            edge, above, higher = record[edges + EDGE * k], record[edges + EDGE * k + 1], record[edges + EDGE * k + 2]
            ramp = (above - slope) / gross
            if not edge >= last_edge:
                jumps = np.inf  # ramps add up, while of edges the last that is reached counts
            last_edge = edge
            jumps += abs((above - slope) * (edge / gross) + (higher - intercept))
            scale += abs(ramp) * (abs(gross) * peak[row] + abs(edge))
            largest = max(largest, abs(gross), abs(edge), abs(ramp))
            sketch[end], sketch[end + 1], sketch[end + 2], sketch[end + 3] = row, gross, -edge, ramp
            slope, intercept = above, higher
            end += RAMP
        n_ramps += n_edges
        at += length
    for _ in range(n_balances):
        if record[at] < 0.0:
            coin, row, slope, intercept = int(-1.0 - record[at]), int(record[at + 1]), record[at + 3], record[at + 4]
            curvature, n_edges = record[at + 5], int(record[at + 6])
            sketch[end], sketch[end + 1], sketch[end + 2] = record[at], row, slope
            sketch[end + 3], sketch[end + 4] = intercept, curvature
            x, usd = peak[row], peak[coin]
            steepness, coins = abs(curvature) * x + abs(slope), (abs(curvature) * x + abs(slope)) * x + abs(intercept)
            scale += coins * usd
            largest = max(largest, abs(curvature), abs(slope), steepness * usd, coins, x * usd, x, usd)
            n_terms += 1
            if n_edges > 0:
                jumps = np.inf
            end += SKETCH_COIN
            at += COIN_MARGIN + EDGE * n_edges
            continue
        row, ratio, base, n_positions = int(record[at]), record[at + 1], record[at + 2], int(record[at + 3])
        n_edges, credit, intercept = int(record[at + 4]), record[at + 5], record[at + 6]
        for k in range(SKETCH_BALANCE):
            sketch[end + k] = record[at + k]
        if n_positions == 1 and n_edges == 0 and intercept == 0.0 and ratio > 0.0 and 0.0 <= ratio * credit <= 1.0:
            sketch[end + 1], sketch[end + 4], sketch[end + 5] = 1.0, PLAIN, ratio * credit
        end += SKETCH_BALANCE
        at += BALANCE
        amount, bends, lifted, last, last_edge = abs(base), abs(credit), abs(intercept), credit, -np.inf
        jumps += abs(intercept)  # where what is owned turns into what is owed
        for _edge in range(n_edges):
            edge, above, higher = record[at], record[at + 1], record[at + 2]
            if not edge >= last_edge:
                jumps = np.inf
            last_edge = edge
            jumps += abs((above - last) * edge + (higher - intercept))
            bends += abs(above - last)
            lifted += abs(above - last) * abs(edge)
            largest = max(largest, abs(edge))
            sketch[end], sketch[end + 1] = -edge, above - last
            last, intercept = above, higher
            end += SKETCH_EDGE
            at += EDGE
        for _position in range(n_positions):
            payoff, size = int(record[at]), record[at + 1]
            amount += abs(size) * peak[payoff]
            largest = max(largest, abs(size), peak[payoff])
            sketch[end], sketch[end + 1] = payoff, size
            end += POSITION
            at += POSITION
        worth = peak[row] * max(abs(ratio) * bends, 1.0)  # of a unit; a first argument that is no number stays
        scale += amount * worth + lifted + abs(intercept)
        largest = max(largest, abs(ratio), bends, worth, amount)
        n_terms += 2 * n_positions + n_edges + 1
    n_terms += n_ramps
    bound = ROUNDOFF * (n_terms + ROUNDINGS) * scale + 1.01 * jumps + LEAST * n_terms
    if not (bound < LARGEST and scale < LARGEST and largest < LARGEST) or max(n, n_ramps, n_balances) >= MOST:
        n, n_ramps, n_balances, bound, constant, end = 0, 0, 0, np.inf, 0.0, SKETCH_HEAD
    sketch[0], sketch[1], sketch[2] = n + MOST * (n_ramps + MOST * n_balances), bound * (1.0 + 2.0 * ROUNDOFF), constant
    sketch[3], sketch[4] = 0.0, 0.0
    return end


@inlined
def note_block(failing: np.ndarray, block: int, value: Any, nearest: Any) -> Any:  # noqa: ANN401  vectors
    """Set in which lanes of a block health, as a vector, is below zero; returns how near to zero it has come so far."""
    put_block(failing, block, negative_bits(value))
    return smaller(magnitude(value), nearest)


@inlined
def play_sketch(sketch: np.ndarray, price: np.ndarray, n_blocks: int, failing: np.ndarray) -> bool:
    """Set failing [words] to the lanes of the first blocks in which health is below zero; returns whether it is sure.

    Parameters: price [row, lane] float32.
    """
    head, bound, constant = int(sketch[0]), spread(sketch[1]), spread(sketch[2])
    nearest, n, is_plain = spread(np.float32(np.inf)), head % (MOST * MOST), False
    balance = SKETCH_HEAD + SKETCH_LINE * n
    if n <= 2 and head // (MOST * MOST) == 1:
        is_plain = sketch[balance] >= 0.0 and sketch[balance + 4] == PLAIN
    if not is_plain and head not in (1, 2):
        for block in range(n_blocks):
            value = rough_health(sketch, price, block * WIDTH, spread, lanes_of)
            nearest = note_block(failing, block, value, nearest)
        return bits_below(bound, nearest) == EVERY_LANE
    # the same, its numbers read once: most pools have one or two lines and nothing else, or with them a plain balance
    first, last = SKETCH_HEAD, SKETCH_HEAD + SKETCH_LINE * max(n - 1, 0)
    row, slope, last_row, last_slope = int(sketch[first]), sketch[first + 1], int(sketch[last]), sketch[last + 1]
    if not is_plain:
        for block in range(n_blocks):
            value = fused(spread(slope), lanes_of(price, row, block * WIDTH), constant)
            if n == 2:
                value = fused(spread(last_slope), lanes_of(price, last_row, block * WIDTH), value)
            nearest = note_block(failing, block, value, nearest)
        return bits_below(bound, nearest) == EVERY_LANE
    coin, base, credit = int(sketch[balance]), spread(sketch[balance + 2]), spread(sketch[balance + 5])
    payoff, size = int(sketch[balance + SKETCH_BALANCE]), spread(sketch[balance + SKETCH_BALANCE + 1])
    for block in range(n_blocks):
        amount, value = fused(size, lanes_of(price, payoff, block * WIDTH), base), constant
        if n >= 1:
            value = fused(spread(slope), lanes_of(price, row, block * WIDTH), value)
        if n == 2:
            value = fused(spread(last_slope), lanes_of(price, last_row, block * WIDTH), value)
        value = fused(smaller(product(credit, amount), amount), lanes_of(price, coin, block * WIDTH), value)
        nearest = note_block(failing, block, value, nearest)
    return bits_below(bound, nearest) == EVERY_LANE


@inlined
def look(
    sketch: np.ndarray, price: np.ndarray, places: np.ndarray, n: int, due: np.ndarray, failing: np.ndarray,
    least: np.ndarray,
) -> bool:  # fmt: skip
    """Set failing [words] to the lanes of n shares that are due in which health is below zero, and least [n] to the
    least health of each share's lanes that are due and may be open; returns whether the former is sure.

    Parameters: price [row, lane] float32; places [n] the first lane of each share; due [words].
    """  # noqa: D205
    bound, twice = spread_share(sketch[1]), spread_share(np.float32(-2.0) * sketch[1])
    nothing = spread_share(np.float32(np.inf))
    nearest = nothing
    for w in range(len(failing)):
        failing[w] = NO_LANE
    for k in range(n):
        lane = places[k]
        word, shift = lane // WORD, np.uint64(lane % WORD)
        value = rough_health(sketch, price, lane, spread_share, share_of)
        value = where_in(due[word] >> shift, value, nothing)
        failing[word] |= negative_bits(value) << shift
        nearest = smaller(magnitude(value), nearest)
        least[k] = least_of(where_above(value, twice, nothing))
    return bits_below(bound, nearest) == EVERY_LANE_OF_SHARE


@inlined
def rough_health(sketch: np.ndarray, price: np.ndarray, lane: int, spread: Operation, lanes_of: Operation) -> Any:  # noqa: ANN401
    """Return what a sketch gives in the lanes from one on: of a block, or of a share, as spread and lanes_of are."""
    head, value, at = int(sketch[0]), spread(sketch[2]), SKETCH_HEAD
    for _ in range(head % MOST):
        value = fused(spread(sketch[at + 1]), lanes_of(price, int(sketch[at]), lane), value)
        at += SKETCH_LINE
    for _ in range(head // MOST % MOST):
        excess = fused(spread(sketch[at + 1]), lanes_of(price, int(sketch[at]), lane), spread(sketch[at + 2]))
        value = fused(spread(sketch[at + 3]), positive_part(excess), value)
        at += RAMP
    for _ in range(head // (MOST * MOST)):
        if sketch[at] < 0.0:
            x = lanes_of(price, int(sketch[at + 1]), lane)
            coins = fused(fused(spread(sketch[at + 4]), x, spread(sketch[at + 2])), x, spread(sketch[at + 3]))
            value = fused(coins, lanes_of(price, int(-1.0 - sketch[at]), lane), value)
            at += SKETCH_COIN
            continue
        usd, amount = lanes_of(price, int(sketch[at]), lane), spread(sketch[at + 2])
        ratio, n_positions, n_edges = spread(sketch[at + 1]), int(sketch[at + 3]), int(sketch[at + 4])
        credit, intercept, edge = spread(sketch[at + 5]), spread(sketch[at + 6]), at + SKETCH_BALANCE
        if n_edges == PLAIN:
            amount = fused(spread(sketch[edge + 1]), lanes_of(price, int(sketch[edge]), lane), amount)
            value = fused(smaller(product(credit, amount), amount), usd, value)
            at = edge + POSITION
            continue
        at = edge + SKETCH_EDGE * n_edges
        for _position in range(n_positions):
            amount = fused(spread(sketch[at + 1]), lanes_of(price, int(sketch[at]), lane), amount)
            at += POSITION
        owed = product(amount, usd)
        worth = product(owed, ratio)
        owned = fused(worth, credit, intercept)
        for _edge in range(n_edges):
            owned = fused(spread(sketch[edge + 1]), positive_part(total(worth, spread(sketch[edge]))), owned)
            edge += SKETCH_EDGE
        value = total(where_positive(amount, owned, owed), value)
    return value
