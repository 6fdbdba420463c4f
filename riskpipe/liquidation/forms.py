"""The forms that tiers and loans are lowered to, each a loop over lanes: many scenarios of one pool side by side.

A lane is one state of the market; a price row is one price over all lanes. What a pool is worth less what it must hold
is a sum of *lines* `slope x price + intercept`, one for each balance and position:

- tier lines: a position's line depends on the margin tier that its notional falls in, a balance's on its haircut band;
- collateral health: a balance's line is its amount times its liquidation threshold, or par where it is owed;

and of balances whose amount depends on prices, because something settles in them, valued band by band; and of
requirements in coins, parabolas in the price 1/m of inverse contracts, worth what the coin is.

A pool's *record* is all of that as bare numbers one after the other (`records` writes it, `play` reads it):

- head, constant: head is form + N_FORMS x lines + N_FORMS x MOST_LINES x balances;
- each line of a pool without edges: row, slope, intercept;
- each line of a pool with at most one edge a line: row, slope, intercept, gross, edge, slope and intercept above;
- each line of any other: row, slope, intercept, gross, n edges, then edge, slope and intercept above it of each;
- each balance: row, ratio, base, n positions, n edges, credit, intercept, then edge, credit and intercept above it of
  each edge, then row and size of each position;
- each requirement in coins, counted among the balances: -1 - row of the coin, row of the payoff, gross, slope,
  intercept, curvature, n edges, then edge, slope and intercept above it of each.

Bits: lines are added in the order given, each by a multiplication and an addition of its own, so that a lane's result
depends on neither the number of lanes nor how many lines share a loop.
"""

from riskpipe.compiled import inlined
from riskpipe.domain.book import FloatArray

PLAIN, ONE_EDGE, MANY_EDGES = range(3)
N_FORMS = 4
MOST_LINES = 2**24
HEAD, PLAIN_LINE, ONE_EDGE_LINE, MANY_EDGES_LINE, EDGE = 2, 3, 7, 5, 3  # numbers of each
BALANCE, POSITION, COIN_MARGIN = 7, 2, 7


@inlined
def play(
    record: FloatArray, price: FloatArray, n_lanes: int, amount: FloatArray, term: FloatArray, out: FloatArray
) -> None:
    """Set out[:n_lanes] to a pool's health in the first lanes.

    Parameters: record from the pool's head on; price [row, lane]; amount and term scratch [lane].
    """
    head, constant = int(record[0]), record[1]
    form, n, n_balances = head % N_FORMS, head // N_FORMS % MOST_LINES, head // (N_FORMS * MOST_LINES)
    lines = record[HEAD:]
    if form == PLAIN:
        add_plain(lines, n, constant, price, n_lanes, out)
        end = n * PLAIN_LINE
    elif form == ONE_EDGE:
        add_edged(lines, n, constant, price, n_lanes, out)
        end = n * ONE_EDGE_LINE
    else:
        end = add_many(lines, n, constant, price, n_lanes, term, out)
    for _ in range(n_balances):
        if lines[end] < 0.0:
            end = add_coin_margin(lines, end, price, n_lanes, term, out)
        else:
            end = add_balance(lines, end, price, n_lanes, amount, term, out)


@inlined
def add_plain(c: FloatArray, n: int, constant: float, price: FloatArray, n_lanes: int, out: FloatArray) -> None:
    """Set out[:n_lanes] to a constant plus n lines without edges."""
    if n == 0:
        for s in range(n_lanes):
            out[s] = constant
        return
    t = 0
    while t < n:
        left = n - t
        at = PLAIN_LINE * t
        a0, b0, x0 = c[at + 1], c[at + 2], price[int(c[at])]
        if left == 1:
            for s in range(n_lanes):
                out[s] = (constant if t == 0 else out[s]) + (a0 * x0[s] + b0)
            break
        at += PLAIN_LINE
        a1, b1, x1 = c[at + 1], c[at + 2], price[int(c[at])]
        if left == 2:
            for s in range(n_lanes):
                out[s] = ((constant if t == 0 else out[s]) + (a0 * x0[s] + b0)) + (a1 * x1[s] + b1)
            break
        at += PLAIN_LINE
        a2, b2, x2 = c[at + 1], c[at + 2], price[int(c[at])]
        if left == 3:
            for s in range(n_lanes):
                v = (constant if t == 0 else out[s]) + (a0 * x0[s] + b0)
                out[s] = (v + (a1 * x1[s] + b1)) + (a2 * x2[s] + b2)
            break
        at += PLAIN_LINE
        a3, b3, x3 = c[at + 1], c[at + 2], price[int(c[at])]
        for s in range(n_lanes):
            v = ((constant if t == 0 else out[s]) + (a0 * x0[s] + b0)) + (a1 * x1[s] + b1)
            out[s] = (v + (a2 * x2[s] + b2)) + (a3 * x3[s] + b3)
        t += 4


@inlined
def _edged(g: float, a: float, b: float, edge: float, above: float, above_intercept: float, x: float) -> float:
    below_line = a * x + b
    above_line = above * x + above_intercept
    return above_line if g * x >= edge else below_line


@inlined
def add_edged(c: FloatArray, n: int, constant: float, price: FloatArray, n_lanes: int, out: FloatArray) -> None:
    """Set out[:n_lanes] to a constant plus n lines with at most one edge each."""
    t = 0
    while t < n:
        left = n - t
        at = ONE_EDGE_LINE * t
        a0, b0, g0, e0, f0, i0 = c[at + 1], c[at + 2], c[at + 3], c[at + 4], c[at + 5], c[at + 6]
        x0 = price[int(c[at])]
        if left == 1:
            for s in range(n_lanes):
                out[s] = (constant if t == 0 else out[s]) + _edged(g0, a0, b0, e0, f0, i0, x0[s])
            break
        at += ONE_EDGE_LINE
        a1, b1, g1, e1, f1, i1 = c[at + 1], c[at + 2], c[at + 3], c[at + 4], c[at + 5], c[at + 6]
        x1 = price[int(c[at])]
        if left == 2:
            for s in range(n_lanes):
                v = (constant if t == 0 else out[s]) + _edged(g0, a0, b0, e0, f0, i0, x0[s])
                out[s] = v + _edged(g1, a1, b1, e1, f1, i1, x1[s])
            break
        at += ONE_EDGE_LINE
        a2, b2, g2, e2, f2, i2 = c[at + 1], c[at + 2], c[at + 3], c[at + 4], c[at + 5], c[at + 6]
        x2 = price[int(c[at])]
        for s in range(n_lanes):
            v = (constant if t == 0 else out[s]) + _edged(g0, a0, b0, e0, f0, i0, x0[s])
            v = v + _edged(g1, a1, b1, e1, f1, i1, x1[s])
            out[s] = v + _edged(g2, a2, b2, e2, f2, i2, x2[s])
        t += 3


@inlined
def add_many(
    c: FloatArray, n: int, constant: float, price: FloatArray, n_lanes: int, term: FloatArray, out: FloatArray
) -> int:
    """Set out[:n_lanes] to a constant plus n lines with any number of edges each; returns where they end."""
    at = 0
    for s in range(n_lanes):
        out[s] = constant
    for _ in range(n):
        x = price[int(c[at])]
        slope, intercept, gross, n_edges = c[at + 1], c[at + 2], c[at + 3], int(c[at + 4])
        at += MANY_EDGES_LINE
        for s in range(n_lanes):
            term[s] = slope * x[s] + intercept
        for _edge in range(n_edges):
            edge, slope, intercept = c[at], c[at + 1], c[at + 2]
            at += EDGE
            for s in range(n_lanes):
                above = slope * x[s] + intercept
                term[s] = above if gross * x[s] >= edge else term[s]
        for s in range(n_lanes):
            out[s] = out[s] + term[s]
    return at


@inlined
def _counted(h: float, amount: float, x: float, ratio: float, credit: float, intercept: float) -> float:
    """Health with an amount that is owned (and counts for what its band says) or owed (and counts at par)."""
    owned = amount * (x * ratio) * credit + intercept
    owed = amount * x
    return h + (owned if amount > 0.0 else owed)


@inlined
def add_balance(
    c: FloatArray, at: int, price: FloatArray, n_lanes: int, amount: FloatArray, term: FloatArray, out: FloatArray
) -> int:
    """Add to out[:n_lanes] what the balance at `at` counts for; returns where it ends."""
    x, ratio, base = price[int(c[at])], c[at + 1], c[at + 2]
    n, n_edges, credit, intercept = int(c[at + 3]), int(c[at + 4]), c[at + 5], c[at + 6]
    edges = at + BALANCE
    positions = edges + EDGE * n_edges
    end = positions + POSITION * n
    if n == 1 and n_edges == 0:
        payoff, size = price[int(c[positions])], c[positions + 1]
        for s in range(n_lanes):
            out[s] = _counted(out[s], base + size * payoff[s], x[s], ratio, credit, intercept)
        return end
    for s in range(n_lanes):
        amount[s] = base
    for j in range(n):
        payoff, size = price[int(c[positions + POSITION * j])], c[positions + POSITION * j + 1]
        for s in range(n_lanes):
            amount[s] = amount[s] + size * payoff[s]
    if n_edges == 0:
        for s in range(n_lanes):
            out[s] = _counted(out[s], amount[s], x[s], ratio, credit, intercept)
        return end
    for s in range(n_lanes):
        term[s] = amount[s] * (x[s] * ratio) * credit + intercept
    for k in range(n_edges):
        edge, credit, intercept = c[edges + EDGE * k], c[edges + EDGE * k + 1], c[edges + EDGE * k + 2]
        for s in range(n_lanes):
            owned = amount[s] * (x[s] * ratio)
            above = owned * credit + intercept
            term[s] = above if owned >= edge else term[s]
    for s in range(n_lanes):
        owned, owed = term[s], amount[s] * x[s]
        out[s] = out[s] + (owned if amount[s] > 0.0 else owed)
    return end


@inlined
def add_coin_margin(c: FloatArray, at: int, price: FloatArray, n_lanes: int, term: FloatArray, out: FloatArray) -> int:
    """Add to out[:n_lanes] the requirement in coins at `at`, a negative number; returns where it ends."""
    usd, x = price[int(-1.0 - c[at])], price[int(c[at + 1])]
    gross, slope, intercept, curvature, n_edges = c[at + 2], c[at + 3], c[at + 4], c[at + 5], int(c[at + 6])
    at += COIN_MARGIN
    for s in range(n_lanes):
        term[s] = (curvature * x[s] + slope) * x[s] + intercept
    for _edge in range(n_edges):
        edge, slope, intercept = c[at], c[at + 1], c[at + 2]
        at += EDGE
        for s in range(n_lanes):
            above = (curvature * x[s] + slope) * x[s] + intercept
            term[s] = above if gross * x[s] >= edge else term[s]
    for s in range(n_lanes):
        out[s] = out[s] + term[s] * usd[s]
    return at


@inlined
def collateral_slope(quantity: float, ratio: float, threshold: float) -> float:
    """Slope of a balance's line over its asset's USD price: its amount times its liquidation threshold, debt at par."""
    return quantity * ratio * max(0.0, threshold) if quantity > 0.0 else quantity
