"""Validation: which forecasts of basis volatility hold on hours they were not fitted on, and which fail where."""

import numpy as np
import xarray as xr

from riskpipe.domain.market import FAILS, NOT_CHECKED, PASSES
from riskpipe.report import numbers
from riskpipe.report.document import Column, Paragraph, Section, Table, Tone
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.basis import with_basis
from riskpipe.report.wording import column, source_of

MAX_NAMED = 10
_ORDER = {FAILS: 0, NOT_CHECKED: 1, PASSES: 2}


def validation_section(report: ReportInput) -> Section:
    """Verdicts in words, how they come about, and the scores."""
    scores = with_basis(report, "validation")
    if scores.sizes["instrument"] == 0:
        words = Paragraph("Not checked: the book holds no perpetuals and no futures.", "unknown")
        return Section("validation", "Do forecasts of basis volatility hold?", (words,))
    blocks = (verdict_words(scores), Paragraph(_method_words(scores)), _table(report, scores), _tails(report, scores))
    return Section("validation", "Do forecasts of basis volatility hold?", blocks)


def verdict_words(scores: xr.Dataset) -> Paragraph:
    """Which instruments' estimator in use fails and where, then what is not checked, then how many pass."""
    verdicts, reasons, used = _in_use(scores)
    names = scores["instrument"].values.tolist()
    n = len(names)
    failing, unchecked = ([i for i in range(n) if verdicts[i] == which] for which in (FAILS, NOT_CHECKED))
    said = []
    if failing:
        listed = " ".join(f"{names[i]} ({used[i]}): {reasons[i]}." for i in failing[:MAX_NAMED])
        more = f" {numbers.count(len(failing) - MAX_NAMED)} more are in the table." if len(failing) > MAX_NAMED else ""
        said.append(
            f"The estimator in use fails a test for {numbers.count(len(failing))} of "
            f"{numbers.plural(n, 'instrument')}. {listed}{more}"
        )
    if unchecked:
        why = sorted({str(reasons[i]) for i in unchecked})
        said.append(
            f"Not checked for {numbers.count(len(unchecked))} of {numbers.plural(n, 'instrument')}: "
            f"{'; '.join(why[:MAX_NAMED])}."
        )
    n_passing = n - len(failing) - len(unchecked)
    if n_passing:
        said.append(f"It passes every test for {numbers.count(n_passing)}.")
    tone: Tone = "bad" if failing else "unknown" if unchecked else "good"
    return Paragraph(" ".join(said), tone)


def _method_words(scores: xr.Dataset) -> str:
    fitted, scored = (np.asarray(scores[name].values) for name in ("hours_fitted", "hours_scored"))
    where = ""
    if scored.max() > 0.0:
        before, after = (values[scored > 0.0] for values in (fitted, scored))
        where = f" Here {_span(before)} hours are fitted on and {_span(after)} scored."
    return (
        "Each estimator is fitted once, on the first half of the look-back's hourly changes, and forecasts every hour "
        f"of the rest from the hours before it.{where} Its loss (QLIKE) must be smaller than that of the plain "
        "deviations of the last 168 and of the last 24 changes; its value at risk at 1% and 5% of either tail must be "
        "hit as often as it says (Kupiec), by hits that do not follow one another (Christoffersen), with losses beyond "
        "it no larger than forecast (Acerbi and Szekely). Each of these twelve tests of value at risk is made at 5%: "
        "a right forecast fails one of them by chance for about every second instrument."
    )


def _span(values: np.ndarray) -> str:
    low, high = numbers.count(values.min()), numbers.count(values.max())
    return low if low == high else f"{low} to {high}"


def _in_use(scores: xr.Dataset) -> tuple[list[str], list[str], list[str]]:
    """Verdict, reason and label of the estimator in use, by instrument."""
    labels = scores["estimator"].values.tolist()
    used = [str(label) for label in scores["estimator_used"].values.tolist()]
    verdicts, reasons = (np.asarray(scores[name].values) for name in ("verdict", "reason"))
    found = [
        (str(verdicts[i, labels.index(label)]), str(reasons[i, labels.index(label)]))
        if label
        else (NOT_CHECKED, "no estimator is in use")
        for i, label in enumerate(used)
    ]
    # a night without any history leaves no reason
    return [one for one, _ in found], [why or "there is no history" for _, why in found], used


def _rows(scores: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Instrument, estimator and whether it is in use, by row: those in use first, the failing ones before others."""
    labels = np.asarray(scores["estimator"].values)
    verdicts, reasons = (np.asarray(scores[name].values) for name in ("verdict", "reason"))
    i, e = np.nonzero((verdicts != NOT_CHECKED) | (reasons != ""))
    is_used = labels[e] == np.asarray(scores["estimator_used"].values)[i]
    order = np.lexsort((i, np.array([_ORDER[verdict] for verdict in verdicts[i, e]], dtype=np.int64), ~is_used))
    return i[order], e[order], is_used[order]


def _table(report: ReportInput, scores: xr.Dataset) -> Table:
    i, e, is_used = _rows(scores)

    def cells(name: str) -> np.ndarray:
        return np.asarray(scores[name].values)[i, e]

    hits: list[Column] = []
    for k, tail in enumerate(scores["tail"].values.tolist()):
        hits.append(column(f"hits_{k}", f"Hits, {tail}", "count", np.asarray(scores["hits"].values)[i, e, k]))
    return Table(
        "validation",
        "Forecasts of every estimator, those in use first; a gain in QLIKE below 0 is better than the plain deviation",
        (
            column("verdict", "Verdict", "text", cells("verdict")),
            column("instrument", "Instrument", "text", np.asarray(scores["instrument"].values)[i]),
            column("estimator", "Estimator", "text", np.asarray(scores["estimator"].values)[e]),
            column("is_used", "In use", "flag", is_used),
            column("hours_scored", "Hours", "count", np.asarray(scores["hours_scored"].values)[i]),
            column("gain_168h", "QLIKE less that of 168 h", "number", cells("gain_168h")),
            column("gain_168h_t", "t", "number", cells("gain_168h_t")),
            column("gain_24h", "QLIKE less that of 24 h", "number", cells("gain_24h")),
            column("gain_24h_t", "t", "number", cells("gain_24h_t")),
            *hits,
            column("reason", "What fails, or why it is not checked", "text", cells("reason")),
        ),
        source_of(report, scores, "verdict"),
        n_shown=20,
        tone_column="verdict",
    )


def _tails(report: ReportInput, scores: xr.Dataset) -> Table:
    i, e, is_used = _rows(scores)
    n_tails = scores.sizes["tail"]
    i, e, is_used = (np.repeat(rows, n_tails) for rows in (i, e, is_used))
    k = np.tile(np.arange(n_tails), len(i) // n_tails)
    kept = np.asarray(scores["tail_verdict"].values)[i, e, k] != NOT_CHECKED
    i, e, k, is_used = i[kept], e[kept], k[kept], is_used[kept]
    labels = {
        "kupiec_p": "p, Kupiec",
        "independence_p": "p, independence",
        "conditional_p": "p, both",
        "shortfall_z": "Acerbi-Szekely Z2",
        "shortfall_p": "p, Z2",
    }
    return Table(
        "validation_tails",
        "Value at risk of every estimator at every tail",
        (
            column("verdict", "Verdict", "text", np.asarray(scores["tail_verdict"].values)[i, e, k]),
            column("instrument", "Instrument", "text", np.asarray(scores["instrument"].values)[i]),
            column("estimator", "Estimator", "text", np.asarray(scores["estimator"].values)[e]),
            column("is_used", "In use", "flag", is_used),
            column("tail", "Tail", "text", np.asarray(scores["tail"].values)[k]),
            column("hits", "Hits", "count", np.asarray(scores["hits"].values)[i, e, k]),
            *(
                column(name, label, "number", np.asarray(scores[name].values)[i, e, k])
                for name, label in labels.items()
            ),
        ),
        source_of(report, scores, "hits"),
        n_shown=12,
        tone_column="verdict",
    )
