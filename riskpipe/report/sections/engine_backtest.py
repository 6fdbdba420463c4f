"""Engine back-test: liquidations predicted from the previous night's book on the prices since, and those reported."""

import math

from riskpipe.domain.engine_backtest import READINGS
from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Point, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column

_LOW, _HIGH = range(len(READINGS))


def engine_backtest_section(report: ReportInput) -> list[Section]:
    """What was predicted beside what was reported; nothing where the snapshot reports no liquidations."""
    found = report.engine_backtest
    if found is None:
        return []
    title = "Engine back-test"
    since = found.since.strftime("%Y-%m-%d %H:%M UTC")
    if found.problem:
        return [
            Section("engine_backtest", title, (Paragraph(f"Not tested since {since}: {found.problem}", "unknown"),))
        ]
    blocks: list[Block] = [
        Paragraph(
            f"The book of the night of {since} (run {found.since_run_id}) on the prices of the "
            f"{numbers.plural(found.hours, 'hour')} since, hour by hour; an account is closed once. Observed prices "
            "contain the cascade of their day: prices alone adds none, cascade on top computes another, and the truth "
            "should lie between. What is not modelled: accounts that added margin or traded meanwhile, partial "
            "liquidations, moves inside an hour, volatility; fees top up no fund."
        )
    ]
    if found.still:
        blocks.append(Paragraph(f"Without a price, taken not to move: {', '.join(found.still)}.", "warn"))
    if found.unusable:
        left = "; ".join(f"{numbers.plural(n, 'row')}: {why}" for why, n in found.unusable.items())
        blocks.append(Paragraph(f"Of {numbers.plural(found.n_rows, 'reported row')} not used: {left}.", "warn"))
    names = [name.replace(" ", "_") for name in READINGS]
    rows, funds = found.exposures, found.funds
    blocks += [
        Table(
            "backtest_notional",
            "Notional closed by market and side, reported and predicted",
            (
                column("venue", "Venue", "text", [one.venue for one in rows]),
                column("underlying", "Underlying", "text", [one.underlying for one in rows]),
                column("side", "Side closed", "text", [one.side for one in rows]),
                column("actual", "Reported", "usd", [one.actual for one in rows]),
                *(column(name, f"Predicted, {reading}", "usd", [one.predicted[n] for one in rows])
                  for n, (name, reading) in enumerate(zip(names, READINGS, strict=True))),
            ),
        ),
        Table(
            "backtest_funds",
            "Shortfall and change of each fund, reported and predicted",
            (
                column("fund", "Fund", "text", [one.fund for one in funds]),
                column("shortfall", "Shortfall reported", "usd", [one.shortfall for one in funds]),
                *(column(f"shortfall_{name}", f"Predicted, {reading}", "usd",
                         [one.predicted_shortfall[n] for one in funds])
                  for n, (name, reading) in enumerate(zip(names, READINGS, strict=True))),
                column("change", "Change reported", "usd", [one.fund_change for one in funds]),
                *(column(f"change_{name}", f"Predicted, {reading}", "usd",
                         [one.predicted_fund_change[n] for one in funds])
                  for n, (name, reading) in enumerate(zip(names, READINGS, strict=True))),
            ),
        ),
    ]  # fmt: skip
    return [Section("engine_backtest", title, tuple(blocks))]


def engine_backtest_points(report: ReportInput) -> list[Point]:
    """Whether what came lies between what the engine says of it."""
    found = report.engine_backtest
    if found is None:
        return []
    since = found.since.strftime("%Y-%m-%d %H:%M UTC")
    if found.problem:
        return [Point(f"Reported liquidations since {since} were not held against the engine.", "unknown")]
    actual = sum(one.actual for one in found.exposures)
    ends = [sum(one.predicted[n] for one in found.exposures) for n in (_LOW, _HIGH)]
    low, high = min(ends), max(ends)
    shortfall = sum(one.shortfall for one in found.funds)
    lost = "" if math.isnan(shortfall) else f"; shortfall {numbers.usd(shortfall)} reported, {_range(report)} predicted"
    return [
        Point(
            f"Since {since}, {numbers.usd(actual)} of liquidations were reported; the engine says "
            f"{numbers.usd(ends[_LOW])} on prices alone, {numbers.usd(ends[_HIGH])} with a cascade on top{lost}.",
            "plain" if low <= actual <= high else "warn",
        )
    ]


def _range(report: ReportInput) -> str:
    funds = () if report.engine_backtest is None else report.engine_backtest.funds
    ends = [sum(one.predicted_shortfall[n] for one in funds) for n in (_LOW, _HIGH)]
    return f"{numbers.usd(min(ends))} to {numbers.usd(max(ends))}"
