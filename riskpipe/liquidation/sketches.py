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
  then row and size of each position;
- each requirement in coins: -1 - row of the coin, row of the payoff, slope, intercept, curvature.

The bound, for single precision with unit roundoff u = 2^-24: a sum of n terms, each made of at most k roundings, is off
by less than (n + k) u / (1 - (n + k) u) times the sum of the terms' largest magnitudes within the box of the prices
(Higham, Accuracy and Stability of Numerical Algorithms, second edition, 3.1); twice that is taken, and k = 10. To it
comes what a line or a balance jumps where it bends, as a ramp does not, and for each term what is lost of numbers too
small for single precision. Without a bound, so that the record is always played, are pools with numbers too large for
it, with requirements in coins that have edges, with edges that do not ascend, and with too many terms.
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
    put_lanes,
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
SKETCH_HEAD, SKETCH_LINE, RAMP, SKETCH_BALANCE, SKETCH_EDGE, SKETCH_COIN = 5, 2, 4, 7, 2, 5  # numbers of each
ROUNDINGS = 10.0  # of a term
TWICE_ROUNDOFF = 2.0**-23
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
    bound = TWICE_ROUNDOFF * (n_terms + ROUNDINGS) * scale + 1.01 * jumps + LEAST * n_terms
    if not (bound < LARGEST and scale < LARGEST and largest < LARGEST) or max(n, n_ramps, n_balances) >= MOST:
        n, n_ramps, n_balances, bound, constant, end = 0, 0, 0, np.inf, 0.0, SKETCH_HEAD
    sketch[0], sketch[1], sketch[2] = n + MOST * (n_ramps + MOST * n_balances), bound * (1.0 + TWICE_ROUNDOFF), constant
    sketch[3], sketch[4] = 0.0, 0.0
    return end


@inlined
def play_sketch(
    sketch: np.ndarray, price: np.ndarray, blocks: np.ndarray, n_blocks: int, health: np.ndarray, failing: np.ndarray
) -> bool:
    """Set failing [words] to the lanes of the first blocks in which health is below zero; returns whether it is sure.

    Parameters: blocks [n_blocks] the first lane of each; others as of `set_rough`.
    """
    head, bound, constant = int(sketch[0]), spread(sketch[1]), spread(sketch[2])
    nearest, parts = spread(np.float32(np.inf)), sketch[SKETCH_HEAD:]
    if head in (1, 2):  # most pools: one or two lines and nothing else
        row, slope = int(parts[0]), spread(parts[1])
        last_row, last_slope = int(parts[SKETCH_LINE * (head - 1)]), spread(parts[SKETCH_LINE * (head - 1) + 1])
        for block in range(n_blocks):
            value = fused(slope, lanes_of(price, row, block * WIDTH), constant)
            if head == 2:
                value = fused(last_slope, lanes_of(price, last_row, block * WIDTH), value)
            put_block(failing, block, negative_bits(value))
            nearest = smaller(magnitude(value), nearest)
        return bits_below(bound, nearest) == EVERY_LANE
    set_rough(sketch, price, blocks, n_blocks, health, spread, lanes_of)
    for block in range(n_blocks):
        value = lanes_of(health, 0, block * WIDTH)
        put_block(failing, block, negative_bits(value))
        nearest = smaller(magnitude(value), nearest)
    return bits_below(bound, nearest) == EVERY_LANE


@inlined
def look(
    sketch: np.ndarray, price: np.ndarray, places: np.ndarray, n: int, due: np.ndarray, health: np.ndarray,
    failing: np.ndarray, least: np.ndarray,
) -> bool:  # fmt: skip
    """Set failing [words] to the lanes of n shares that are due in which health is below zero, and least [n] to the
    least health of each share's lanes that are due and may be open; returns whether the former is sure.

    Parameters: due [words]; others as of `set_rough`.
    """  # noqa: D205
    set_rough(sketch, price, places, n, health, spread_share, share_of)
    bound, twice = spread_share(sketch[1]), spread_share(np.float32(-2.0) * sketch[1])
    nothing = spread_share(np.float32(np.inf))
    nearest = nothing
    for w in range(len(failing)):
        failing[w] = NO_LANE
    for k in range(n):
        lane = places[k]
        word, shift = lane // WORD, np.uint64(lane % WORD)
        value = where_in(due[word] >> shift, share_of(health, 0, lane), nothing)
        failing[word] |= negative_bits(value) << shift
        nearest = smaller(magnitude(value), nearest)
        least[k] = least_of(where_above(value, twice, nothing))
    return bits_below(bound, nearest) == EVERY_LANE_OF_SHARE


@inlined
def set_rough(
    sketch: np.ndarray, price: np.ndarray, places: np.ndarray, n: int, health: np.ndarray, spread: Operation,
    lanes_of: Operation,
) -> None:  # fmt: skip
    """Set health [0, lane] to what a sketch gives in n blocks or shares of lanes.

    Parameters: price [row, lane] float32; places [n] the first lane of each; health scratch [1, lane] float32; spread
    and lanes_of of blocks or of shares (`vectors`).
    """
    head, constant, parts = int(sketch[0]), spread(sketch[2]), sketch[SKETCH_HEAD:]
    n_lines, n_ramps, n_balances = head % MOST, head // MOST % MOST, head // (MOST * MOST)
    for k in range(n):
        lane = places[k]
        put_lanes(health, 0, lane, constant)
    at = add_lines(parts, n_lines, price, places, n, health, spread, lanes_of)
    for _ in range(n_ramps):
        row, gross = int(parts[at]), spread(parts[at + 1])
        minus_edge, ramp = spread(parts[at + 2]), spread(parts[at + 3])
        for k in range(n):
            lane = places[k]
            excess = positive_part(fused(gross, lanes_of(price, row, lane), minus_edge))
            put_lanes(health, 0, lane, fused(ramp, excess, lanes_of(health, 0, lane)))
        at += RAMP
    for _ in range(n_balances):
        if parts[at] < 0.0:
            at = add_coins(parts, at, price, places, n, health, spread, lanes_of)
        else:
            at = add_worth(parts, at, price, places, n, health, spread, lanes_of)


@inlined
def add_lines(
    lines: np.ndarray, n_lines: int, price: np.ndarray, places: np.ndarray, n: int, health: np.ndarray,
    spread: Operation, lanes_of: Operation,
) -> int:  # fmt: skip
    """Add some lines to health, two at a time; returns where they end."""
    at = 0
    for _ in range(n_lines // 2):
        row, slope, next_row, next_slope = int(lines[at]), lines[at + 1], int(lines[at + 2]), lines[at + 3]
        for k in range(n):
            lane = places[k]
            value = fused(spread(slope), lanes_of(price, row, lane), lanes_of(health, 0, lane))
            value = fused(spread(next_slope), lanes_of(price, next_row, lane), value)
            put_lanes(health, 0, lane, value)
        at += 2 * SKETCH_LINE
    if n_lines % 2 == 1:
        row, slope = int(lines[at]), lines[at + 1]
        for k in range(n):
            lane = places[k]
            value = fused(spread(slope), lanes_of(price, row, lane), lanes_of(health, 0, lane))
            put_lanes(health, 0, lane, value)
        at += SKETCH_LINE
    return at


@inlined
def add_coins(
    parts: np.ndarray, at: int, price: np.ndarray, places: np.ndarray, n: int, health: np.ndarray,
    spread: Operation, lanes_of: Operation,
) -> int:  # fmt: skip
    """Add the requirement in coins at `at` to health; returns where it ends."""
    coin, row, slope = int(-1.0 - parts[at]), int(parts[at + 1]), spread(parts[at + 2])
    intercept, curvature = spread(parts[at + 3]), spread(parts[at + 4])
    for k in range(n):
        lane = places[k]
        x = lanes_of(price, row, lane)
        coins = fused(fused(curvature, x, slope), x, intercept)
        value = fused(coins, lanes_of(price, coin, lane), lanes_of(health, 0, lane))
        put_lanes(health, 0, lane, value)
    return at + SKETCH_COIN


@inlined
def add_worth(
    parts: np.ndarray, at: int, price: np.ndarray, places: np.ndarray, n: int, health: np.ndarray,
    spread: Operation, lanes_of: Operation,
) -> int:  # fmt: skip
    """Add what the balance at `at` counts for to health; returns where it ends."""
    row, ratio, base, n_positions = int(parts[at]), parts[at + 1], parts[at + 2], int(parts[at + 3])
    n_edges, credit, intercept = int(parts[at + 4]), parts[at + 5], parts[at + 6]
    edges = at + SKETCH_BALANCE
    positions = edges + SKETCH_EDGE * n_edges
    for k in range(n):
        lane = places[k]
        amount = spread(base)
        for q in range(n_positions):
            payoff, size = int(parts[positions + POSITION * q]), parts[positions + POSITION * q + 1]
            amount = fused(spread(size), lanes_of(price, payoff, lane), amount)
        owed = product(amount, lanes_of(price, row, lane))
        value = product(owed, spread(ratio))
        owned = fused(value, spread(credit), spread(intercept))
        for e in range(n_edges):
            excess = positive_part(total(value, spread(parts[edges + SKETCH_EDGE * e])))
            owned = fused(spread(parts[edges + SKETCH_EDGE * e + 1]), excess, owned)
        counted = where_positive(amount, owned, owed)
        put_lanes(health, 0, lane, total(counted, lanes_of(health, 0, lane)))
    return positions + POSITION * n_positions
