"""Distributions of losses over the simulated set, whose scenarios have probabilities."""

import numpy as np
import xarray as xr

from riskpipe.domain.scenarios import SIMULATED
from riskpipe.measures.cells import cells_of, quantity, read
from riskpipe.measures.distribution import quantile, require_probabilities, tail_mean
from riskpipe.measures.funds import SHORTFALL, UNCOVERED, uncovered_loss
from riskpipe.measures.liquidation import TOTAL

LEVELS = (0.95, 0.99)


def simulated(tree: xr.DataTree) -> xr.Dataset:
    """Distribution of each headline over the simulated scenarios, by variant.

    Returns dims (variant, headline), of `uncovered_loss`, `shortfall` and `liquidated_notional` in USD: `chance` that
    it is above 0, `mean`, `largest`; and by level (variant, headline, level): `quantile`, and `tail_mean`, the mean of
    what is beyond. NaN, and attribute `n_scenarios` 0, where the cube has no simulated set; else it counts those of one
    variant.
    """
    cells = cells_of(tree)
    series = {
        "uncovered_loss": uncovered_loss(tree).sum(axis=1),
        "shortfall": read(tree, SHORTFALL).sum(axis=1),
        "liquidated_notional": read(tree, TOTAL),
    }
    is_simulated = np.asarray(cells.set == SIMULATED, np.bool_)
    shape = (len(cells.variants), len(series))
    chance, mean, largest = (np.full(shape, np.nan) for _ in range(3))
    quantiles, tails = (np.full((*shape, len(LEVELS)), np.nan) for _ in range(2))
    n_scenarios = 0
    for v, variant in enumerate(cells.variants):
        rows = np.flatnonzero(is_simulated & (cells.variant == variant))
        if len(rows) == 0:
            continue
        n_scenarios, probability = len(rows), cells.probability[rows]
        weights = require_probabilities(probability)
        for h, values in enumerate(series.values()):
            losses = values[rows]
            chance[v, h] = (weights * (losses > 0.0)).sum() / weights.sum()  # exactly 1 where all are
            mean[v, h], largest[v, h] = (weights * losses).sum(), losses.max()
            quantiles[v, h] = [quantile(losses, probability, level) for level in LEVELS]
            tails[v, h] = [tail_mean(losses, probability, level) for level in LEVELS]
    flat, deep = ("variant", "headline"), ("variant", "headline", "level")
    sources = (*UNCOVERED, TOTAL)
    data = {
        "chance": quantity(flat, chance, "share", "probability of more than nothing", *sources),
        "mean": quantity(flat, mean, "USD", "mean", *sources),
        "largest": quantity(flat, largest, "USD", "largest", *sources),
        "quantile": quantity(deep, quantiles, "USD", "quantile", *sources),
        "tail_mean": quantity(deep, tails, "USD", "mean beyond the quantile", *sources),
    }
    coords = {"variant": cells.variants, "headline": list(series), "level": list(LEVELS)}
    return xr.Dataset(data, coords=coords, attrs={"n_scenarios": n_scenarios})
