"""Forms: loops over lanes against the same sums one scalar at a time, bit for bit."""

import numba
import numpy as np
import pytest
from support.hard_books import hard_case

from riskpipe.liquidation import forms
from riskpipe.liquidation.health import set_health
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.prices import n_rows, set_bounds, set_shocked_lane
from riskpipe.liquidation.records import INITIAL, MAINTENANCE, make_draft
from riskpipe.liquidation.shocks import index_shocks

ROWS, LANES = 5, 75


# what only compiled code may call needs a caller that is compiled
@numba.njit(cache=False)
def play(record, price, n_lanes, out):
    amount, term = np.zeros(len(out)), np.zeros(len(out))
    return forms.play(record, price, n_lanes, amount, term, out)


@numba.njit(cache=False)
def health(pools, terms, draft, p, low, high, kind, price, out):
    return set_health(pools, terms, draft, p, low, high, kind, price, price.shape[1], out)


@numba.njit(cache=False)
def health_alone(pools, terms, draft, p, kind, price, out):
    """Set each lane's health as that of a box of its one point, which no edge crosses."""
    low, alone = np.zeros(price.shape[0]), np.zeros((price.shape[0], 1))
    for s in range(price.shape[1]):
        low[:] = price[:, s]
        alone[:, 0] = low
        set_health(pools, terms, draft, p, low, low, kind, alone, 1, out[s : s + 1])


def head(form, n, n_balances=0):
    return form + forms.N_FORMS * (n + forms.MOST_LINES * n_balances)


def random_record(rng, form, n, n_balances):
    """Return prices, and a record of n lines and some balances with edges among the values that they take."""
    price = rng.lognormal(3.0, 1.0, (ROWS, LANES))
    record = [head(form, n, n_balances), float(rng.choice([0.0, -37.5, 1234.5678]))]
    for _ in range(n):
        row, (slope, intercept) = int(rng.integers(0, ROWS)), rng.normal(0.0, 100.0, 2)
        gross = abs(rng.normal(0.0, 100.0))
        line = [row, slope, intercept]
        if form == forms.ONE_EDGE:
            edge = np.inf if rng.random() < 0.2 else gross * price[row, int(rng.integers(0, LANES))]
            line += [gross, edge, *rng.normal(0.0, 100.0, 2)]
        elif form == forms.MANY_EDGES:
            edges = np.sort(gross * rng.choice(price[row], int(rng.integers(0, 4))))
            line += [gross, len(edges), *(v for edge in edges for v in (edge, *rng.normal(0.0, 100.0, 2)))]
        record += line
    for _ in range(n_balances):
        row, ratio, base = int(rng.integers(0, ROWS)), rng.uniform(0.9, 1.1), rng.normal(0.0, 10.0)
        edges = np.sort(10.0 * rng.choice(price[row], int(rng.integers(0, 3))))
        positions = [(int(rng.integers(0, ROWS)), rng.normal(0.0, 1.0)) for _ in range(int(rng.integers(0, 4)))]
        record += [row, ratio, base, len(positions), len(edges), *rng.uniform(0.0, 1.0, 2)]
        record += [v for edge in edges for v in (edge, *rng.uniform(0.0, 1.0, 2))]
        record += [v for position in positions for v in position]
    return price, np.array(record, dtype=float)


def total(record, price, s):
    """Return what a record comes to in one lane: every multiplication and addition on its own, in order."""
    numbers = iter(record.tolist())
    code, value = int(next(numbers)), next(numbers)
    form, n, n_balances = code % forms.N_FORMS, code // forms.N_FORMS % forms.MOST_LINES, code >> 26
    for _ in range(n):
        x, slope, intercept = float(price[int(next(numbers)), s]), next(numbers), next(numbers)
        if form != forms.PLAIN:
            gross = next(numbers)
            for _ in range(1 if form == forms.ONE_EDGE else int(next(numbers))):
                edge, above, above_intercept = next(numbers), next(numbers), next(numbers)
                slope, intercept = (above, above_intercept) if gross * x >= edge else (slope, intercept)
        value += slope * x + intercept
    for _ in range(n_balances):
        x, ratio, amount = float(price[int(next(numbers)), s]), next(numbers), next(numbers)
        n_positions, n_edges, credit, intercept = (next(numbers) for _ in range(4))
        bands = [tuple(next(numbers) for _ in range(3)) for _ in range(int(n_edges))]
        for _ in range(int(n_positions)):
            row, size = int(next(numbers)), next(numbers)
            amount += size * float(price[row, s])
        owned = amount * (x * ratio)
        for edge, credit_above, intercept_above in bands:
            credit, intercept = (credit_above, intercept_above) if owned >= edge else (credit, intercept)
        value += owned * credit + intercept if amount > 0.0 else amount * x
    assert next(numbers, None) is None
    return value


@pytest.mark.parametrize("form", [forms.PLAIN, forms.ONE_EDGE, forms.MANY_EDGES])
def test_records_add_up_as_scalars_do(form):
    rng = np.random.default_rng(1)
    for n in range(1 if form == forms.ONE_EDGE else 0, 10):  # a record without lines is plain
        for n_balances in range(4):
            for n_lanes in (LANES, 1, 32, 70):
                price, record = random_record(rng, form, n, n_balances)
                out = np.full(LANES, 7.0)
                play(record, price, n_lanes, out)
                assert out[:n_lanes].tolist() == [total(record, price, s) for s in range(n_lanes)]
                assert np.all(out[n_lanes:] == 7.0)


def test_a_lane_has_the_same_bits_however_wide_the_box_is():
    """A record holds in the box of all lanes' prices: how many edges that gives it may not change any lane."""
    seen, n_balances = set(), 0
    for seed in range(25):
        case = hard_case(seed, n_accounts=10, n_scenarios=LANES)
        pools, terms = Kernel(case.book, case.market, case.rules).lowered(0.0)
        rng = np.random.default_rng(seed)
        price, bounds = np.zeros((n_rows(terms), LANES)), np.zeros((2, n_rows(terms)))
        x, y = rng.uniform([-0.7, -0.05], [0.7, 0.05], (LANES, 2)).T.copy()
        shocks = index_shocks(*x)._replace(basis_shock=y)
        for s in range(LANES):
            set_shocked_lane(terms, price, s, shocks, s, 1.0)
        set_bounds(price, LANES, bounds[0], bounds[1])
        wider = np.where(bounds > 0.0, bounds * [[0.2], [5.0]], bounds * [[5.0], [0.2]])
        draft, out, together = make_draft(pools, terms, LANES), np.zeros(LANES), np.zeros(LANES)
        for p in range(case.book.n_pools):
            for kind in (MAINTENANCE, INITIAL):
                health_alone(pools, terms, draft, p, kind, price, out)
                for low, high in (bounds, wider):
                    health(pools, terms, draft, p, low, high, kind, price, together)
                    assert np.array_equal(out, together), (seed, p, kind)
                    seen.add(int(draft.record[0]) % forms.N_FORMS)
                    n_balances += int(draft.record[0]) >> 26
    assert seen == {forms.PLAIN, forms.ONE_EDGE, forms.MANY_EDGES}
    assert n_balances > 100


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
    slope = forms.collateral_slope(quantity, ratio, threshold)
    price, out = np.array([[100.0, 50.0]]), np.zeros(2)
    play(np.array([head(forms.PLAIN, 1), 0.0, 0.0, slope, 0.0]), price, 2, out)
    assert out.tolist() == pytest.approx([worth, worth / 2.0], rel=1e-15)
