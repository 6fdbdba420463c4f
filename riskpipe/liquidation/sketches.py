"""Sketches: records in single precision, with a bound on how far what they give may be off.

Where a sketch gives more than that bound, or less than its negative, the sign of a pool's health is known, and that is
all that a round asks for. Where it does not, the pool's record is played in double precision (`forms`): which pools
fail in which lanes does not depend on sketches at all, only how soon it is known.

A sketch is a record's numbers put so that they are cheap to play:

- head: n lines + MOST x n ramps + MOST^2 x n balances; bound; constant, with every line's intercept;
- each line: row, slope;
- each edge, as a ramp that starts where it is: row, gross, -edge, change of slope over gross;
- each balance: row, ratio, base, n positions, n edges, credit, intercept, then -edge and change of credit of each edge,
  then row and size of each position;
- each requirement in coins: -1 - row of the coin, row of the payoff, slope, intercept, curvature.

The bound, for single precision with unit roundoff u = 2^-24: a sum of n terms, each made of at most k roundings, is off
by less than (n + k) u / (1 - (n + k) u) times the sum of the terms' largest magnitudes within the box of the prices
(Higham, Accuracy and Stability of Numerical Algorithms, second edition, 3.1); twice that is taken, and k = 10. To it
comes what a line jumps at its edges, as a ramp does not. Numbers that single precision cannot hold leave no bound.
"""

import numpy as np

from riskpipe.compiled import inlined
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.bits import put_block
from riskpipe.liquidation.footprint import WIDTH
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
    magnitude,
    negative_bits,
    positive_part,
    product,
    smaller,
    spread,
    total,
    where_positive,
)

MOST = 128  # lines, ramps or balances of a sketch; a pool of more has one without a bound
SKETCH_HEAD, SKETCH_LINE, RAMP, SKETCH_BALANCE, SKETCH_EDGE, SKETCH_COIN = 3, 2, 4, 7, 2, 5  # numbers of each
ROUNDINGS = 10.0  # of a term
UNIT = 2.0**-23  # twice the unit roundoff
LARGEST = 2.0**60  # of a number of a sketch and of a price: products of four stay far from overflow
EVERY_LANE = np.uint64(2**WIDTH - 1)
LEAST = 1e-6  # USD: far above what numbers below the normal ones of single precision are off by


@inlined
def sketch_class(head: float) -> int:
    """Class of a sketch by its head: what plays sketches of one class in turn hardly ever mispredicts a branch."""
    number = int(head)
    return (min(number % MOST, 15) * 16 + min(number // MOST % MOST, 15)) * 8 + min(number // (MOST * MOST), 7)


@inlined
def write_sketch(record: FloatArray, most: FloatArray, sketch: np.ndarray) -> int:
    """Write the sketch of a record; returns how many numbers it has.

    Parameters: most [rows] largest magnitude of each price within the record's box.
    """
    head, constant = int(record[0]), record[1]
    form, n, n_balances = head % N_FORMS, head // N_FORMS % MOST_LINES, head // (N_FORMS * MOST_LINES)
    scale, jumps, largest, terms, n_ramps = abs(constant), 0.0, 0.0, n + 1, 0
    at, end = HEAD, SKETCH_HEAD + SKETCH_LINE * n
    for t in range(n):
        row, slope, intercept = int(record[at]), record[at + 1], record[at + 2]
        constant += intercept
        scale += abs(slope) * most[row] + abs(intercept)
        largest = max(largest, abs(slope), most[row])
        sketch[SKETCH_HEAD + SKETCH_LINE * t], sketch[SKETCH_HEAD + SKETCH_LINE * t + 1] = row, slope
        gross, n_edges, length = 0.0, 0, PLAIN_LINE
        if form == ONE_EDGE:
            gross, n_edges, length = record[at + 3], 1 if record[at + 4] < np.inf else 0, ONE_EDGE_LINE
        elif form == MANY_EDGES:
            gross, n_edges = record[at + 3], int(record[at + 4])
            length = MANY_EDGES_LINE + EDGE * n_edges
        edges = at + (PLAIN_LINE + 1 if form == ONE_EDGE else MANY_EDGES_LINE)
        for k in range(n_edges):
            edge, above, higher = record[edges + EDGE * k], record[edges + EDGE * k + 1], record[edges + EDGE * k + 2]
            ramp = (above - slope) / gross
            jumps += abs((above - slope) * (edge / gross) + (higher - intercept))
            scale += abs(ramp) * (abs(gross) * most[row] + abs(edge))
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
            x, usd = most[row], most[coin]
            steepness, coins = abs(curvature) * x + abs(slope), (abs(curvature) * x + abs(slope)) * x + abs(intercept)
            scale += coins * usd
            largest = max(largest, abs(curvature), steepness * usd, coins, x * usd, x, usd)
            terms += 1
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
        amount, steepest, lifted, last = abs(base), abs(credit), 0.0, credit
        jumps += abs(intercept)  # where what is owned turns into what is owed
        for _edge in range(n_edges):
            edge, above, higher = record[at], record[at + 1], record[at + 2]
            jumps += abs((above - last) * edge + (higher - intercept))
            steepest += abs(above - last)
            lifted += abs(above - last) * abs(edge)
            largest = max(largest, abs(edge))
            sketch[end], sketch[end + 1] = -edge, above - last
            last, intercept = above, higher
            end += SKETCH_EDGE
            at += EDGE
        for _position in range(n_positions):
            payoff, size = int(record[at]), record[at + 1]
            amount += abs(size) * most[payoff]
            largest = max(largest, abs(size), most[payoff])
            sketch[end], sketch[end + 1] = payoff, size
            end += POSITION
            at += POSITION
        worth = most[row] * max(1.0, abs(ratio) * steepest)  # of a unit
        scale += amount * worth + lifted + abs(intercept)
        largest = max(largest, abs(ratio), steepest, worth, amount)
        terms += 2 * n_positions + n_edges + 1
    terms += n_ramps
    bound = UNIT * (terms + ROUNDINGS) * scale + 1.01 * jumps + LEAST
    if not (bound < LARGEST and scale < LARGEST and largest < LARGEST) or max(n, n_ramps, n_balances) >= MOST:
        n, n_ramps, n_balances, bound, constant, end = 0, 0, 0, np.inf, 0.0, SKETCH_HEAD
    sketch[0], sketch[1], sketch[2] = n + MOST * (n_ramps + MOST * n_balances), bound * (1.0 + UNIT), constant
    return end


@inlined
def play_sketch(sketch: np.ndarray, price: np.ndarray, n_blocks: int, failing: np.ndarray) -> bool:
    """Set failing [words] to the lanes of the first blocks in which health is below zero; returns whether it is sure.

    Parameters: price [row, lane] float32.
    """
    head, bound, constant = int(sketch[0]), sketch[1], spread(sketch[2])
    n, n_ramps, n_balances = head % MOST, head // MOST % MOST, head // (MOST * MOST)
    nearest = spread(np.float32(np.inf))
    if head in (1, 2):  # most pools: what is read of them stays in registers from block to block
        last = SKETCH_HEAD + SKETCH_LINE * (head - 1)
        row, slope = int(sketch[SKETCH_HEAD]), spread(sketch[SKETCH_HEAD + 1])
        last_row, last_slope = int(sketch[last]), spread(sketch[last + 1])
        for block in range(n_blocks):
            health = fused(slope, lanes_of(price, row, block * WIDTH), constant)
            if head == 2:
                health = fused(last_slope, lanes_of(price, last_row, block * WIDTH), health)
            put_block(failing, block, negative_bits(health))
            nearest = smaller(nearest, magnitude(health))
        return bits_below(spread(bound), nearest) == EVERY_LANE
    for block in range(n_blocks):
        first, at, health = block * WIDTH, SKETCH_HEAD, constant
        for _ in range(n):
            health = fused(spread(sketch[at + 1]), lanes_of(price, int(sketch[at]), first), health)
            at += SKETCH_LINE
        for _ in range(n_ramps):
            x = lanes_of(price, int(sketch[at]), first)
            above = positive_part(fused(spread(sketch[at + 1]), x, spread(sketch[at + 2])))
            health = fused(spread(sketch[at + 3]), above, health)
            at += RAMP
        for _ in range(n_balances):
            if sketch[at] < 0.0:
                usd, x = lanes_of(price, int(-1.0 - sketch[at]), first), lanes_of(price, int(sketch[at + 1]), first)
                coins = fused(spread(sketch[at + 4]), x, spread(sketch[at + 2]))
                health = fused(fused(coins, x, spread(sketch[at + 3])), usd, health)
                at += SKETCH_COIN
                continue
            x, ratio, amount = lanes_of(price, int(sketch[at]), first), sketch[at + 1], spread(sketch[at + 2])
            n_positions, n_edges, credit = int(sketch[at + 3]), int(sketch[at + 4]), sketch[at + 5]
            intercept, edges = sketch[at + 6], at + SKETCH_BALANCE
            at = edges + SKETCH_EDGE * n_edges
            for _position in range(n_positions):
                amount = fused(spread(sketch[at + 1]), lanes_of(price, int(sketch[at]), first), amount)
                at += POSITION
            owed = product(amount, x)
            value = product(owed, spread(ratio))
            owned = fused(value, spread(credit), spread(intercept))
            for k in range(n_edges):
                above = positive_part(total(value, spread(sketch[edges + SKETCH_EDGE * k])))
                owned = fused(spread(sketch[edges + SKETCH_EDGE * k + 1]), above, owned)
            health = total(health, where_positive(amount, owned, owed))
        put_block(failing, block, negative_bits(health))
        nearest = smaller(nearest, magnitude(health))
    return bits_below(spread(bound), nearest) == EVERY_LANE
