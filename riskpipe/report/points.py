"""What to know: the sentences and the figures in large type that head the report."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import Point, Tone
from riskpipe.report.grade import sentence_grade
from riskpipe.report.ranges import ONE_VARIANT, SAME, Ranged, same_cell, uncovered_of, variant_labels
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.provenance import control_words, finding_words, unproven_words
from riskpipe.report.wording import (
    axes_of,
    bracket_words,
    cell_words,
    limit_words,
    placeholders,
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
    where = where_words(worst)
    labels = variant_labels(report)
    if len(labels) > 1:
        where = f"{where}; {variant_words(str(worst['variant'].values))}"
    total, n_closed = (float(worst[name].values) for name in ("liquidated_notional", "liquidated_accounts"))
    has_grid = bool(worst.attrs["has_grid"])
    if not has_grid:
        where = f"{where}; {set_words(str(worst['set'].values))}"
    if total == 0.0:
        what = "index move of the grid" if has_grid else "scenario"
        of = Ranged(labels)
        found = of.counted(report.measures["variants"]["liquidated_notional"].sel(scope="index axis").values)
        high = f" (high {numbers.usd(found.high)} under {variant_words(found.high_variant)})" if found.is_wide else ""
        return Point(
            f"Nothing is liquidated by any {what} (checked to {where}), {worst.attrs['plane']}{high}; {of.ending}.",
            "warn" if high else "good",
            cited,
            sentence_grade(report, of),
        )
    long, short = np.asarray(worst["long"].values), np.asarray(worst["short"].values)
    venue, underlying = np.unravel_index(int((long + short).argmax()), long.shape)
    largest = float((long + short)[venue, underlying])
    market = f"{worst['venue'].values[venue]} {worst['underlying'].values[underlying]}"
    of = Ranged(labels)
    rows, flat = same_cell(report, row), report.measures["liquidation"]
    accounts = of.said(flat["liquidated_accounts"].values[rows], lambda n: numbers.plural(n, "account"))
    notional = of.said(flat["liquidated_notional"].values[rows], numbers.usd)
    uncovered = of.said(uncovered_of(report, rows), numbers.usd)
    return Point(
        f"Worst {'index move' if has_grid else 'scenario'} by uncovered loss ({where}; {worst.attrs['plane']}): "
        f"{accounts}{share_words(report, n_closed)} and {notional} of positions "
        f"{book_words(report)}are liquidated "
        f"({numbers.usd(float(long.sum()))} long, {numbers.usd(float(short.sum()))} short), "
        f"{numbers.share(largest / total)} of it in {market}; uncovered loss "
        f"{uncovered}{limit_words(float(worst['price_limits_hit'].values))}; {of.ending}.",
        "bad" if float(worst["uncovered_loss"].values) > 0.0 else "warn",
        cited,
        sentence_grade(report, of),
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
    every = report.measures["exhaustion"]
    walked = every.isel(variant=0)
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
    points = []
    for f in hit[:MAX_FUND_POINTS]:
        of = Ranged(variant_labels(report))
        words = fund_words(report, f, of)
        text = f"Fund {named[f]} would be exhausted ({walked.attrs['plane']}); {words}; {of.ending}."
        points.append(Point(text, "bad", cited, sentence_grade(report, of)))
    n_empty = int(placeholders(report).sum())
    n_by_variant = np.isfinite(every["first_exhausted"].values).any(axis=2).sum(axis=0).astype(np.float64)
    n_more, n_safe = max(0, len(hit) - MAX_FUND_POINTS), len(funds) - len(hit) - n_empty
    # a walk that stays at 0 says nothing of moves
    is_walked = bool(hit) or bool((np.nan_to_num(every["last_held"].values) != 0.0).any())
    rest, n_elsewhere = [], 0
    if n_more:
        rest.append(
            f"{numbers.plural(n_more, 'more fund')} would be exhausted by moves no nearer ({walked.attrs['plane']})"
        )
    if n_safe:
        rest.append(
            f"{numbers.plural(n_safe, 'fund')} not exhausted by an index move alone ({walked.attrs['plane']})"
            if is_walked
            else f"Whether an index move exhausts any of {numbers.plural(n_safe, 'fund')} is not checked: the grid has "
            f"none ({walked.attrs['plane']})"
        )
        is_central = losses["variant"].values == losses["variant"].values[0]
        is_hit = losses["is_exhausted"].values[is_central].any(axis=0)
        n_elsewhere = sum(bool(is_hit[f]) for f in range(len(funds)) if f not in hit)
        if n_elsewhere:
            rest.append(f"{numbers.count(n_elsewhere)} of them would be exhausted elsewhere in the scenarios")
    if n_empty:
        are = "is a placeholder" if n_empty == 1 else "are placeholders"
        rest.append(f"{numbers.plural(n_empty, 'fund')} {are} without balance or loss")
    if rest and not is_walked:
        points.append(Point(f"{'; '.join(rest)}.", "warn" if n_elsewhere else "unknown", cited, "not checked"))
    elif rest:
        of = Ranged(variant_labels(report))
        exhausted = of.said(n_by_variant, numbers.count)
        rest.append(f"funds that an index move exhausts: {exhausted}; {of.ending}")
        tone: Tone = "bad" if n_more else "warn" if n_elsewhere else "good" if n_safe else "plain"
        points.append(Point(f"{'; '.join(rest)}.", tone, cited, sentence_grade(report, of)))
    return points


def volatility_points(report: ReportInput) -> list[Point]:
    """What a move of volatility alone does to the funds, where it does anything."""
    ladder = report.measures["volatility"]
    if ladder.sizes["vol_shock"] == 0:
        return []
    shocks, losses = ladder["vol_shock"].values, ladder["uncovered_loss"].values
    of, central = Ranged(variant_labels(report)), losses[0]
    steps = [
        f"{of.said(losses[:, k].sum(axis=1), numbers.usd)} at {numbers.share(float(z), is_signed=True)}"
        for k, z in enumerate(shocks)
    ]
    said = [f"uncovered loss {', '.join(steps)}"]
    for f, fund in enumerate(ladder["fund"].values.tolist()):
        first = [_first(shocks, lost[:, f]) for lost in losses]
        if np.isfinite(first[0]):
            at = of.said(np.array(first), lambda z: _move_words(z, 1.0))
            said.append(f"fund {fund} exhausted at {at}")
    tone: Tone = "bad" if len(said) > 1 else "warn" if central.any() else "plain"
    text = f"Volatility alone (index 0%, other axes neutral): {'; '.join(said)}; {of.ending}."
    return [Point(text, tone, source_of(report, ladder, "uncovered_loss"), sentence_grade(report, of))]


def _first(shocks: np.ndarray, losses: np.ndarray) -> float:
    """The first rise at which something is lost, infinite where there is none."""
    hit = np.flatnonzero((losses > 0.0) & (shocks > 0.0))
    return float(shocks[hit[0]]) if len(hit) else np.inf


def _move_words(size: float, sign: float) -> str:
    """A move of a size, infinite where none does it."""
    return numbers.share(sign * size, is_signed=True) if np.isfinite(size) else "not exhausted"


def fund_words(report: ReportInput, fund: int, of: Ranged) -> str:
    """Brackets of one fund, central variant, and the range of the moves that exhaust it.

    `index down: ...; index up: ...`, or both at once where they agree.
    """
    every = report.measures["exhaustion"].isel(fund=fund)
    walked = every.isel(variant=0)
    said: dict[str, list[str]] = {}
    for d, direction in enumerate(walked["direction"].values.tolist()):
        last, first, heals = (float(walked[name].values[d]) for name in ("last_held", "first_exhausted", "heals_at"))
        words = bracket_words(last, first, heals, str(walked["status"].values[d]))
        moves = np.abs(every["first_exhausted"].values[:, d])
        one = of.counted(np.where(np.isnan(moves), np.inf, moves))
        if one.is_wide:
            sign = -1.0 if direction == "down" else 1.0
            words += f" (low {_move_words(one.low, sign)}, high {_move_words(one.high, sign)})"
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
        width = f"{ONE_VARIANT}, so that the width is not measured"
    else:
        width = f"width driven by {driver}" if driver else SAME
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
    if highest > loss and str(high["name"].values) != str(central["name"].values):
        under = variant_words(str(high["variant"].values))
        worse = f"; at most {numbers.usd(highest)}, in {high['name'].values} under {under}"
    rows, of = same_cell(report, int(central["scenario"].values)), Ranged(variant_labels(report))
    lost = of.said(uncovered_of(report, rows), numbers.usd)
    closed = of.said(report.measures["liquidation"]["liquidated_notional"].values[rows], numbers.usd)
    text = (
        f"Worst named scenario by uncovered loss: {central['name'].values} ({where_words(central)}): uncovered loss "
        f"{lost}{beyond}, {closed} liquidated{limit_words(float(central['price_limits_hit'].values))}"
        f"{worse}; {of.ending}."
    )
    cited = source_of(report, named, "uncovered_loss", f".sel(scenario={int(central['scenario'].values)})")
    return [Point(text, "bad" if highest > 0.0 else "plain", cited, sentence_grade(report, of))]


def simulated_points(report: ReportInput) -> list[Point]:
    """What the simulated set says of losses, as probabilities of the central variant; nothing where there is none."""
    found = report.measures["loss_distribution"]
    n = int(found.attrs["n_scenarios"])
    if n == 0:
        return []
    asked = (report.config.get("scenarios") or {}).get("simulated") or {}
    over = f" over {asked['horizon']}" if "horizon" in asked else ""
    of, said = Ranged(variant_labels(report)), []
    headlines = [str(name) for name in found["headline"].values]
    for headline, label in (("uncovered_loss", "uncovered loss"), ("liquidated_notional", "notional liquidated")):
        one = found.isel(series=headlines.index(headline))  # the system's
        levels = [
            f"{numbers.share(float(level))} of them stay within "
            f"{of.said(one['value_at_risk'].values[:, k], numbers.usd)} (expected shortfall "
            f"{of.said(one['expected_shortfall'].values[:, k], numbers.usd)}, of {_tail_size(float(level), n)})"
            for k, level in enumerate(one["level"].values)
        ]
        chance = of.said(one["chance"].values, numbers.share)
        has_any = bool((one["chance"].values > 0.0).any())
        said.append(f"{label} in {chance} of them; {', '.join(levels)}" if has_any else f"no {label} in any")
    lost = bool((found["chance"].values[:, headlines.index("uncovered_loss")] > 0.0).any())
    return [
        Point(
            f"{numbers.plural(n, 'simulated scenario')} of equal probability{over}: {'; '.join(said)}; {of.ending}. An "
            "observed move already contains its cascade, and the one computed comes on top.",
            "bad" if lost else "plain",
            source_of(report, found, "value_at_risk"),
            sentence_grade(report, of),
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
