"""Distributions of losses over the simulated set, whose scenarios have probabilities: system, venues and funds."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from riskpipe.domain.scenarios import SIMULATED
from riskpipe.measures.cells import BoolArray, Cells, FloatArray, IntArray, cells_of, labels, quantity, read
from riskpipe.measures.distribution import (
    CONFIDENCE,
    quantile,
    quantile_interval,
    require_probabilities,
    tail_mean,
    tail_mean_interval,
)
from riskpipe.measures.funds import SHORTFALL, UNCOVERED, uncovered_loss
from riskpipe.measures.liquidation import LONG, SHORT, TOTAL

LEVELS = (0.95, 0.99)
HEADLINES = ("uncovered_loss", "shortfall", "liquidated_notional")
SYSTEM, BY_VENUE, BY_FUND = "system", "venue", "fund"
FUND_VENUE = "book/fund_venue"
REQUIRES = (*UNCOVERED, TOTAL, LONG, SHORT, FUND_VENUE)


@dataclass(frozen=True)
class Series:
    """What is lost in every scenario, by whom."""

    scope: str  # system, venue or fund
    place: str  # its label; "" of the system
    headline: str
    values: FloatArray  # [scenario] USD >= 0


def simulated_rows(cells: Cells, variant: str) -> IntArray:
    """Rows of a variant's simulated scenarios."""
    is_one: BoolArray = np.asarray((cells.set == SIMULATED) & (cells.variant == variant), np.bool_)
    return np.flatnonzero(is_one)


def venue_shortfall(tree: xr.DataTree, by_fund: FloatArray) -> FloatArray:
    """Add what falls to funds [scenario, fund] up by venue, [scenario, venue], in the order of /exposure."""
    of_fund = read(tree, FUND_VENUE).astype(object)
    return np.stack([by_fund[:, of_fund == venue].sum(axis=1) for venue in labels(tree, "exposure", "venue")], axis=1)


def loss_series(tree: xr.DataTree) -> list[Series]:
    """Losses by scenario: the three headlines of the system first, then those of venues, then of funds.

    Of funds there is no notional closed: positions fall to a venue, their losses to a fund.
    """
    lost, short = uncovered_loss(tree), read(tree, SHORTFALL)
    closed = (read(tree, LONG) + read(tree, SHORT)).sum(axis=2)
    found = [
        Series(SYSTEM, "", name, values)
        for name, values in zip(HEADLINES, (lost.sum(axis=1), short.sum(axis=1), read(tree, TOTAL)), strict=True)
    ]
    by_venue = (venue_shortfall(tree, lost), venue_shortfall(tree, short), closed)
    for v, venue in enumerate(labels(tree, "exposure", "venue")):
        found += [Series(BY_VENUE, venue, name, values[:, v]) for name, values in zip(HEADLINES, by_venue, strict=True)]
    for f, fund in enumerate(labels(tree, "funds", "fund")):
        found += [
            Series(BY_FUND, fund, name, values[:, f]) for name, values in zip(HEADLINES, (lost, short), strict=False)
        ]
    return found


def loss_distribution(tree: xr.DataTree) -> xr.Dataset:
    """Distribution of losses over the simulated scenarios, by variant: of the system, every venue, every fund.

    Returns dims (variant, series), USD: `chance` that it is above 0, `mean`, `largest`; and by level (variant, series,
    level): `value_at_risk`, `expected_shortfall` and their intervals `..._low`, `..._high` (see
    `measures.distribution`; of losses that cannot be below 0, neither is an end). Coordinates of series: `scope`,
    `place`, `headline` (shortfall; uncovered loss, what funds do not cover; notional closed: liquidation at risk). The
    first three are the system's. NaN, and attribute `n_scenarios` 0, where the cube has no simulated set; else it
    counts those of one variant. Attribute `confidence` is that of intervals.

    Raises ValueError where simulated scenarios have no probabilities.
    """
    cells = cells_of(tree)
    series = loss_series(tree)
    shape = (len(cells.variants), len(series))
    flat = {name: np.full(shape, np.nan) for name in ("chance", "mean", "largest")}
    names = tuple(f"{name}{end}" for name in ("value_at_risk", "expected_shortfall") for end in ("", "_low", "_high"))
    deep = {name: np.full((*shape, len(LEVELS)), np.nan) for name in names}
    n_scenarios = 0
    for v, variant in enumerate(cells.variants):
        rows = simulated_rows(cells, variant)
        if len(rows) == 0:
            continue
        n_scenarios, weights = len(rows), require_probabilities(cells.probability[rows])
        for k, one in enumerate(series):
            losses = one.values[rows]
            flat["chance"][v, k] = (weights * (losses > 0.0)).sum() / weights.sum()  # exactly 1 where all are
            flat["mean"][v, k], flat["largest"][v, k] = (weights * losses).sum(), losses.max()
            order = np.argsort(losses, kind="stable")  # once: what is sorted is sorted again in no time
            for at, level in enumerate(LEVELS):
                for name, value in zip(names, _at_level(losses[order], weights[order], level), strict=True):
                    deep[name][v, k, at] = value
    sources = (*UNCOVERED, TOTAL, LONG, SHORT, FUND_VENUE)
    units = {"chance": "share"}
    data = {
        name: quantity(("variant", "series"), values, units.get(name, "USD"), name, *sources)
        for name, values in flat.items()
    }
    data |= {
        name: quantity(("variant", "series", "level"), values, "USD", name.replace("_", " "), *sources)
        for name, values in deep.items()
    }
    about = {name: ("series", np.array([getattr(one, name) for one in series], object))
             for name in ("scope", "place", "headline")}  # fmt: skip
    coords = {"variant": cells.variants, "series": np.arange(len(series)), "level": list(LEVELS), **about}
    return xr.Dataset(data, coords=coords, attrs={"n_scenarios": n_scenarios, "confidence": CONFIDENCE})


def _at_level(losses: FloatArray, weights: FloatArray, level: float) -> tuple[float, ...]:
    """Value at risk and expected shortfall of losses >= 0, each with its interval."""
    low, high = quantile_interval(losses, weights, level)
    tail_low, tail_high = tail_mean_interval(losses, weights, level)
    at, mean = quantile(losses, weights, level), tail_mean(losses, weights, level)
    return at, max(low, 0.0), high, mean, max(tail_low, at) if tail_low == tail_low else np.nan, tail_high  # noqa: PLR0124
