"""Views of spreads: net carry by hand, widening by a model's own state, half-lives, flows that close gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.calibrate.estimators.mixture import Mixture
from riskpipe.calibrate.estimators.plain import Ewma
from riskpipe.calibrate.estimators.reversion import fit_reversion
from riskpipe.calibrate.spreads.views import closing_flow, convergence, gap_of, net_carry, widening
from riskpipe.pricing.impact import LINEAR, impact

BP = 1e-4


def test_carry_of_a_perpetual_worked_by_hand():
    # 0.01% every 8 h is 10.95% a year; 20 bp of fees over 73 days are 1%; 4% on the cash and on half as much margin 6%
    found = net_carry(
        holding_days=73.0, round_trip_fees=20.0 * BP, funding_rate=BP, financing_rate=0.04, margin_share=0.5
    )
    assert found.gross == pytest.approx(0.1095)
    assert found.fees == pytest.approx(0.01)
    assert found.financing == pytest.approx(0.06)
    assert found.net == pytest.approx(0.0395)
    assert found.break_even_days == pytest.approx(0.0020 / ((0.1095 - 0.06) / 365.0))


def test_carry_of_a_future_held_to_expiry_worked_by_hand():
    # 2% over 73 days is 10% a year; fees 1%, financing 5%
    found = net_carry(holding_days=73.0, round_trip_fees=20.0 * BP, basis=0.02, financing_rate=0.05)
    assert (found.gross, found.net) == (pytest.approx(0.10), pytest.approx(0.04))


def test_the_reverse_trade_earns_what_the_other_pays_and_borrows_the_asset():
    there = net_carry(holding_days=30.0, round_trip_fees=0.0, funding_rate=-2.0 * BP, basis=-0.001)
    back = net_carry(holding_days=30.0, round_trip_fees=0.0, funding_rate=-2.0 * BP, basis=-0.001, is_reverse=True)
    assert back.gross == pytest.approx(-there.gross)
    assert back.gross > 0.0
    borrowed = net_carry(holding_days=30.0, round_trip_fees=0.0, financing_rate=0.03, margin_share=0.5, is_reverse=True)
    assert borrowed.financing == pytest.approx(0.03)


def test_carry_that_never_pays_has_no_break_even_and_arrays_keep_their_shape():
    found = net_carry(
        holding_days=np.array([[10.0], [100.0]]), round_trip_fees=0.001, funding_rate=np.array([BP, -BP, np.nan])
    )
    assert found.net.shape == (2, 3)
    assert np.isfinite(found.break_even_days[:, 0]).all()
    assert np.isinf(found.break_even_days[:, 1]).all()
    assert np.isnan(found.net[:, 2]).all()
    assert np.isnan(found.break_even_days[:, 2]).all()
    with pytest.raises(ValueError, match="holding_days must be above 0"):
        net_carry(holding_days=0.0, round_trip_fees=0.0)


@given(st.floats(-0.003, 0.003), st.floats(0.0, 0.01), st.floats(0.0, 0.2))
def test_held_until_it_breaks_even_carry_nets_nothing(funding_rate, fees, financing_rate):
    terms = {"round_trip_fees": fees, "funding_rate": funding_rate, "financing_rate": financing_rate}
    days = float(net_carry(holding_days=1.0, **terms).break_even_days)
    if 1e-9 < days < 1e6:  # fees too small to be written as a share of a day break even at once
        assert net_carry(holding_days=days, **terms).net == pytest.approx(0.0, abs=1e-9)


def reverting(rng, n, half_life=2.0, deviation=3.0 * BP):
    phi = 0.5 ** (1.0 / half_life)
    noise = rng.standard_normal(n) * deviation
    path = np.zeros(n)
    for t in range(1, n):
        path[t] = phi * path[t - 1] + noise[t]
    return path


def fitted_to(spread, estimator=None):
    changes = np.diff(spread, prepend=np.nan)
    return (estimator or Mixture()).fit(changes)


def test_ordinary_hours_are_flagged_as_seldom_as_their_threshold_says():
    rng = np.random.default_rng(1)
    spread = reverting(rng, 3_000)
    fitted = fitted_to(spread)
    scores = np.array([widening(spread[:end], fitted).score for end in range(2_000, 3_000, 5)])
    assert scores.std(axis=0) == pytest.approx([1.0, 1.0, 1.0], abs=0.2)
    assert (np.abs(scores) > 3.0).mean() < 0.01


def test_a_widening_is_flagged_in_the_horizons_that_saw_it_and_not_as_it_closes():
    rng = np.random.default_rng(2)
    spread = reverting(rng, 3_000)
    fitted = fitted_to(spread)
    shocked = spread.copy()
    shocked[-3:] -= 60.0 * BP  # two hours ago
    found = widening(shocked, fitted)
    assert found.is_widening.tolist() == [False, True, True]
    assert (found.score[1:] < -3.0).all()
    closing = spread.copy()
    closing[-900:-5] -= 60.0 * BP
    plain = fitted_to(spread, Ewma(0.94))
    assert widening(closing, plain, (8,), level=0.0).score[0] > 3.0
    assert not widening(closing, plain, (8,), level=0.0).is_widening.any()
    assert widening(closing, plain, (8,), level=-60.0 * BP).is_widening.all(), "from the level that it had for weeks"


def test_the_same_move_is_less_of_a_surprise_in_a_loud_market():
    rng = np.random.default_rng(3)
    quiet = 3.0 * BP * rng.standard_normal(2_000).cumsum() * 0.1
    loud = np.concatenate([quiet[:-200], quiet[-201] + 30.0 * BP * rng.standard_normal(200)])
    fitted = fitted_to(quiet, Ewma(0.94))
    moved = [series.copy() for series in (quiet, loud)]
    for series in moved:
        series[-1] = series[-2] + 30.0 * BP
    scores = [widening(series, fitted, (1,)).score[0] for series in moved]
    assert scores[0] > 20.0
    assert abs(scores[1]) < 2.0


def test_a_spread_that_never_moved_has_score_zero_and_an_infinite_one_when_it_does():
    still = np.full(400, 5.0 * BP)
    fitted = fitted_to(still, Ewma(0.94))
    assert widening(still, fitted).score.tolist() == [0.0, 0.0, 0.0]
    moved = still.copy()
    moved[-1] += BP
    found = widening(moved, fitted)
    assert np.isposinf(found.score).all()
    assert found.is_widening.all()


def test_a_gap_at_either_end_or_too_short_a_series_is_not_measured():
    rng = np.random.default_rng(4)
    spread = reverting(rng, 1_000)
    fitted = fitted_to(spread, Ewma(0.94))
    for at, missing in ((-1, [True] * 3), (-9, [False, True, False])):
        holed = spread.copy()
        holed[at] = np.nan
        found = widening(holed, fitted)
        assert np.isnan(found.score).tolist() == missing
        assert not found.is_widening[np.isnan(found.score)].any()
    assert np.isnan(widening(spread[:2], fitted).score).tolist() == [True] * 3


@pytest.mark.parametrize("half_life", [1.0, 4.0, 24.0])
def test_half_lives_are_recovered_within_their_errors_as_often_as_they_say(half_life):
    rng = np.random.default_rng(5)
    found = [convergence(reverting(rng, 3_000, half_life)) for _ in range(60)]
    z = np.array([(one.half_life - half_life) / one.half_life_error for one in found])
    covered = [one.half_life_low <= half_life <= one.half_life_high for one in found]
    assert abs(z.mean()) < 0.5
    assert z.std() == pytest.approx(1.0, abs=0.35)
    assert np.mean(covered) > 0.85
    assert all(one.is_converging for one in found)


def test_noise_on_closes_shortens_a_half_life_unless_it_is_removed():
    rng = np.random.default_rng(6)
    spread = reverting(rng, 30_000, 12.0) + 6.0 * BP * rng.standard_normal(30_000)
    plain, removed = convergence(spread), convergence(spread, is_noise_removed=True)
    assert plain.half_life < 4.0
    assert removed.half_life == pytest.approx(12.0, abs=3.0 * removed.half_life_error)
    assert removed.half_life_error < 3.0


def test_one_dislocation_does_not_decide_a_half_life():
    rng = np.random.default_rng(7)
    spread = reverting(rng, 5_000, 6.0)
    hit = spread.copy()
    hit[2_500] -= 0.25
    assert convergence(hit).half_life == pytest.approx(convergence(spread).half_life, rel=0.15)
    assert fit_reversion(hit).half_life < 0.3, "by plain least squares it does"


def test_a_random_walk_does_not_converge_and_a_constant_has_no_half_life_to_wait():
    rng = np.random.default_rng(8)
    walk = convergence(rng.standard_normal(2_000).cumsum())
    assert not walk.is_converging
    assert np.isinf(walk.half_life_high)
    still = convergence(np.full(100, BP))
    assert (still.half_life, still.half_life_low, still.half_life_high) == (0.0, 0.0, 0.0)
    assert np.isnan(convergence(np.arange(40.0)).half_life)
    noise = convergence(np.tile([1.0, -1.0, 0.0], 100), is_noise_removed=True)
    assert np.isnan(noise.half_life), "nothing stays beyond an hour"


def test_gaps_break_pairs_and_nothing_else():
    rng = np.random.default_rng(9)
    spread = reverting(rng, 4_000)
    holed = spread.copy()
    holed[::10] = np.nan
    found = convergence(holed)
    assert found.n_pairs == 4_000 - 800
    assert found.half_life == pytest.approx(2.0, abs=4.0 * found.half_life_error)


def test_the_flow_that_closes_a_gap_worked_by_hand():
    # both legs 1% deep at 100m: 2% apart with no cost; (1.02)/1e10 + 1/1e10 -> 0.02 / (2.02e-10) USD
    assert closing_flow(0.02, 1e10, 1e10) == pytest.approx(0.02 / 2.02e-10)
    assert closing_flow(0.01, 1e10, np.inf, 0.002) == pytest.approx(0.008 / (1.01 / 1e10)), (
        "an index that does not move"
    )
    assert closing_flow(0.001, 1e10, 1e10, 0.002) == 0.0
    assert np.isnan(closing_flow(0.01, np.nan, 1e10))
    assert closing_flow(0.01, 0.0, 1e10) == 0.0


@given(st.floats(0.0, 0.5), st.floats(1e6, 1e12), st.floats(1e6, 1e12), st.floats(0.0, 0.05))
def test_that_flow_leaves_exactly_the_cost_by_the_linear_law(gap, rich, cheap, cost):
    flow = float(closing_flow(gap, rich, cheap, cost))
    sold = 1.0 + impact(LINEAR, -flow, rich, 0.0, 1.0, np.inf)
    bought = 1.0 + impact(LINEAR, flow, cheap, 0.0, 1.0, np.inf)
    left = (1.0 + gap) * sold / bought - 1.0
    assert left == pytest.approx(min(gap, cost), abs=1e-12)


@given(st.floats(-0.5, 1.0))
def test_a_gap_is_the_same_whichever_leg_comes_first(spread):
    other = 1.0 / (1.0 + spread) - 1.0
    assert gap_of(spread) >= 0.0
    assert gap_of(spread) == pytest.approx(float(gap_of(other)), rel=1e-9, abs=1e-12)


def test_flows_work_on_arrays_of_pairs():
    flows = closing_flow(gap_of(np.array([0.01, -0.01, 0.0])), np.full(3, 1e9), np.array([1e9, 1e9, 1e9]), 5.0 * BP)
    assert flows[0] > 0.0
    assert flows[1] > flows[0], "1 / 0.99 is further apart than 1.01"
    assert flows[2] == 0.0
