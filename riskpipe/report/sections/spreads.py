"""Spreads: which widen now, what trading them is like, and who would have to leave."""

import numpy as np
import xarray as xr

from riskpipe.domain.market import NOT_CHECKED, STEADY, WIDENS
from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Point, Section, Table, Tone
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column, source_of

_N_NAMED = 5
_N_SHOWN = 15
_KINDS = {
    "perpetual_index": "perpetual over index",
    "future_index": "future over index",
    "cross_venue": "across venues",
    "calendar": "calendar",
    "asset_ratio": "claim over asset",
}


def spreads_section(report: ReportInput) -> Section:
    """Spreads that widen, then every pair, those first in which most is crowded."""
    found = report.measures["spreads"]
    if found.sizes["pair"] == 0:
        return Section("spreads", "Spreads", (Paragraph("The book has no two prices of one thing."),))
    blocks: list[Block] = [widening_words(found), _meaning(report, found)]
    blocks += [_trades(report, found), _models(report, found), _hedges(report, found)]
    return Section("spreads", "Spreads", tuple(blocks))


def spread_points(report: ReportInput) -> list[Point]:
    """Spreads that widen now with delta-neutral owners in them, who would have to leave; nothing where none does.

    Among many spreads some are beyond three deviations on any day: those that nobody is known to hold stay in the
    section.
    """
    found = report.measures["spreads"]
    held = np.asarray(found["neutral_interest"].values)
    rows = np.flatnonzero((found["state"].values == WIDENS) & (held > 0.0))
    if len(rows) == 0:
        return []
    named = [
        f"{_move_words(found.isel(pair=int(row)))} with at least {numbers.usd(float(held[row]))} held"
        for row in rows[:_N_NAMED]
    ]
    more = f"; and {len(rows) - _N_NAMED} more" if len(rows) > _N_NAMED else ""
    text = (
        f"{numbers.plural(len(rows), 'spread')} with delta-neutral owners in {'it' if len(rows) == 1 else 'them'} "
        f"widen{'s' if len(rows) == 1 else ''} by more than 3 standard deviations: {'; '.join(named)}{more}."
    )
    return [Point(text, "warn", source_of(report, found, "is_widening"))]


def widening_words(found: xr.Dataset) -> Paragraph:
    """Which spreads widen by more than their volatility explains, the most crowded first; unmeasured is never calm."""
    state = found["state"].values
    wide, n = np.flatnonzero(state == WIDENS), len(state)
    n_unchecked, n_steady = int((state == NOT_CHECKED).sum()), int((state == STEADY).sum())
    said = []
    if len(wide):
        named = [_move_words(found.isel(pair=int(row))) for row in wide[:_N_NAMED]]
        more = f"; and {len(wide) - _N_NAMED} more" if len(wide) > _N_NAMED else ""
        said.append(
            f"{numbers.count(len(wide))} of {numbers.plural(n, 'spread')} widen{'s' if len(wide) == 1 else ''} by more "
            f"than 3 standard deviations of what its volatility made likely: {'; '.join(named)}{more}"
        )
    elif n_steady:
        said.append(f"None of {numbers.plural(n_steady, 'spread')} checked widens by more than 3 standard deviations")
    if n_unchecked:
        said.append(
            f"Not checked for {n_unchecked} of {n}: no price in the last hour, too short a history, or no estimator "
            "that passes"
        )
    tone: Tone = "warn" if len(wide) else "unknown" if n_unchecked else "good"
    return Paragraph(f"{'. '.join(said)}.", tone)


def _move_words(one: xr.Dataset) -> str:
    """The furthest move of one spread that is flagged."""
    scores = np.where(one["is_widening"].values == 1.0, np.abs(one["widening_score"].values), -1.0)
    h = int(scores.argmax())
    size = "moved for the first time" if np.isinf(scores[h]) else f"{numbers.number(float(scores[h]))} sd"
    where = numbers.share(float(one["last_history_spread"].values), is_signed=True)
    return f"{one['pair'].values} ({size} in {one['horizon'].values[h]}, to {where})"


def _meaning(report: ReportInput, found: xr.Dataset) -> Paragraph:
    assumed = report.config.get("calibration", {}).get("spreads", {})
    words = []
    if assumed:
        words.append(
            f"Assumed of who trades a spread: fees of {numbers.share(float(assumed['fee_rate']))} for each trade of "
            f"each leg, {numbers.share(float(assumed['financing_rate']))} a year for cash, "
            f"{numbers.number(float(assumed['holding_days']))} days held where there is no expiry, a margin of "
            f"{numbers.share(float(assumed['margin_rate']))} for each contract leg. "
        )
    words.append(
        "Carry is at the funding and prices quoted now, which nobody promises. The trade is out of margin where one "
        "pool needs more than that margin at the end of some hour, which makes the chance a lower bound; legs at two "
        "venues do not help each other. The flow that closes a gap is what arbitrage could trade until only its fees "
        "are left."
    )
    unknown = np.asarray(found["unknown_share"].values)
    known = unknown[~np.isnan(unknown)]
    if len(known) and known.max() > 0.0:
        words.append(
            f" Owners of {numbers.share(float(known.min()))} to {numbers.share(float(known.max()))} of the open "
            "interest are not known, so that what hedgers hold is at least what is shown."
        )
    return Paragraph("".join(words))


def _at(found: xr.Dataset, name: str, horizon: str) -> np.ndarray:
    return np.asarray(found[name].sel(horizon=horizon).values)


def _side_words(side: float) -> str:
    return NOT_CHECKED if np.isnan(side) else "short first, long second" if side < 0.0 else "long first, short second"


def _trades(report: ReportInput, found: xr.Dataset) -> Table:
    values = {str(name): np.asarray(found[name].values) for name in found.data_vars}
    return Table(
        "spreads",
        "Spreads, those first in which one standard deviation of a day moves most money of delta-neutral owners, then "
        "the most volatile. The widening is the furthest of four horizons, in standard deviations; n/a: not measured",
        (
            column("pair", "First / second", "text", found["pair"].values),
            column("kind", "Kind", "text", [_KINDS.get(str(kind), str(kind)) for kind in values["kind"]]),
            column("state", "State", "text", values["state"]),
            column("widening", "Widening, sd", "number", _furthest(values["widening_score"])),
            column("spread", "Spread now", "signed_share", values["spread"]),
            column("spread_vol_1d", "Vol 1d", "share", _at(found, "spread_vol", "1d")),
            column("crowded_move", "Moves of hedgers' in a day", "usd", values["crowded_move"]),
            column("neutral_share", "Held by hedgers, at least", "share", values["neutral_share"]),
            column("unknown_share", "Owner unknown", "share", values["unknown_share"]),
            column("half_life", "Half-life, h", "number", values["half_life"]),
            column("gap", "Gap", "share", values["gap"]),
            column("closing_flow", "Flow that closes it", "usd", values["closing_flow"]),
            column("net_carry", "Net carry a year", "signed_share", values["net_carry"]),
            column("trade", "By being", "text", [_side_words(side) for side in values["trade_side"].tolist()]),
            column("exhaustion_1d", "Out of margin in 1d", "share", _at(found, "exhaustion", "1d")),
            column("exhaustion_7d", "in 7d", "share", _at(found, "exhaustion", "7d")),
        ),
        source_of(report, found, "spread"),
        n_shown=_N_SHOWN,
        tone_column="state",
    )


def _furthest(scores: np.ndarray) -> list[float]:
    """The score of each pair with the largest size, NaN without any."""
    size = np.where(np.isnan(scores), -1.0, np.abs(scores))
    return scores[np.arange(len(scores)), size.argmax(axis=1)].tolist()


def _models(report: ReportInput, found: xr.Dataset) -> Table:
    values = {str(name): np.asarray(found[name].values) for name in found.data_vars}
    correlations = []
    for regime in ("calm", "stressed", "crash"):
        correlations += [
            column(f"correlation_{regime}", f"With index, {regime}", "number", values[f"correlation_{regime}"]),
            column(f"correlation_{regime}_error", "error", "number", values[f"correlation_{regime}_error"]),
        ]
    horizons = found["horizon"].values.tolist()
    return Table(
        "spread_models",
        "How spreads move, beyond the straight line to an expiry: volatility by horizon, half-life with its 95% "
        "interval, correlation of hourly changes with the index's returns by its state, what is common to all bases",
        (
            column("pair", "First / second", "text", found["pair"].values),
            column(
                "estimator_used", "Estimator", "text", [str(one) or NOT_CHECKED for one in values["estimator_used"]]
            ),
            column("observations", "Hours", "count", values["observations"]),
            *(column(f"vol_{h}", f"Vol {h}", "share", _at(found, "spread_vol", h)) for h in horizons),
            column("half_life", "Half-life, h", "number", values["half_life"]),
            column("half_life_low", "from", "number", values["half_life_low"]),
            column("half_life_high", "to", "number", values["half_life_high"]),
            *correlations,
            column("common_share", "Share of the common factor", "share", values["common_share"]),
            column("mean_spread", "Mean spread", "signed_share", values["mean_spread"]),
            column("problems", "What failed", "text", values["problems"]),
        ),
        source_of(report, found, "spread_vol"),
        n_shown=_N_SHOWN,
    )


def _hedges(report: ReportInput, found: xr.Dataset) -> Table:
    values = {str(name): np.asarray(found[name].values) for name in found.data_vars}
    return Table(
        "spread_hedges",
        "First leg hedged by the second: the ratio with least variance, what it takes away and what is left, as shares "
        "of notional; and the carry of the better side, before and after costs",
        (
            column("pair", "First / second", "text", found["pair"].values),
            *(
                one
                for h in ("1h", "1d")
                for one in (
                    column(f"hedge_ratio_{h}", f"Ratio {h}", "number", _at(found, "hedge_ratio", h)),
                    column(f"effectiveness_{h}", f"Effective {h}", "share", _at(found, "hedge_effectiveness", h)),
                    column(f"deviation_{h}", f"Left {h}, sd", "share", _at(found, "hedge_deviation", h)),
                )
            ),
            column("loss_99_8h", "Loss 8h, 99%", "share", _at(found, "hedge_loss_99", "8h")),
            column("gross_carry", "Carry a year", "signed_share", values["gross_carry"]),
            column("carry_fees", "Fees a year", "share", values["carry_fees"]),
            column("net_carry", "Net", "signed_share", values["net_carry"]),
            column("break_even_days", "Days to break even", "number", values["break_even_days"]),
            column("open_interest", "Open interest", "usd", values["open_interest"]),
        ),
        source_of(report, found, "hedge_ratio"),
        n_shown=_N_SHOWN,
    )
