"""Laws of value at risk, expected shortfall, their intervals, and marginal shortfalls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from riskpipe.measures.distribution import (
    effective_number,
    quantile,
    quantile_interval,
    tail_mean,
    tail_mean_interval,
    tail_weights,
)
from riskpipe.measures.marginal import (
    conditional_expected_shortfall,
    distress_weights,
    marginal_expected_shortfall,
)

LEVELS = st.floats(0.05, 0.98)


@st.composite
def parties(draw, n_parties=2):
    """Losses of parties over some scenarios, with ties and zeros, and the scenarios' probabilities."""
    n = draw(st.integers(2, 40))
    amounts = st.one_of(st.just(0.0), st.integers(0, 5).map(float), st.floats(0.0, 1e6))
    losses = [draw(arrays(np.float64, n, elements=amounts)) for _ in range(n_parties)]
    return losses, draw(arrays(np.float64, n, elements=st.floats(0.01, 1.0)))


@given(parties(), LEVELS)
def test_expected_shortfall_is_subadditive(given_losses, level):
    (one, other), probability = given_losses
    both = tail_mean(one + other, probability, level)
    assert both <= tail_mean(one, probability, level) + tail_mean(other, probability, level) + 1e-9 * (1.0 + both)


@given(parties(), LEVELS)
def test_no_weights_up_to_the_tails_own_give_more_than_the_expected_shortfall(given_losses, level):
    (losses, other), probability = given_losses
    weights = tail_weights(losses, probability, level)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (weights <= probability / probability.sum() / (1.0 - level) + 1e-12).all()
    assert (weights * losses).sum() == pytest.approx(tail_mean(losses, probability, level))
    of_another = tail_weights(other, probability, level)  # allowed weights, chosen by another loss
    assert (of_another * losses).sum() <= (weights * losses).sum() + 1e-9 * (1.0 + losses.max())


@given(parties(), LEVELS, st.integers(0, 10**6))
def test_a_scenario_cut_in_two_changes_nothing(given_losses, level, which):
    (losses, _), probability = given_losses
    k = which % len(losses)
    halves = np.append(probability, probability[k] / 2)
    halves[k] /= 2
    twice = np.append(losses, losses[k])
    assert quantile(twice, halves, level) == quantile(losses, probability, level)
    assert tail_mean(twice, halves, level) == pytest.approx(tail_mean(losses, probability, level), rel=1e-9, abs=1e-9)


@given(parties(3), LEVELS)
def test_marginal_shortfalls_add_up_to_the_systems(given_losses, level):
    losses, probability = given_losses
    system = sum(losses)
    parts = [marginal_expected_shortfall(one, system, probability, level) for one in losses]
    assert sum(parts) == pytest.approx(tail_mean(system, probability, level), rel=1e-12, abs=1e-9)


@given(parties(), LEVELS)
def test_in_distress_the_tail_of_another_is_at_least_its_mean_and_only_losing_is_distress(given_losses, level):
    (party, distressed), probability = given_losses
    weights = distress_weights(distressed, probability, level)
    found = conditional_expected_shortfall(party, distressed, probability, level)
    if not distressed.any():
        assert weights is None
        assert np.isnan(found)
        return
    assert (distressed[weights > 0.0] > 0.0).all()
    assert found >= (weights * party).sum() - 1e-9 * (1.0 + party.max())
    assert found <= party.max() * (1.0 + 1e-12)


def test_the_interval_of_a_median_of_a_hundred_lies_between_the_published_order_statistics():
    losses = np.arange(1.0, 101.0)  # tables of distribution-free intervals: ranks 40 and 61 at 95%
    assert quantile_interval(losses, np.ones(100), 0.5) == (40.0, 61.0)
    six = np.arange(1.0, 7.0)  # the fewest that bound a median at 95%: 1/64 on either side
    assert quantile_interval(six, np.ones(6), 0.5) == (1.0, 6.0)
    assert quantile_interval(six[:5], np.ones(5), 0.5) == (-np.inf, np.inf)


@given(parties(), LEVELS)
def test_an_interval_holds_its_estimate(given_losses, level):
    (losses, _), probability = given_losses
    low, high = quantile_interval(losses, np.ones(len(losses)), level)
    assert low <= quantile(losses, np.ones(len(losses)), level) <= high
    low, high = tail_mean_interval(losses, probability, level)
    assert np.isnan(low) or low <= tail_mean(losses, probability, level) <= high


def test_an_interval_is_open_where_too_few_scenarios_lie_beyond():
    losses = np.arange(100.0)
    low, high = quantile_interval(losses, np.ones(100), 0.99)
    assert np.isfinite(low)
    assert high == np.inf
    assert quantile_interval(losses, np.ones(100), 0.01)[0] == -np.inf
    assert np.isnan(tail_mean_interval(losses, np.ones(100), 0.95)).all(), "five in the tail"
    assert np.isfinite(tail_mean_interval(losses, np.ones(100), 0.90)).all(), "ten in the tail"
    assert np.isnan(tail_mean_interval(np.zeros(1000), np.ones(1000), 0.95)).all(), "nothing was ever lost"


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng, n, n_trials = np.random.default_rng(11), 1000, 400
    draws = rng.exponential(size=(n_trials, n))
    even = np.full(n, 1.0 / n)
    at_risk, shortfall = np.log(20.0), np.log(20.0) + 1.0  # of an exponential, 95%
    by_rank = np.array([quantile_interval(row, even, 0.95) for row in draws])
    by_influence = np.array([tail_mean_interval(row, even, 0.95) for row in draws])
    covered = ((by_rank[:, 0] <= at_risk) & (at_risk <= by_rank[:, 1])).mean()
    assert 0.93 <= covered <= 0.99
    covered = ((by_influence[:, 0] <= shortfall) & (shortfall <= by_influence[:, 1])).mean()
    assert 0.88 <= covered <= 0.98


def test_unequal_probabilities_are_as_good_as_fewer_equal_ones():
    assert effective_number(np.full(7, 3.0)) == pytest.approx(7.0)
    assert effective_number(np.array([1.0, 1.0, 0.0])) == pytest.approx(2.0)
    losses, rng = np.arange(400.0), np.random.default_rng(2)
    uneven = rng.exponential(size=400)
    wide, narrow = (quantile_interval(losses, weights, 0.5) for weights in (uneven, np.ones(400)))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
