"""Weights of a tail: their mean is expected shortfall, whatever stands at the quantile."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.measures.distribution import tail_mean
from riskpipe.measures.tail import tail_weights


@given(
    losses=st.lists(st.integers(0, 6).map(float), min_size=1, max_size=40),
    level=st.floats(0.01, 0.995),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_mean_under_the_weights_is_the_mean_of_the_tail(losses, level, seed):
    losses = np.array(losses)
    probability = np.random.default_rng(seed).dirichlet(np.ones(len(losses)))
    weights = tail_weights(losses, probability, level)
    assert weights.min() >= 0.0
    assert weights.sum() == pytest.approx(1.0, abs=1e-12 / (1.0 - level))
    assert weights @ losses == pytest.approx(tail_mean(losses, probability, level), rel=1e-10, abs=1e-10)


def test_losses_that_tie_at_the_quantile_share_what_is_left_of_the_tail():
    # the worst 30% of ten: one loss of 9, and two of the four losses of 5
    losses = np.array([9.0, 5.0, 5.0, 5.0, 5.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    weights = tail_weights(losses, np.full(10, 0.1), 0.7)
    assert weights[0] == pytest.approx(1.0 / 3.0)
    assert weights[1:5] == pytest.approx(np.full(4, 1.0 / 6.0))
    assert not weights[5:].any()


def test_a_tail_of_scenarios_without_probabilities_is_refused():
    with pytest.raises(ValueError, match="no probability"):
        tail_weights(np.ones(3), np.array([0.5, np.nan, 0.5]), 0.9)
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\)"):
        tail_weights(np.ones(2), np.full(2, 0.5), 1.0)
