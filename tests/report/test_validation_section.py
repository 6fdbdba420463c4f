"""Validation in the report: what fails is shown as failing, first and in words; what was not checked is never green."""

from dataclasses import replace

import numpy as np
import pytest
from support.hand_made import hand_made

from riskpipe.domain.market import ESTIMATORS, TAILS
from riskpipe.measures.registry import take_measures
from riskpipe.report.build import build
from riskpipe.report.render import render

NAMES = ["BTC-PERP", "ETH-PERP", "NEW-PERP"]


def scored(report, *, verdicts, reasons, used=("reverting_mixture", "ewma", ""), names=NAMES):
    """A night whose estimators in use have these verdicts; every other estimator of a scored instrument passes."""
    n = len(names)
    verdict = np.full((n, len(ESTIMATORS)), "not checked", object)
    reason = np.full(verdict.shape, "", object)
    for i, label in enumerate(used):
        if verdicts[i] != "not checked":
            verdict[i, :-1] = "passes"
        at = ESTIMATORS.index(label) if label else 0
        verdict[i, at], reason[i, at] = verdicts[i], reasons[i]
    tails = np.repeat(verdict[..., None], len(TAILS), axis=2)
    values = {
        "instruments/basis": np.full((2, n), 0.001),
        "basis/basis": np.full(n, 0.001),
        "basis/estimator_used": np.array(used, object),
        "basis/estimators_refused": np.array(["", "reverting_mixture: too short", "2 hourly changes"], object)[:n],
        "basis/basis_vol": np.arange(1.0, 1.0 + n * len(ESTIMATORS) * 4).reshape(n, len(ESTIMATORS), 4) * 1e-5,
        "validation/verdict": verdict,
        "validation/reason": reason,
        "validation/tail_verdict": tails,
        "validation/hours_fitted": np.where(np.array(verdicts) == "not checked", 0.0, 1_000.0),
        "validation/hours_scored": np.where(np.array(verdicts) == "not checked", 0.0, 1_080.0),
        "validation/hits": np.full((n, len(ESTIMATORS), len(TAILS)), 17.0),
    }
    tree = hand_made({"index_shock": [-0.1, 0.0]}, values, instrument=list(names))
    return replace(report, cube=tree, measures=take_measures(tree))


def section(report, name="validation"):
    return next(one for one in build(report).sections if one.name == name)


@pytest.fixture
def mixed(quiet):
    return scored(
        quiet,
        verdicts=("fails", "passes", "not checked"),
        reasons=("loses to the plain deviation of 24 hours; lower 1%: 25 hits of 1080 hours, 11 expected", "", ""),
    )


def test_the_first_words_name_what_fails_where_and_what_is_not_checked(mixed):
    words = section(mixed).blocks[0]
    assert words.tone == "bad"
    assert words.text == (
        "The estimator in use fails a test for 1 of 3 instruments. BTC-PERP (reverting_mixture): loses to the plain "
        "deviation of 24 hours; lower 1%: 25 hits of 1080 hours, 11 expected. Not checked for 1 of 3 instruments: no "
        "estimator is in use. It passes every test for 1."
    )


def test_failing_rows_come_first_and_are_marked(mixed):
    tables = {block.name: block for block in section(mixed).blocks if hasattr(block, "columns")}
    table = tables["validation"]
    rows = [row[:4] for row in table.rows()]
    assert rows[:2] == [
        ("fails", "BTC-PERP", "reverting_mixture", True),
        ("passes", "ETH-PERP", "ewma", True),
    ]
    assert all(not row[3] for row in rows[2:])
    assert table.tone_column == "verdict"
    page = render(mixed)["index.html"].decode()
    assert '<span class="mark mark-fails">fails</span>' in page
    assert tables["validation_tails"].n_rows == 4 * len(rows)


@pytest.mark.parametrize(
    ("verdicts", "tone"),
    [
        (("passes", "passes"), "good"),
        (("passes", "not checked"), "unknown"),
        (("not checked", "not checked"), "unknown"),
        (("not checked", "fails"), "bad"),
    ],
)
def test_only_what_was_checked_and_passed_everywhere_is_green(quiet, verdicts, tone):
    why = [{"not checked": "700 hourly changes, 1000 needed"}.get(one, "") for one in verdicts]
    report = scored(
        quiet, verdicts=verdicts, reasons=why, used=("reverting_mixture", "reverting_mixture"), names=NAMES[:2]
    )
    words = section(report).blocks[0]
    assert words.tone == tone
    assert ("700 hourly changes, 1000 needed" in words.text) == ("not checked" in verdicts)


def test_a_night_without_history_is_not_checked(quiet):
    report = scored(quiet, verdicts=("not checked",) * 3, reasons=("",) * 3, used=("",) * 3)
    words = section(report).blocks[0]
    assert (words.tone, words.text) == ("unknown", "Not checked for 3 of 3 instruments: no estimator is in use.")


def test_the_basis_table_shows_the_estimator_in_use_and_why_others_are_not(mixed):
    tables = {block.name: block for block in section(mixed, "basis").blocks if hasattr(block, "columns")}
    columns = {one.name: one.values for one in tables["basis"].columns}
    assert columns["estimator_used"] == ("reverting_mixture", "ewma", "none")
    vol = mixed.cube["basis"]["basis_vol"].values
    assert columns["basis_vol_7d"][:2] == (vol[0, 0, 3], vol[1, ESTIMATORS.index("ewma"), 3])
    assert np.isnan(columns["basis_vol_7d"][2])
    assert columns["basis_vol_realised_1d"] == tuple(vol[:, ESTIMATORS.index("realised"), 2])
    fits = {one.name: one.values for one in tables["basis_fits"].columns}
    assert fits["estimators_refused"][1] == "reverting_mixture: too short"
    assert tables["basis_volatility"].n_rows == 3 * len(ESTIMATORS)
