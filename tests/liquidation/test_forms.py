"""Forms: loops over lanes against the same sums one scalar at a time, bit for bit."""

import numba
import numpy as np
import pytest
from support.hard_books import hard_case

from riskpipe.liquidation import forms
from riskpipe.liquidation.batches import evaluate, make_batch
from riskpipe.liquidation.health import (
    INITIAL,
    MAINTENANCE,
    add_many,
    make_lines,
    set_lines,
)
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.prices import n_rows, set_bounds, set_shocked_lane

ROWS, LANES = 5, 75


# what only compiled code may call needs a caller that is compiled
@numba.njit(cache=False)
def plain(price, row, c, n, constant, s0, s1, out):
    return forms.add_plain(price, row, c, n, constant, s0, s1, out)


@numba.njit(cache=False)
def edged(price, row, c, n, constant, s0, s1, out):
    return forms.add_edged(price, row, c, n, constant, s0, s1, out)


@numba.njit(cache=False)
def many(pools, terms, lines, p, low, high, price, s0, s1, kind, out):
    n, constant, form = set_lines(pools, terms, lines, p, low, high, kind)
    return form, n, add_many(terms, lines, price, n, constant, s0, s1, kind, out)


@numba.njit(cache=False)
def health(pools, terms, lines, batch, price, low, high, kind):
    evaluate(pools, terms, lines, batch, 1, kind, price, low, high)


@numba.njit(cache=False)
def health_alone(pools, terms, lines, batch, price, kind, out):
    """Set each lane's health as that of a box of its one point, which no edge crosses."""
    low = np.zeros(price.shape[0])
    for s in range(price.shape[1]):
        low[:] = price[:, s]
        batch.start[0], batch.stop[0] = s, s + 1
        evaluate(pools, terms, lines, batch, 1, kind, price, low, low)
        out[s] = batch.health[0, s]


def random_lines(rng, n):
    price = rng.lognormal(3.0, 1.0, (ROWS, LANES))
    row = rng.integers(0, ROWS, n).astype(np.int32)
    c = rng.normal(0.0, 100.0, (forms.N_COEFFICIENTS, n))
    c[forms.GROSS] = np.abs(c[forms.GROSS])
    # edges among the values, some of them exactly one, some never reached
    for t in range(n):
        c[forms.EDGE, t] = c[forms.GROSS, t] * price[row[t], int(rng.integers(0, LANES))]
    c[forms.EDGE, rng.random(n) < 0.2] = np.inf
    return price, row, c


def total(price, row, c, n, constant, s, *, has_edges):
    """Return a constant plus n lines in one lane: every multiplication and addition on its own, in order."""
    value = constant
    for t in range(n):
        x = float(price[row[t], s])
        gross, slope, intercept, edge, above, above_intercept = (float(v) for v in c[:, t])
        is_above = has_edges and gross * x >= edge
        value = value + (above * x + above_intercept if is_above else slope * x + intercept)
    return value


@pytest.mark.parametrize(("add", "has_edges", "fewest"), [(plain, False, 0), (edged, True, 1)])
def test_lines_add_up_as_scalars_do(add, has_edges, fewest):
    rng = np.random.default_rng(1)
    for n in range(fewest, 10):
        for s0, s1 in ((0, LANES), (0, 1), (32, 64), (7, 70)):
            price, row, c = random_lines(rng, n)
            constant = float(rng.choice([0.0, -37.5, 1234.5678]))
            out = np.full(LANES, 7.0)
            negative = add(price, row, c, n, constant, s0, s1, out)
            expected = [total(price, row, c, n, constant, s, has_edges=has_edges) for s in range(s0, s1)]
            assert out[s0:s1].tolist() == expected
            assert negative == sum(value < 0.0 for value in expected)
            assert np.all(out[:s0] == 7.0)
            assert np.all(out[s1:] == 7.0)


def test_a_lane_has_the_same_bits_in_each_of_the_forms():
    """The form is chosen by the box of all lanes' prices: none may change what a lane of it gets."""
    seen = set()
    for seed in range(25):
        case = hard_case(seed, n_accounts=10, n_scenarios=LANES)
        pools, terms = Kernel(case.book, case.market, case.rules).lowered(0.0)
        rng = np.random.default_rng(seed)
        price, bounds = np.zeros((n_rows(terms), LANES)), np.zeros((2, n_rows(terms)))
        for s in range(LANES):
            set_shocked_lane(terms, price, s, rng.uniform(-0.7, 0.7), rng.uniform(-0.05, 0.05))
        set_bounds(price, LANES, bounds[0], bounds[1])
        lines, batch, out = make_lines(pools, LANES), make_batch(LANES), np.zeros(LANES)
        for p in range(case.book.n_pools):
            batch.pool[0], batch.start[0], batch.stop[0] = p, 0, LANES
            for kind in (MAINTENANCE, INITIAL):
                health(pools, terms, lines, batch, price, bounds[0], bounds[1], kind)
                together, negative = batch.health[0].copy(), batch.negative[0]
                assert negative == np.count_nonzero(together < 0.0)
                health_alone(pools, terms, lines, batch, price, kind, out)
                assert np.array_equal(out, together), (seed, p, kind)
                batch.start[0], batch.stop[0] = 0, LANES
                form, n, below = many(pools, terms, lines, p, bounds[0], bounds[1], price, 0, LANES, kind, out)
                seen.add(form)
                if pools.is_plain[p] and n > 0:
                    assert np.array_equal(out, together)
                    assert below == negative
    assert seen == {forms.PLAIN, forms.ONE_EDGE, forms.MANY_EDGES}


def worst_loss(change, weight, size, row, n, s):
    worst = 0.0
    for k in range(len(weight)):
        loss = 0.0
        for j in range(n):
            loss -= float(size[j]) * float(weight[k]) * float(change[k, row[j], s])
        worst = max(worst, loss)
    return worst


@pytest.mark.parametrize("n_states", [1, 2, 16])
def test_a_scan_is_the_worst_loss_over_its_states(n_states):
    rng = np.random.default_rng(n_states)
    has_gain = False
    for n in range(10):
        for s0, s1 in ((0, LANES), (3, 4), (33, 70)):
            change = rng.normal(0.0, 10.0, (n_states, ROWS, LANES))
            weight = rng.choice([1.0, 0.35], n_states)
            size, row = rng.normal(0.0, 5.0, n), rng.integers(0, ROWS, n).astype(np.int32)
            out = np.full(LANES, -1.0)
            forms.add_scan(change, weight, size, row, n, s0, s1, np.zeros(LANES), out)
            expected = [worst_loss(change, weight, size, row, n, s) for s in range(s0, s1)]
            assert out[s0:s1].tolist() == expected
            assert np.all(out[:s0] == -1.0)
            assert np.all(out[s1:] == -1.0)
            has_gain = has_gain or 0.0 in expected
    assert has_gain


@pytest.mark.parametrize(
    ("quantity", "ratio", "threshold", "worth"),
    [
        (2.0, 1.0, 0.8, 160.0),
        (2.0, 0.95, 0.8, 152.0),  # owned: at the venue's own price
        (-2.0, 0.95, 0.8, -200.0),  # owed: at par
        (2.0, 1.0, -0.1, 0.0),  # no threshold is below 0
        (0.0, 1.0, 0.8, 0.0),
    ],
)
def test_collateral_counts_by_its_threshold_and_debt_at_par(quantity, ratio, threshold, worth):
    c = np.full((forms.N_COEFFICIENTS, 2), 9.0)
    forms.set_collateral_line(c, 1, quantity, ratio, threshold)
    price, row, out = np.array([[100.0, 50.0]]), np.zeros(1, np.int32), np.zeros(2)
    for add in (plain, edged):
        below = add(price, row, c[:, 1:], 1, 0.0, 0, 2, out)
        assert out.tolist() == pytest.approx([worth, worth / 2.0], rel=1e-15)
        assert below == (2 if worth < 0.0 else 0)
    assert np.all(c[:, 0] == 9.0)
