"""Sketches: single precision never says more than it knows, and knows nearly everything."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from strategies import random_case
from support.hard_books import hard_case

from riskpipe.liquidation import tape
from riskpipe.liquidation.batches import evaluate_sketches, make_batch, note_failing
from riskpipe.liquidation.footprint import WIDTH
from riskpipe.liquidation.forms import MANY_EDGES, MOST_LINES, N_FORMS, POSITION
from riskpipe.liquidation.health import play_alone
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.prices import n_rows, set_bounds, set_shocked_lane
from riskpipe.liquidation.records import MAINTENANCE, make_draft, record_alone
from riskpipe.liquidation.shocks import shocks_of
from riskpipe.liquidation.sketches import (
    MOST,
    RAMP,
    SKETCH_BALANCE,
    SKETCH_COIN,
    SKETCH_EDGE,
    SKETCH_HEAD,
    SKETCH_LINE,
    write_sketch,
)

N_LANES = 2 * WIDTH


@numba.njit(cache=False)
def both(pools, terms, draft, batch, p, low, high, price, rounded, number, start):
    """Failing lanes by the sketch, whether they are sure, failing lanes by the record; health stays in the batch."""
    batch.start[0] = start
    evaluate_sketches(number, batch, 1, rounded, price.shape[1] // WIDTH)
    by_sketch, is_sure = batch.failing[0, 0], batch.is_sure[0]
    record_alone(pools, terms, draft, p, low, high, MAINTENANCE)
    play_alone(draft.record, price, price.shape[1], batch.amount, batch.term, batch.health[0])
    note_failing(batch, 0, 0, price.shape[1])
    return by_sketch, is_sure, batch.failing[0, 0]


def in_numpy(sketch, price):
    """What a sketch gives in every lane, read here in another way: numpy's single precision, no fused operations."""
    one = np.float32
    head = int(sketch[0])
    n, n_ramps, n_balances = head % MOST, head // MOST % MOST, head // MOST**2
    health, at = np.full(price.shape[1], sketch[2]), SKETCH_HEAD
    for _ in range(n):
        health = health + sketch[at + 1] * price[int(sketch[at])]
        at += SKETCH_LINE
    for _ in range(n_ramps):
        row, gross, edge, ramp = sketch[at : at + RAMP]
        health = health + ramp * np.maximum(gross * price[int(row)] + edge, one(0))
        at += RAMP
    for _ in range(n_balances):
        if sketch[at] < 0:
            coin, row, slope, intercept, curvature = sketch[at : at + SKETCH_COIN]
            x = price[int(row)]
            health = health + ((curvature * x + slope) * x + intercept) * price[int(-1 - coin)]
            at += SKETCH_COIN
            continue
        row, ratio, amount, n_positions, n_edges, credit, intercept = sketch[at : at + SKETCH_BALANCE]
        n_edges = max(n_edges, 0)  # of a plain one
        edges = sketch[at + SKETCH_BALANCE :][: SKETCH_EDGE * int(n_edges)].reshape(-1, SKETCH_EDGE)
        at += SKETCH_BALANCE + edges.size
        for _position in range(int(n_positions)):
            amount = amount + sketch[at + 1] * price[int(sketch[at])]
            at += POSITION
        owed = amount * price[int(row)]
        owned = owed * ratio * credit + intercept
        for edge, change in edges:
            owned = owned + change * np.maximum(owed * ratio + edge, one(0))
        health = health + np.where(amount > 0, owned, owed)
    return health


def sketched(case, *, seed=0, change=lambda terms: terms):
    """Give each pool that can be closed at prices around one of the case's scenarios: its sketch, both answers, health
    and rounded prices.
    """
    rng = np.random.default_rng(seed)
    pools, terms = Kernel(case.book, case.market, case.rules).lowered(0.0)
    terms = change(terms)
    rows = n_rows(terms)
    price, low, high = np.zeros((rows, N_LANES)), np.zeros(rows), np.zeros(rows)
    shocks = shocks_of(case.scenarios, rng.integers(0, len(case.scenarios), N_LANES))
    for s in range(N_LANES):
        set_shocked_lane(terms, price, s, shocks, s, rng.uniform(0.0, 1.0))
    set_bounds(price, N_LANES, low, high)
    made, draft, batch = tape.make_tape(pools, terms, rows), make_draft(pools, terms, 1), make_batch(N_LANES)
    tape.fit(
        pools, terms, draft, made, made.tiles(len(pools.account))[0], low, high, room=float(rng.choice([1.0, 3.0]))
    )
    rounded = price.astype(np.float32)
    for j in range(made.n_records):
        start, p = made.start[j], made.pool[j]
        answers = both(pools, terms, draft, batch, p, made.low, made.high, price, rounded, made.number, start)
        yield made.number[start:], answers, batch.health[0].copy(), rounded


@pytest.mark.parametrize("make", [random_case, hard_case], ids=["random", "hard"])
def test_a_sketch_is_off_by_no_more_than_its_bound_and_says_so_where_that_matters(make):
    n, n_sure, n_edges, n_balances = 0, 0, 0, 0
    for seed in range(12):
        case = make(seed, n_accounts=60, n_scenarios=20)
        for sketch, (by_sketch, is_sure, by_record), health, rounded in sketched(case, seed=seed):
            bound, head = float(sketch[1]), int(sketch[0])
            n, n_sure = n + 1, n_sure + is_sure
            n_edges, n_balances = n_edges + (head // MOST % MOST > 0), n_balances + (head // MOST**2 > 0)
            if is_sure:
                assert by_sketch == by_record
            if np.isfinite(bound):
                off = np.abs(in_numpy(sketch, rounded).astype(np.float64) - health)
                assert np.all(off <= bound), f"off by {off.max():g}, bound {bound:g}"
    assert n_edges > 50
    assert n_balances > 50
    assert n_sure > 0.8 * n  # hard books have tiers that jump, and pools of some bands


@numba.njit(cache=False)
def failing_of(number, batch, price):
    batch.start[0] = 0
    evaluate_sketches(number, batch, 1, price, price.shape[1] // WIDTH)
    return batch.failing[0, 0]


@pytest.mark.parametrize("curvature", [-1.0, -1.5])
@pytest.mark.parametrize("n_lines", [0, 1, 2, 3])
def test_a_requirement_in_coins_is_taken_for_no_balance(curvature, n_lines):
    """What tells a plain balance stands where a requirement in coins has its curvature."""
    lines = [x for _ in range(n_lines) for x in (0.0, 0.25, 0.0)]
    record = [BALANCES + N_FORMS * n_lines, 0.0, *lines, -1.0, 1.0, 2.0, 0.1, 3.0, curvature, 0.0]
    sketch = written(record, [5.0, 6.0])
    price = np.array([np.linspace(0.5, 5.0, N_LANES), np.linspace(0.6, 6.0, N_LANES)], dtype=np.float32)
    health = in_numpy(sketch, price)
    assert 0 < np.sum(health < 0.0) < N_LANES
    expected = sum(1 << lane for lane in range(N_LANES) if health[lane] < 0.0)
    assert int(failing_of(sketch, make_batch(N_LANES), price)) == expected


@numba.njit(cache=False)
def is_sure_of(number, batch, price):
    batch.start[0] = 0
    evaluate_sketches(number, batch, 1, price, price.shape[1] // WIDTH)
    return batch.is_sure[0]


def test_a_pool_at_its_trigger_leaves_doubt_and_one_three_bounds_away_none():
    batch, n = make_batch(N_LANES), 0
    for sketch, _, health, rounded in sketched(random_case(7, n_accounts=60, n_scenarios=20)):
        bound, moved = float(sketch[1]), sketch.copy()
        if not np.isfinite(bound):
            continue
        n += 1
        moved[2] = np.float32(float(sketch[2]) - health[5])
        assert not is_sure_of(moved, batch, rounded)
        moved[2] = np.float32(float(sketch[2]) - health.min() + 3.0 * bound)
        assert is_sure_of(moved, batch, rounded)
        moved[2] = np.float32(float(sketch[2]) - health.max() - 3.0 * bound)
        assert is_sure_of(moved, batch, rounded)
    assert n > 40


def steps(terms):
    """Tiers whose margin jumps where they start, as it does without deductions."""
    return terms._replace(tier_deduction=np.zeros_like(terms.tier_deduction))


def test_tiers_that_jump_leave_as_much_doubt_as_they_jump():
    n = 0
    for seed in range(6):
        case = hard_case(seed, n_accounts=60, n_scenarios=20)
        for sketch, (by_sketch, is_sure, by_record), health, rounded in sketched(case, seed=seed, change=steps):
            if is_sure:
                assert by_sketch == by_record
            if np.isfinite(sketch[1]) and int(sketch[0]) // MOST % MOST > 0:
                n += 1
                assert np.all(np.abs(in_numpy(sketch, rounded).astype(np.float64) - health) <= sketch[1])
    assert n > 20


@pytest.mark.parametrize("factor", [1e30, 1e300, 1e-42, 1e-300])
def test_numbers_that_single_precision_cannot_hold_leave_no_bound_or_are_covered_by_it(factor):
    case = hard_case(2, n_accounts=60, n_scenarios=20)
    book = replace(case.book, position_quantity=case.book.position_quantity * factor)
    n_unbounded, n = 0, 0
    for sketch, (by_sketch, is_sure, by_record), _, _ in sketched(replace(case, book=book)):
        n, n_unbounded = n + 1, n_unbounded + (not np.isfinite(sketch[1]))
        if is_sure:
            assert by_sketch == by_record
        assert np.isfinite(sketch[1]) or not is_sure
    assert n > 20
    assert (n_unbounded > 0) == (factor > 1.0)


def test_a_price_that_is_no_number_hides_no_doubt_of_another_lane():
    n_lanes, n = 3 * WIDTH, 0
    batch = make_batch(n_lanes)
    for sketch, _, health, rounded in sketched(random_case(7, n_accounts=60, n_scenarios=20)):
        if np.isfinite(sketch[1]) and int(sketch[0]) % MOST > 0:
            moved, price = sketch.copy(), np.repeat(rounded[:, 5:6], n_lanes, axis=1)
            moved[2] = np.float32(float(sketch[2]) - health[5])
            price[:, WIDTH:] *= np.float32(2.0)
            price[int(sketch[SKETCH_HEAD]), WIDTH + 5] = np.nan
            assert not is_sure_of(moved, batch, price)
            n += 1
    assert n > 20


def written(record, most):
    sketch = np.zeros(64, dtype=np.float32)
    with np.errstate(over="ignore"):
        write_sketch.py_func(np.array(record), np.array(most), sketch)
    return sketch


BALANCES = N_FORMS * MOST_LINES
"""What a head counts a balance as."""


@pytest.mark.parametrize(
    ("record", "most", "has_bound"),
    [
        ([N_FORMS, 1.0, 0.0, 2.0, 3.0], [5.0], True),
        ([N_FORMS, 1.0, 0.0, np.nan, 3.0], [5.0], False),
        ([N_FORMS, np.nan, 0.0, 2.0, 3.0], [5.0], False),
        ([N_FORMS, 1.0, 0.0, 2.0, 3.0], [np.inf], False),
        ([N_FORMS, 1.0, 0.0, 1e19, 3.0], [1e-19], False),
        ([BALANCES, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.9, 0.0], [5.0], True),
        ([BALANCES, 0.0, 0.0, np.nan, 2.0, 0.0, 0.0, 0.9, 0.0], [5.0], False),
        ([BALANCES, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, np.nan, 0.0], [5.0], False),
        ([BALANCES, 0.0, -1.0, 1.0, 2.0, 0.1, 3.0, 0.4, 0.0], [5.0, 6.0], True),
        ([BALANCES, 0.0, -1.0, 1.0, 2.0, 1e40, 3.0, 0.4, 0.0], [1e-30, 1e-27], False),
        ([BALANCES, 0.0, -1.0, 1.0, 2.0, 0.1, 3.0, 0.4, 1.0, 7.0, 8.0, 9.0], [5.0, 6.0], False),
        ([MANY_EDGES + N_FORMS, 0.0, 0.0, 1.0, 0.0, 1.0, 2.0, 50.0, 0.9, 5.0, 100.0, 0.8, 15.0], [200.0], True),
        ([MANY_EDGES + N_FORMS, 0.0, 0.0, 1.0, 0.0, 1.0, 2.0, 100.0, 0.9, 5.0, 50.0, 0.8, 15.0], [200.0], False),
    ],
)
def test_a_sketch_has_a_bound_only_where_single_precision_holds_its_numbers_and_ramps_its_edges(
    record, most, has_bound
):
    assert bool(np.isfinite(written(record, most)[1])) == has_bound


def test_a_pool_of_more_lines_than_a_sketch_holds_is_played_from_its_record():
    case = random_case(4, n_accounts=3, n_instruments=MOST + 20, n_scenarios=4)
    found = [(sketch[1], answers[1]) for sketch, answers, _, _ in sketched(case)]
    widest = max(np.diff(case.book.pool_position_start))
    assert (widest >= MOST) == any(not np.isfinite(bound) and not is_sure for bound, is_sure in found)
