"""Over the last nights: each headline as every published night's own report has it, this night last."""

from riskpipe.report import numbers
from riskpipe.report.document import Section, Table
from riskpipe.report.grade import headline_grade
from riskpipe.report.report_input import PastNight, ReportInput
from riskpipe.report.sections.bars import bars
from riskpipe.report.wording import column

HEADLINES = {
    "uncovered_loss": "Uncovered loss",
    "shortfall": "Shortfall",
    "liquidated_notional": "Notional liquidated",
}


def nights_sections(report: ReportInput) -> list[Section]:
    """Headlines night by night; nothing where no earlier night is published."""
    if not report.nights:
        return []
    nights = [*report.nights, _this_night(report)]
    rows = [(name, one) for name in HEADLINES for one in nights]
    read = [one.headlines.get(name, (None, None, None, "not checked")) for name, one in rows]
    n_unread = sum(not one.headlines for one in report.nights)
    gap = f"; {numbers.plural(n_unread, 'night')} could not be read" if n_unread else ""
    table = Table(
        "nights",
        "Headlines over the grid, night by night, as each night's own report has them: configurations and versions may "
        f"have changed in between{gap}",
        (
            column("headline", "Headline", "text", [HEADLINES[name] for name, _ in rows]),
            column("as_of", "Night", "text", [one.as_of[:16].replace("T", " ") for _, one in rows]),
            *(
                column(name, name.capitalize(), "usd", [values[at] for values in read])
                for at, name in enumerate(("low", "central", "high"))
            ),
            column("grade", "Grade", "text", [values[3] for values in read]),
            column("run", "Run", "code", [one.run_id for _, one in rows]),
        ),
        n_shown=len(rows),
        tone_column="grade",
    )
    chart = bars(
        "nights",
        "Headlines night by night",
        "Low, central and high of a headline over the grid, of this night (last) and those published before it.",
        table,
        x="as_of",
        filters=(("headline", False),),
        series=("low", "central", "high"),
        is_stacked=False,
    )
    return [Section("nights", "Over the last nights", (chart,))]


def _this_night(report: ReportInput) -> PastNight:
    ranges = report.measures["ranges"].sel(scope="grid")
    found = {}
    for name in HEADLINES:
        one = ranges.sel(headline=name)
        low, central, high = (float(one[key].values) for key in ("low", "central", "high"))
        found[name] = (low, central, high, headline_grade(report, name))
    return PastNight(report.as_of.isoformat(), report.run_id, found)
