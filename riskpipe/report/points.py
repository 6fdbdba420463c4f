"""What to know: the sentences and the figures in large type that head the report."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import KeyFigure, Point, Tone
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.provenance import control_words, finding_words, unproven_words
from riskpipe.report.wording import (
    axes_of,
    bracket_words,
    cell_words,
    limit_words,
    set_words,
    source_of,
    variant_words,
)

MAX_FUND_POINTS = 2


def worst_move_point(report: ReportInput) -> Point:
    """Who is liquidated in the worst cell along the index axis."""
    worst = report.measures["worst_index_move"]
    row = int(worst["scenario"].values)
    cited = source_of(report, worst, "liquidated_notional", f".sel(scenario={row})")
    where = cell_words({axis: float(worst[axis].values) for axis in axes_of(worst)})
    if report.measures["variants"].sizes["variant"] > 1:
        where = f"{where}; {variant_words(str(worst['variant'].values))}"
    total, n_closed = (float(worst[name].values) for name in ("liquidated_notional", "liquidated_accounts"))
    has_grid = bool(worst.attrs["has_grid"])
    if not has_grid:
        where = f"{where}; {set_words(str(worst['set'].values))}"
    if total == 0.0:
        what = "index move of the grid" if has_grid else "scenario"
        return Point(
            f"Nothing is liquidated by any {what} (checked to {where}), {worst.attrs['plane']}.", "good", cited
        )
    long, short = np.asarray(worst["long"].values), np.asarray(worst["short"].values)
    venue, underlying = np.unravel_index(int((long + short).argmax()), long.shape)
    largest = float((long + short)[venue, underlying])
    market = f"{worst['venue'].values[venue]} {worst['underlying'].values[underlying]}"
    return Point(
        f"Worst {'index move' if has_grid else 'scenario'} by uncovered loss ({where}; {worst.attrs['plane']}): "
        f"{numbers.plural(n_closed, 'account')}{share_words(report, n_closed)} and {numbers.usd(total)} of positions "
        f"{book_words(report)}are liquidated "
        f"({numbers.usd(float(long.sum()))} long, {numbers.usd(float(short.sum()))} short), "
        f"{numbers.share(largest / total)} of it in {market}; uncovered loss "
        f"{numbers.usd(float(worst['uncovered_loss'].values))}{limit_words(float(worst['price_limits_hit'].values))}.",
        "bad" if float(worst["uncovered_loss"].values) > 0.0 else "warn",
        cited,
    )


def axis_points(report: ReportInput) -> list[Point]:
    """What the index axis moves, where the run's own betas say so."""
    betas = report.config.get("index_beta")
    if not isinstance(betas, Mapping) or not betas:
        return []
    moved = ", ".join(f"{asset} by {float(beta):g}" for asset, beta in betas.items() if float(beta) != 0.0)
    still = ", ".join(str(asset) for asset, beta in betas.items() if float(beta) == 0.0)
    words = [f"moves {moved}" if moved else "moves nothing named", f"leaves {still}" if still else ""]
    return [Point(f"The index axis is this run's own: per unit it {' and '.join(filter(None, words))}.", "unknown")]


def fund_points(report: ReportInput) -> list[Point]:
    """Which fund is exhausted by which move: the nearest first, the others counted."""
    walked = report.measures["exhaustion"].isel(variant=0)
    funds = [str(fund) for fund in walked["fund"].values]
    if not funds:
        return [Point("There is no insurance fund.", "unknown")]
    first = np.abs(np.asarray(walked["first_exhausted"].values))
    nearest = np.where(np.isnan(first), np.inf, first).min(axis=1)
    cited = source_of(report, walked, "status")
    hit = [f for f in np.argsort(nearest, kind="stable").tolist() if np.isfinite(nearest[f])]
    losses = report.measures["fund_losses"]
    balance, shortfall = (losses[name].values.max(axis=0) for name in ("fund_balance", "shortfall"))
    # where nothing is kept the first cent exhausts: say how much that is
    named = [
        fund
        if balance[f] > 0.0
        else f"{fund}, which holds nothing (largest shortfall {numbers.usd(float(shortfall[f]))}),"
        for f, fund in enumerate(funds)
    ]
    points = [
        Point(f"Fund {named[f]} would be exhausted ({walked.attrs['plane']}); {fund_words(report, f)}.", "bad", cited)
        for f in hit[:MAX_FUND_POINTS]
    ]
    is_empty = ~(losses["fund_balance"].values.any(axis=0) | losses["shortfall"].values.any(axis=0))
    n_empty = int(is_empty.sum())
    n_more, n_safe = max(0, len(hit) - MAX_FUND_POINTS), len(funds) - len(hit) - n_empty
    rest, n_elsewhere = [], 0
    if n_more:
        rest.append(
            f"{numbers.plural(n_more, 'more fund')} would be exhausted by moves no nearer ({walked.attrs['plane']})"
        )
    if n_safe:
        rest.append(f"{numbers.plural(n_safe, 'fund')} not exhausted by an index move alone ({walked.attrs['plane']})")
        is_central = losses["variant"].values == losses["variant"].values[0]
        is_hit = losses["is_exhausted"].values[is_central].any(axis=0)
        n_elsewhere = sum(bool(is_hit[f]) for f in range(len(funds)) if f not in hit)
        if n_elsewhere:
            rest.append(f"{numbers.count(n_elsewhere)} of them would be exhausted elsewhere in the scenarios")
    if n_empty:
        are = "is a placeholder" if n_empty == 1 else "are placeholders"
        rest.append(f"{numbers.plural(n_empty, 'fund')} {are} without balance or loss")
    if rest:
        tone: Tone = "bad" if n_more else "warn" if n_elsewhere else "good" if n_safe else "plain"
        points.append(Point(f"{'; '.join(rest)}.", tone, cited))
    return points


def volatility_points(report: ReportInput) -> list[Point]:
    """What a move of volatility alone does to the funds, where it does anything."""
    ladder = report.measures["volatility"]
    if ladder.sizes["vol_shock"] == 0:
        return []
    shocks, losses = ladder["vol_shock"].values, ladder["uncovered_loss"].values
    total = losses.sum(axis=1)
    steps = [
        f"{numbers.usd(float(loss))} at {numbers.share(float(z), is_signed=True)}"
        for z, loss in zip(shocks, total, strict=True)
    ]
    said = [f"uncovered loss {', '.join(steps)}"]
    for f, fund in enumerate(ladder["fund"].values.tolist()):
        hit = np.flatnonzero((losses[:, f] > 0.0) & (shocks > 0.0))
        if len(hit):
            said.append(f"fund {fund} exhausted at {numbers.share(float(shocks[hit[0]]), is_signed=True)}")
    tone: Tone = "bad" if len(said) > 1 else "warn" if total.any() else "plain"
    text = f"Volatility alone (index 0%, other axes neutral): {'; '.join(said)}."
    return [Point(text, tone, source_of(report, ladder, "uncovered_loss"))]


def fund_words(report: ReportInput, fund: int) -> str:
    """Brackets of one fund, central variant: `index down: ...; index up: ...`, or both at once where they agree."""
    walked = report.measures["exhaustion"].isel(variant=0, fund=fund)
    said: dict[str, list[str]] = {}
    for d, direction in enumerate(walked["direction"].values.tolist()):
        last, first, heals = (float(walked[name].values[d]) for name in ("last_held", "first_exhausted", "heals_at"))
        words = bracket_words(last, first, heals, str(walked["status"].values[d]))
        said.setdefault(words, []).append(str(direction))
    return "; ".join(f"index {' or '.join(directions)}: {words}" for words, directions in said.items())


def uncovered_point(report: ReportInput) -> Point:
    """Uncovered loss as low, central and high."""
    ranges = report.measures["ranges"].sel(headline="uncovered_loss", scope="grid")
    low, central, high = (float(ranges[name].values) for name in ("low", "central", "high"))
    cited = source_of(report, report.measures["variants"], "uncovered_loss")
    if high == 0.0:
        of = " of the grid" if report.measures["headline_cells"].attrs["has_grid"] else ""
        return Point(f"No scenario{of} leaves an uncovered loss under any variant.", "good", cited)
    driver = str(ranges["driver"].values)
    n_variants = report.measures["variants"].sizes["variant"]
    sides = [variant_words(str(ranges[name].values)) for name in ("low_variant", "high_variant")]
    in_low, in_high = (f" under {side}" if side else "" for side in sides)
    cell = report.measures["headline_cells"].sel(headline="uncovered_loss")
    which = "the grid's worst cell" if report.measures["headline_cells"].attrs["has_grid"] else "the worst scenario"
    if n_variants == 1:
        width = "one variant only, so that the width is not measured"
    else:
        width = f"width driven by {driver}" if driver else "the variants do not change it"
    if report.summary is not None and report.summary.get("loans"):
        width += "; loans are liquidated at the far end of the shock in every variant, as if prices jumped"
    return Point(
        f"Uncovered loss in {which} (central: {where_words(cell)}): low {numbers.usd(low)}{in_low}, central "
        f"{numbers.usd(central)}, high {numbers.usd(high)}{in_high} ({width})"
        f"{limit_words(float(cell['price_limits_hit'].values))}.",
        "bad",
        cited,
    )


def named_points(report: ReportInput) -> list[Point]:
    """The worst named scenario, which may cost more than any cell of the grid; nothing where there is none."""
    named = report.measures["worst_named"]
    if named.sizes["reading"] == 0:
        return []
    central, high = named.isel(reading=0), named.isel(reading=1)
    loss, highest = float(central["uncovered_loss"].values), float(high["uncovered_loss"].values)
    grid = float(report.measures["headline_cells"]["value"].sel(headline="uncovered_loss").values)
    has_grid = report.measures["headline_cells"].attrs["has_grid"]
    beyond = ", more than in any cell of the grid" if has_grid and loss > grid else ""
    worse = ""
    if highest > loss:
        under = variant_words(str(high["variant"].values))
        worse = f"; at most {numbers.usd(highest)}, in {high['name'].values} under {under}"
    text = (
        f"Worst named scenario by uncovered loss: {central['name'].values} ({where_words(central)}): uncovered loss "
        f"{numbers.usd(loss)}{beyond}, {numbers.usd(float(central['liquidated_notional'].values))} liquidated"
        f"{limit_words(float(central['price_limits_hit'].values))}{worse}."
    )
    cited = source_of(report, named, "uncovered_loss", f".sel(scenario={int(central['scenario'].values)})")
    return [Point(text, "bad" if highest > 0.0 else "plain", cited)]


def simulated_points(report: ReportInput) -> list[Point]:
    """What the simulated set says of losses, as probabilities of the central variant; nothing where there is none."""
    found = report.measures["loss_distribution"]
    n = int(found.attrs["n_scenarios"])
    if n == 0:
        return []
    asked = (report.config.get("scenarios") or {}).get("simulated") or {}
    over = f" over {asked['horizon']}" if "horizon" in asked else ""
    central = found.isel(variant=0)
    said = []
    headlines = [str(name) for name in found["headline"].values]
    for headline, label in (("uncovered_loss", "uncovered loss"), ("liquidated_notional", "notional liquidated")):
        one = central.isel(series=headlines.index(headline))  # the system's
        levels = [
            f"{numbers.share(float(level))} of them stay within {numbers.usd(float(quantile))} (expected shortfall "
            f"{numbers.usd(float(tail))}, of {_tail_size(float(level), n)})"
            for level, quantile, tail in zip(
                one["level"].values, one["value_at_risk"].values, one["expected_shortfall"].values, strict=True
            )
        ]
        chance = float(one["chance"].values)
        said.append(
            f"{label} in {numbers.share(chance)} of them; {', '.join(levels)}" if chance > 0.0 else f"no {label} in any"
        )
    lost = float(central["chance"].values[headlines.index("uncovered_loss")]) > 0.0
    return [
        Point(
            f"{numbers.plural(n, 'simulated scenario')} of equal probability{over}: {'; '.join(said)}. An observed "
            "move already contains its cascade, and the one computed comes on top.",
            "bad" if lost else "plain",
            source_of(report, found, "value_at_risk"),
        )
    ]


def _tail_size(level: float, n: int) -> str:
    """How many scenarios a tail is made of, the one on its boundary counted whole."""
    return numbers.plural(np.ceil(round((1.0 - level) * n, 6)), "scenario")


def where_words(cell: xr.Dataset) -> str:
    """Where one cell is, from its scalar coordinates."""
    return cell_words({axis: float(cell[axis].values) for axis in axes_of(cell)})


def weighted_accounts(report: ReportInput) -> float:
    """Accounts of the book; a row may stand for several."""
    return float(report.measures["distances"]["accounts"].isel(direction=0).sum())


def share_words(report: ReportInput, n_closed: float) -> str:
    """Accounts closed as a share of the book's."""
    whole = weighted_accounts(report)
    return f" ({numbers.share(n_closed / whole)} of {numbers.plural(whole, 'account')})" if whole > 0.0 else ""


def book_words(report: ReportInput) -> str:
    """The book's gross notional, or its debt where it holds loans only, where it is known."""
    if report.summary is None:
        return ""
    gross, debt = float(report.summary["gross_notional_usd"]), float(report.summary.get("debt_usd", 0.0))
    held = f"{numbers.usd(debt)} of debt" if gross == 0.0 < debt else f"{numbers.usd(gross)} gross"
    return f"(of a book of {held} at the snapshot) "


def finding_tone(report: ReportInput) -> Tone:
    """How findings are marked: by the worst of them."""
    severities = {str(finding.severity) for finding in report.findings}
    return "bad" if "error" in severities else "warn" if "warning" in severities else "plain"


def trust_point(report: ReportInput) -> Point:
    """What the night noticed and the state of its controls; unmeasured is never good."""
    statuses = {one.status for one in report.controls}
    unproven = unproven_words(report)
    said = f"{control_words(report)}{f' ({unproven})' if unproven else ''}" if statuses else "not checked"
    tones: tuple[Tone, ...] = ("plain", "warn", "unknown", "bad")
    of_controls: Tone = "bad" if "differs" in statuses else "unknown" if statuses != {"ok"} else "plain"
    tone = max(finding_tone(report), of_controls, key=tones.index)
    return Point(f"{finding_words(report).capitalize()}; controls: {said}.", tone)


def key_figures(report: ReportInput) -> dict[str, KeyFigure]:
    """Headlines in large type by name: central, with the range of the variants beside it."""
    ranges, variants = report.measures["ranges"].sel(scope="grid"), report.measures["variants"]
    cells = report.measures["headline_cells"]
    labels = {
        "uncovered_loss": "Uncovered loss",
        "liquidated_notional": "Notional liquidated",
        "liquidated_accounts": "Accounts liquidated",
        "amplification": "Amplification",
    }
    figures = {}
    for name, label in labels.items():
        one = ranges.sel(headline=name)
        low, central, high = (float(one[key].values) for key in ("low", "central", "high"))
        write = {"USD": numbers.usd, "accounts": numbers.count, "x": numbers.factor}[str(one["units"].values)]
        cell = cells.sel(headline=name)
        if np.isnan(central) or central == 0.0:
            note = "nothing is liquidated" if name != "uncovered_loss" else "no cell leaves one"
        else:
            note = f"at {where_words(cell)}{limit_words(float(cell['price_limits_hit'].values))}"
            if name == "amplification":
                note = f"{amplification_words(report, int(cell['scenario'].values))}, {note}"
        if low != high and not np.isnan(central):
            note = f"{write(low)} to {write(high)}, {note}"
        figures[name] = KeyFigure(label, write(central), note, source_of(report, variants, name))
    return figures


def amplification_words(report: ReportInput, scenario: int) -> str:
    """Both sums behind an amplification."""
    cell = report.measures["liquidation"].sel(scenario=scenario)
    first, total = (float(cell[name].values) for name in ("first_round_notional", "liquidated_notional"))
    return f"largest, from {numbers.usd(first)} in the first round to {numbers.usd(total)}"
