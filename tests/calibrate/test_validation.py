"""Scores of forecasts: what direct calls give, what fails is said to fail, and too little is never green."""

import json

import numpy as np
import pytest
from support.basis_changes import basis_changes

from riskpipe.calibrate.backtest.coverage import (
    christoffersen_conditional,
    christoffersen_independence,
    kupiec,
    transitions,
)
from riskpipe.calibrate.backtest.forecasts import filtered_quantile, filtered_shortfall, forecasts_after, value_at_risk
from riskpipe.calibrate.backtest.losses import qlike
from riskpipe.calibrate.backtest.shortfall import normal_forecasts, unconditional_shortfall_test
from riskpipe.calibrate.estimators.plain import Ewma
from riskpipe.calibrate.estimators.protocol import standardised
from riskpipe.calibrate.fits import estimators
from riskpipe.calibrate.validation import (
    EstimatorScore,
    SeriesScores,
    score_series,
    shortfall_p,
    tail_score,
    validation_arrays,
)
from riskpipe.domain.market import ESTIMATORS, TAILS

AVAILABLE = estimators(0.94)


@pytest.fixture(scope="module")
def changes():
    return basis_changes(2_200, seed=5, n_gaps=30)


@pytest.fixture(scope="module")
def scores(changes):
    return score_series(changes, AVAILABLE)


@pytest.mark.parametrize("label", ["reverting_mixture", "garch_t", "ewma"])
def test_scores_are_what_direct_calls_give(changes, scores, label):
    observed = np.flatnonzero(np.isfinite(changes))
    first = observed[len(observed) // 2]
    window = len(observed) // 2 - 168
    paths = {name: forecasts_after(one, changes, first) for name, one in AVAILABLE.items()}
    scored = np.isfinite(changes) & np.all([np.isfinite(path.second_moment) for path in paths.values()], axis=0)
    assert (scores.n_fitted, scores.n_scored) == (len(observed) // 2, scored.sum())
    assert not scored[:first].any()
    assert scored[first:].sum() == np.isfinite(changes[first:]).sum(), "every hour after the split is scored"
    losses = {name: qlike(changes[scored], path.second_moment[scored]) for name, path in paths.items()}
    one = scores.estimators[label]
    assert one.qlike == pytest.approx(losses[label], rel=1e-12)
    assert one.gain_168h == pytest.approx(losses[label] - losses["realised_168h"], abs=1e-12)
    assert one.gain_24h == pytest.approx(losses[label] - losses["realised_24h"], abs=1e-12)
    fitted = AVAILABLE[label].fit(changes[:first])
    z = standardised(changes, fitted.filter(changes))
    for name, probability in TAILS.items():
        at_risk = value_at_risk(fitted, changes, probability, window)
        is_hit = (changes < at_risk if probability < 0.5 else changes > at_risk)[scored]
        tail, found = min(probability, 1.0 - probability), one.tails[name]
        assert found.hits == is_hit.sum()
        assert found.kupiec_p == kupiec(len(is_hit), int(is_hit.sum()), tail).p_value
        assert found.independence_p == christoffersen_independence(*transitions(is_hit)).p_value
        assert found.conditional_p == christoffersen_conditional(is_hit, tail).p_value
        side = z if probability < 0.5 else -z
        forecast = [-f(side, tail, window)[scored] for f in (filtered_quantile, filtered_shortfall)]
        assert found.shortfall_z == pytest.approx(unconditional_shortfall_test(side[scored], *forecast, tail), rel=1e-9)


def test_an_estimator_that_loses_to_a_plain_deviation_fails_and_one_that_is_refused_is_not_checked(changes):
    class Raising:
        name = "raising"

        def fit(self, changes):
            raise ZeroDivisionError(len(changes))

    found = score_series(changes, {**AVAILABLE, "ewma": Ewma(0.6), "garch_t": Raising()}).estimators
    assert found["ewma"].verdict == "fails"
    assert "loses to the plain deviation of 168 hours" in found["ewma"].reason
    assert found["garch_t"].verdict == "not checked"
    assert found["garch_t"].reason.startswith("ZeroDivisionError")
    stirred = changes.copy()
    stirred[700:] *= 20.0
    refused = score_series(stirred, {**AVAILABLE, "ewma": Ewma(0.999)}).estimators
    assert refused["ewma"].verdict == "not checked", "its gate refuses it on the first half"
    assert refused["ewma"].reason.startswith("refused: ")
    assert np.isfinite(refused["realised_168h"].qlike), "what others are compared with is always there"


@pytest.mark.parametrize(
    ("series", "words"),
    [
        (basis_changes(999, n_gaps=0), "999 hourly changes, 1000 needed"),
        (np.full(3_000, np.nan), "0 hourly changes, 1000 needed"),
        (np.zeros(2_000), "the basis stands still"),
        (np.r_[basis_changes(1_000, n_gaps=0), np.zeros(1_000)], "the basis stands still"),
    ],
)
def test_too_little_to_score_is_not_checked_and_never_passes(series, words):
    found = score_series(series, AVAILABLE)
    assert {one.verdict for one in found.estimators.values()} == {"not checked"}
    assert {one.reason for one in found.estimators.values()} == {words}
    kept = validation_arrays([found])
    assert set(kept["verdict"].ravel()) == set(kept["tail_verdict"].ravel()) == {"not checked"}
    assert np.isnan(kept["kupiec_p"]).all()


def test_hits_that_are_too_many_or_in_a_row_or_too_far_fail_by_name():
    random = np.random.default_rng(3)
    z = random.standard_normal(2_000)
    scored = np.arange(2_000) >= 1_000
    assert tail_score(z, scored, "lower 5%", 900).failures == ()
    wide = np.where(scored, 1.6 * z, z)
    words = tail_score(wide, scored, "upper 5%", 900).failures
    assert any("hits of 1000 hours, 50 expected" in one for one in words), words
    burst = np.where(scored & (np.arange(2_000) % 200 < 8), -6.0, np.abs(z))
    assert "lower 5%: hits cluster" in tail_score(burst, scored, "lower 5%", 900).failures
    far = z.copy()
    beyond = scored & (z < -1.7)
    far[beyond] = 5.0 * z[beyond]
    assert "lower 5%: losses beyond it larger than forecast" in tail_score(far, scored, "lower 5%", 900).failures


def test_the_p_value_of_expected_shortfall_is_the_published_critical_value_and_right_on_average():
    at_risk, shortfall = normal_forecasts(0.025)
    draws = np.random.default_rng(4).standard_normal((4_000, 250))
    ratios = draws[draws < -at_risk] / shortfall
    assert shortfall_p(-0.7, ratios, 250, 0.025) == pytest.approx(0.05, abs=0.015)
    below = 0
    for row in draws:
        statistic = unconditional_shortfall_test(row, np.full(250, at_risk), np.full(250, shortfall), 0.025)
        below += shortfall_p(statistic, row[row < -at_risk] / shortfall, 250, 0.025) < 0.05
    assert 0.03 < below / len(draws) < 0.07


def test_scores_keep_their_bits_on_the_way_and_stand_where_their_labels_say(scores):
    again = SeriesScores.from_json(json.loads(json.dumps(scores.as_json())))
    assert again == scores
    kept = validation_arrays([SeriesScores(), again])
    assert kept["verdict"][0].tolist() == ["not checked"] * len(ESTIMATORS)
    for at, label in enumerate(ESTIMATORS):
        one = scores.estimators.get(label, EstimatorScore(unchecked="not scored"))
        assert kept["verdict"][1, at] == one.verdict
        np.testing.assert_equal(kept["qlike"][1, at], one.qlike)
        for k, tail in enumerate(TAILS):
            expected = one.tails[tail].hits if one.tails else np.nan
            np.testing.assert_equal(kept["hits"][1, at, k], expected)
