"""Hedged positions: first passage against closed forms, what hedges leave, and margin that runs out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from riskpipe.calibrate.spreads.hedged import (
    HedgedPosition,
    basis_risk,
    exhaustion_probability,
    hedge_outcome,
    margin_needed,
)
from riskpipe.calibrate.spreads.passage import (
    Draws,
    SpreadProcess,
    brownian_passage,
    first_passage,
    hourly_deviations,
    passage_to_mean,
)

BP = 1e-4
HOURS = (1, 8, 24, 168)


@settings(max_examples=15)
@given(st.floats(0.2, 3.0), st.integers(0, 2**31), st.booleans())
def test_a_simulated_random_walk_passes_as_often_as_brownian_motion(width, seed, is_below):
    """The barrier is `width` deviations of a day away."""
    deviation, hours = 2.0 * BP, (1, 8, 24)
    distance = width * deviation * np.sqrt(24.0)
    barrier = 5.0 * BP + (-distance if is_below else distance)
    found = first_passage(SpreadProcess(5.0 * BP, 0.0, 1.0, (deviation,)), barrier, hours, Draws(seed, 20_000))
    exact = brownian_passage(distance, 0.0, deviation, np.array(hours))
    assert (np.abs(found.probability - exact) <= 5.0 * found.error + 1e-4).all()


@settings(max_examples=10)
@given(st.floats(0.2, 3.0), st.floats(0.5, 0.98), st.integers(0, 2**31))
def test_a_simulated_spread_is_back_at_its_mean_as_often_as_an_ornstein_uhlenbeck_process(width, phi, seed):
    deviation = 2.0 * BP
    start = width * deviation / np.sqrt(1.0 - phi**2)
    found = first_passage(SpreadProcess(start, 0.0, phi, (deviation,)), 0.0, (1, 4, 24), Draws(seed, 20_000))
    exact = passage_to_mean(start, phi, deviation, np.array([1.0, 4.0, 24.0]))
    assert (np.abs(found.probability - exact) <= 5.0 * found.error + 1e-4).all()


def test_closed_forms_are_those_worked_by_hand():
    # a barrier one deviation of the horizon away is reached twice as often as it is exceeded at the end
    assert brownian_passage(2.0, 0.0, 1.0, 4.0) == pytest.approx(2.0 * norm.cdf(-1.0))
    assert brownian_passage(1.0, 0.5, 1.0, 1e9) == pytest.approx(1.0), "a drift towards it gets there"
    assert brownian_passage(1.0, -0.5, 1.0, 1e9) == pytest.approx(np.exp(-1.0)), "exp(2 m d / s^2) against it"
    assert brownian_passage(0.0, 0.0, 1.0, 1.0) == pytest.approx(1.0)
    # kappa = ln 2: after an hour exp(2 kappa t) - 1 = 3; v = s^2 2 ln 2 / (1 - 1/4); 2 Phi(-d sqrt((1 - 1/4) / 3) / s)
    assert passage_to_mean(2.0, 0.5, 1.0, 1.0) == pytest.approx(2.0 * norm.cdf(-1.0))


def test_a_spread_watched_at_whole_hours_passes_less_often_than_one_watched_all_the_time():
    process = SpreadProcess(0.0, 0.0, 1.0, (1.0,))
    between = first_passage(process, 3.0, HOURS, Draws(1))
    hourly = first_passage(process, 3.0, HOURS, Draws(1), is_watched_between=False)
    assert (hourly.probability < between.probability).all()
    # Broadie, Glasserman and Kou: watching at steps moves a barrier outwards by 0.5826 deviations of a step
    moved = brownian_passage(3.0 + 0.5826, 0.0, 1.0, np.array([24.0, 168.0]))
    np.testing.assert_allclose(hourly.probability[2:], moved, atol=4.0 * hourly.error.max())


def test_the_bridge_of_a_reverting_spread_agrees_with_finer_steps():
    """Barrier on the far side of the mean: no closed form; ten steps an hour stand in for it."""
    phi, deviation = 0.9, 1.0
    hourly = first_passage(SpreadProcess(0.5, 0.0, phi, (deviation,)), 4.0, (48,), Draws(2))
    fine_phi = phi**0.1
    fine = deviation * np.sqrt((1.0 - fine_phi**2) / (1.0 - phi**2))
    tenths = first_passage(SpreadProcess(0.5, 0.0, fine_phi, (fine,)), 4.0, (480,), Draws(3))
    assert hourly.probability[0] == pytest.approx(
        tenths.probability[0], abs=5.0 * np.hypot(hourly.error[0], tenths.error[0])
    )


@settings(max_examples=15)
@given(st.floats(0.0, 1.0), st.floats(0.1, 5.0), st.sampled_from([np.inf, 4.0]), st.integers(0, 2**31))
def test_passages_grow_with_time_and_fall_with_distance(phi, width, nu, seed):
    process, draws = SpreadProcess(0.0, 0.0, phi, (1.0,)), Draws(seed, 2_000, nu)
    near, far = (first_passage(process, d, HOURS, draws).probability for d in (width, width + 1.0))
    assert (np.diff(near) >= 0.0).all()
    assert (far <= near).all()
    assert ((near >= 0.0) & (near <= 1.0)).all()


def test_a_spread_on_its_barrier_has_passed_and_one_that_never_moves_never_does():
    draws = Draws(4, 100)
    assert first_passage(SpreadProcess(1.0, 0.0, 0.5, (1.0,)), 1.0, HOURS, draws).probability.tolist() == [1.0] * 4
    assert first_passage(SpreadProcess(0.0, 0.0, 0.5, (0.0,)), 1.0, HOURS, draws).probability.tolist() == [0.0] * 4
    assert np.isnan(first_passage(SpreadProcess(0.0, 0.0, 0.5, (0.0,)), np.nan, HOURS, draws).probability).all()


def test_fat_tails_reach_far_barriers_more_often_and_history_draws_are_those_of_their_distribution():
    process = SpreadProcess(0.0, 0.0, 0.8, (1.0,))
    normal = first_passage(process, 6.0, (24,), Draws(5), is_watched_between=False)
    fat = first_passage(process, 6.0, (24,), Draws(5, nu=3.0))
    assert fat.probability[0] > 2.0 * normal.probability[0]
    z = np.random.default_rng(6).standard_t(3.0, (50_000, 1)) / np.sqrt(3.0)
    drawn = first_passage(process, 6.0, (24,), Draws(7, history=z))
    assert drawn.probability[0] == pytest.approx(fat.probability[0], abs=5.0 * np.hypot(drawn.error[0], fat.error[0]))


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others():
    process = SpreadProcess(0.0, 0.0, 0.9, (1.0,))
    one, again, other = (first_passage(process, 2.0, HOURS, Draws(seed, 500)).probability for seed in (8, 8, 9))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_settings_that_are_none_are_refused():
    for bad in ({"phi": 1.1, "deviation": (1.0,)}, {"phi": 0.5, "deviation": ()}, {"phi": 0.5, "deviation": (-1.0,)}):
        with pytest.raises(ValueError, match=r"phi must|deviation must"):
            SpreadProcess(0.0, 0.0, **bad)
    with pytest.raises(ValueError, match="nu must be above"):
        Draws(0, nu=2.0)
    with pytest.raises(ValueError, match="history must have"):
        Draws(0, history=np.array([[np.nan]]))
    with pytest.raises(ValueError, match=r"history must be \[t, 2 or more\]"):
        Draws(0, history=np.ones((9, 1))).draw(Draws(0).generator(), 2)
    with pytest.raises(ValueError, match="n_paths"):
        Draws(0, 0)


@given(st.floats(0.0, 0.99), st.lists(st.floats(0.1, 5.0), min_size=1, max_size=5))
def test_change_deviations_are_those_of_the_recursion(phi, deviations):
    process = SpreadProcess(3.0, 1.0, phi, tuple(deviations))
    responses = [phi ** (7 - i) * process.deviation_in(i) for i in range(8)]
    assert process.change_deviation([8])[0] == pytest.approx(np.sqrt(np.sum(np.square(responses))))
    assert process.expected_change([8])[0] == pytest.approx(-2.0 * (1.0 - phi**8))


@given(st.floats(0.3, 1.0), st.lists(st.floats(0.5, 3.0), min_size=4, max_size=4))
def test_hourly_deviations_have_the_term_structure_they_were_made_from(phi, factors):
    variances = np.cumsum(factors)  # rises faster than any phi lets it fall
    hours = (1, 3, 8, 24)
    process = SpreadProcess(0.0, 0.0, phi, hourly_deviations(variances, hours, phi))
    np.testing.assert_allclose(process.change_deviation(hours), np.sqrt(variances), rtol=1e-9)


CARRY = HedgedPosition(notional_usd=1e6, buffer_usd=2_000.0)  # short the contract, 20 bp of margin left


def test_basis_risk_of_a_simulated_position_is_that_of_its_process():
    process = SpreadProcess(10.0 * BP, 0.0, 0.9, (3.0 * BP,))
    found = basis_risk(CARRY, process, HOURS, Draws(10, 50_000))
    # by hand, 1 hour: expected 1e6 x 10 bp x 0.1 = 100 gained by the short, deviation 1e6 x 3 bp = 300
    assert found.expected_usd[0] == pytest.approx(100.0)
    assert found.deviation_usd[0] == pytest.approx(300.0)
    normal = norm.ppf(0.99) * found.deviation_usd - found.expected_usd
    np.testing.assert_allclose(found.loss_99_usd, normal, atol=0.04 * found.deviation_usd.max())
    long_side = basis_risk(HedgedPosition(1e6, 2_000.0, side=1), process, HOURS, Draws(10, 50_000))
    np.testing.assert_allclose(long_side.expected_usd, -found.expected_usd)


def test_a_pool_that_holds_both_legs_runs_dry_when_the_basis_passes_its_buffer():
    process = SpreadProcess(5.0 * BP, 5.0 * BP, 0.95, (3.0 * BP,))
    found = exhaustion_probability(CARRY, process, HOURS, Draws(11, 5_000))
    passing = first_passage(process, 25.0 * BP, HOURS, Draws(11, 5_000), is_watched_between=False)
    np.testing.assert_allclose(found.probability, passing.probability)
    np.testing.assert_allclose(found.error, passing.error)


def test_legs_apart_run_dry_by_the_index_as_brownian_motion_would():
    """A still basis: the short is out where the index's log return passes ln(1 + buffer)."""
    apart = HedgedPosition(1e6, 50_000.0, unhedged_share=1.0, index_deviation=0.006)
    still = SpreadProcess(0.0, 0.0, 1.0, (0.0,))
    found = exhaustion_probability(apart, still, (24, 168), Draws(12, 20_000))
    moved = np.log(1.05) + 0.5826 * 0.006  # watched by the hour
    exact = brownian_passage(moved, 0.0, 0.006, np.array([24.0, 168.0]))
    np.testing.assert_allclose(found.probability, exact, atol=4.0 * found.error.max() + 0.003)
    shared = HedgedPosition(1e6, 50_000.0, index_deviation=0.006)
    together = exhaustion_probability(shared, still, (24, 168), Draws(12, 20_000))
    assert together.probability.tolist() == [0.0, 0.0]


@settings(max_examples=15)
@given(st.floats(0.0, 0.9), st.floats(0.0, 0.05), st.sampled_from([-1, 1]), st.integers(0, 2**31))
def test_running_dry_is_likelier_with_less_margin_and_more_of_the_index_for_the_short(share, rate, side, seed):
    process = SpreadProcess(0.0, 0.0, 0.9, (3.0 * BP,))

    def probability(buffer, unhedged, maintenance_rate=rate):
        position = HedgedPosition(1e6, buffer, side, unhedged, maintenance_rate, index_deviation=0.005)
        return exhaustion_probability(position, process, HOURS, Draws(seed, 500)).probability

    assert (probability(1_000.0, share) >= probability(3_000.0, share)).all()
    assert probability(0.0, share).tolist() == [1.0] * 4
    assert np.isnan(probability(np.nan, share)).all()
    apart, together = (probability(30_000.0, unhedged, 0.0)[-1] for unhedged in (1.0, 0.0))
    assert together == 0.0 < apart


def test_funding_that_is_paid_uses_up_margin_by_the_hour():
    """A still basis: 1 bp an hour paid by the short uses up 20 bp at the end of hour 20; the long is paid."""
    still = SpreadProcess(0.0, 0.0, 1.0, (0.0,))
    for side, expected in ((-1, [0.0, 1.0]), (1, [0.0, 0.0])):
        position = HedgedPosition(1e6, 2_000.0, side, funding_per_hour=-BP)
        assert exhaustion_probability(position, still, (19, 20), Draws(0, 10)).probability.tolist() == expected


def test_a_requirement_that_grows_with_the_index_takes_from_the_short_and_gives_to_the_long():
    still = SpreadProcess(0.0, 0.0, 1.0, (0.0,))

    def needed(**terms):
        return margin_needed(HedgedPosition(1e6, 1.0, index_deviation=0.01, **terms), still, (24,), Draws(18, 200))

    np.testing.assert_allclose(needed(maintenance_rate=0.05), needed(unhedged_share=0.05))
    both = needed(side=1, unhedged_share=1.0, maintenance_rate=0.05)
    np.testing.assert_allclose(both, 0.95 * needed(side=1, unhedged_share=1.0))


def test_the_margin_that_suffices_is_a_quantile_of_what_is_needed():
    process = SpreadProcess(0.0, 0.0, 0.9, (3.0 * BP,))
    draws = Draws(17, 5_000)
    needed = margin_needed(CARRY, process, HOURS, draws)
    assert (np.diff(needed, axis=0) >= 0.0).all()
    buffer = float(np.quantile(needed[-1], 0.99)) * 1e6
    out = exhaustion_probability(HedgedPosition(1e6, buffer), process, HOURS, draws).probability
    assert out[-1] == pytest.approx(0.01, abs=2.0 / 5_000)


def test_a_basis_that_falls_with_the_index_protects_the_short_and_ruins_the_long():
    """Hours drawn whole: in a crash the contract falls below its index."""
    rng = np.random.default_rng(13)
    index = rng.standard_normal(4_000)
    z = np.stack([0.8 * index + 0.6 * rng.standard_normal(4_000), index], axis=1)
    against = z * np.array([-1.0, 1.0])
    process = SpreadProcess(0.0, 0.0, 1.0, (20.0 * BP,))
    short = HedgedPosition(1e6, 20_000.0, unhedged_share=0.5, index_deviation=0.005)

    def probability(history):
        return exhaustion_probability(short, process, (24,), Draws(14, history=history)).probability[0]

    assert probability(against) < 0.7 * probability(z), "a basis that falls as the index rises takes from both"


def test_positions_that_are_none_are_refused():
    for bad in ({"side": 0}, {"notional_usd": 0.0}, {"unhedged_share": 1.5}, {"maintenance_rate": -0.1}):
        with pytest.raises(ValueError, match="must"):
            HedgedPosition(**({"notional_usd": 1.0, "buffer_usd": 1.0} | bad))


def test_a_hedge_by_a_cointegrated_instrument_gets_better_with_the_horizon():
    """Position = hedge + a spread that reverts within hours: by the day it hardly counts."""
    rng = np.random.default_rng(15)
    n = 30_000
    hedge = 0.005 * rng.standard_normal(n)
    phi, deviation = 0.5 ** (1.0 / 2.0), 20.0 * BP
    spread = np.zeros(n)
    for t in range(1, n):
        spread[t] = phi * spread[t - 1] + deviation * rng.standard_normal()
    position = hedge + np.diff(spread, prepend=0.0)
    found = hedge_outcome(position, 0.5 * hedge, 1e6, HOURS)
    np.testing.assert_allclose(found.ratio, 2.0, atol=0.1)
    assert (np.diff(found.effectiveness) > 0.0).all()
    steps = np.array(HOURS)
    left = deviation * np.sqrt(2.0 * (1.0 - phi**steps) / (1.0 - phi**2))
    np.testing.assert_allclose(found.deviation_usd, 1e6 * left, rtol=0.05)
    np.testing.assert_allclose(found.loss_99_usd, norm.ppf(0.99) * 1e6 * left, rtol=0.08)
    np.testing.assert_allclose(found.effectiveness, 1.0 - left**2 / (steps * 0.005**2 + left**2), atol=0.02)


def test_hedges_need_windows_that_do_not_overlap():
    rng = np.random.default_rng(16)
    returns = rng.standard_normal(24 * 50) * 0.01
    returns[100] = np.nan
    found = hedge_outcome(returns, 2.0 * returns, 1e6, (1, 24, 168, 2_000))
    assert found.ratio[0] == pytest.approx(0.5)
    assert found.effectiveness[:2] == pytest.approx([1.0, 1.0])
    assert np.isnan(found.loss_99_usd[1]), "fifty days are no tail"
    assert np.isnan(found.ratio[2:]).all()
    assert found.n_windows[3] == 0.0
