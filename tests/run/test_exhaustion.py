"""The search for exhausting moves finds what looking at every point of its grid would find."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import random_case

from riskpipe.config import ExhaustionConfig, resolve
from riskpipe.domain.scenarios import Variant
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.reference_shocks import shocked_assets
from riskpipe.run.exhaustion import n_searched, search, search_of
from riskpipe.scenarios.grid import scenario_set
from riskpipe.scenarios.walks import walk

SETTINGS = ExhaustionConfig(steps=8, refine=3, furthest_down=0.8, furthest_up=0.4, depth_factors=(1.0, 0.5))
POINTS = 32  # of a walk on the finest grid: steps x (refine + 1)


def fine(direction):
    return np.arange(POINTS + 1) / POINTS * (-0.8 if direction == 0 else 0.4)


@given(st.lists(st.floats(0.02, 0.8), min_size=3, max_size=3), st.floats(0.5, 1.5))
def test_a_fund_that_fails_for_good_is_bracketed_by_one_step_of_the_finest_grid(thresholds, stretch):
    """Fund f fails where the move, larger in thin markets, is beyond its threshold."""

    def is_exhausted(points):
        return np.abs(points[:, 1:]) / points[:, :1] ** (stretch - 1.0) >= np.array(thresholds)

    found = search(is_exhausted, SETTINGS, 3)
    for d in range(2):
        moves = fine(d)
        for k, depth in enumerate(SETTINGS.depth_factors):
            seen = is_exhausted(np.stack((np.full(len(moves), depth), moves), axis=1))
            for f in range(3):
                hit = np.flatnonzero(seen[:, f])
                last, first = found["last_held"][d, k, f], found["first_exhausted"][d, k, f]
                if len(hit) == 0:
                    assert np.isnan(first)
                    assert last == pytest.approx(moves[-1])
                    continue
                assert first == pytest.approx(moves[hit[0]], abs=1e-12)
                assert last == pytest.approx(moves[hit[0] - 1], abs=1e-12)
                assert np.isnan(found["heals_at"][d, k, f])


def test_a_fund_that_fails_without_a_move_is_told_at_zero_and_not_at_minus_zero():
    found = search(lambda points: np.ones((len(points), 1), dtype=np.bool_), SETTINGS, 1)["first_exhausted"]
    assert (found == 0.0).all()
    assert not np.signbit(found).any()


def test_a_fund_that_heals_and_fails_again_is_told_by_its_first_failure():
    def is_exhausted(points):
        size = np.abs(points[:, 1:])
        return ((size >= 0.1) & (size < 0.25)) | (size > 0.35)

    found = search(is_exhausted, SETTINGS, 1)
    assert found["first_exhausted"][0, 0, 0] == pytest.approx(-0.1)
    assert found["last_held"][0, 0, 0] == pytest.approx(-0.075)
    assert found["heals_at"][0, 0, 0] == pytest.approx(-0.3)
    assert found["heals_at"][1, 0, 0] == pytest.approx(0.25)


def test_a_fund_exhausted_without_a_move_is_told_so_and_costs_no_further_look():
    looks = []

    def is_exhausted(points):
        looks.append(len(points))
        return np.ones((len(points), 1), dtype=bool)

    found = search(is_exhausted, SETTINGS, 1)
    assert np.all(found["first_exhausted"] == 0.0)
    assert np.isnan(found["last_held"]).all()
    assert looks == [2 * 2 * 9]


def test_an_asset_alone_moves_no_other_and_the_index_is_the_grids():
    case = random_case(5, n_accounts=40)
    book, market, rules = case.book, case.market, case.rules
    kernel = Kernel(book, market, rules)
    moves, depth = np.array([-0.5, 0.3]), np.array([0.5, 1.0])
    alone = walk(moves, depth, 0, book.n_assets, Variant())
    for s in range(2):
        price = np.array(shocked_assets(market, alone, s, 1.0))
        assert price[1:].tolist() == market.index_price[1:].tolist()
        assert price[0] == pytest.approx(market.index_price[0] * (1.0 + moves[s]), rel=1e-14)
    index = kernel.run(walk(moves, depth, None, book.n_assets, Variant())).values
    for s in range(2):
        grid = scenario_set({"index_shock": [moves[s]], "depth_factor": [depth[s]]})
        for key, values in kernel.run(grid).values.items():
            assert np.array_equal(values[0], index[key][s], equal_nan=True), key


def test_the_largest_underlyings_move_alone_and_nothing_moves_unless_asked_for():
    book = random_case(5, n_accounts=40).book

    def config(**exhaustion):
        given = {"exhaustion": exhaustion} if exhaustion else {}
        return resolve({"snapshot": "x", "store": "y", "scenarios": given}, subject="test")

    assert search_of(config(), book).movers == ()
    assert n_searched(config(), search_of(config(), book), book.n_funds) == 0
    asked = config(assets=2, steps=5, refine=2, depth_factors=[1.0])
    found = search_of(asked, book)
    assert found.movers[0] == "index"
    held = np.zeros(book.n_assets)
    usd = np.where(book.instrument_is_inverse, 1.0, book.mark_price) * book.instrument_multiplier
    usd = usd * book.index_price[book.instrument_quote]
    weight = book.account_weight[book.pool_account][
        np.repeat(np.arange(book.n_pools), np.diff(book.pool_position_start))
    ]
    i = book.position_instrument
    np.add.at(held, book.instrument_underlying[i], np.abs(book.position_quantity) * usd[i] * weight)
    names = book.names("asset")
    assert list(found.movers[1:]) == [names[c] for c in np.argsort(-held)[:2]]
    looks = []

    def is_exhausted(points):
        looks.append(len(points))
        return np.abs(points[:, 1:]) > np.linspace(0.1, 0.5, book.n_funds)

    search(is_exhausted, asked.scenarios.exhaustion, book.n_funds)
    assert sum(looks) <= 2 * n_searched(asked, found, book.n_funds) // len(found.movers)
