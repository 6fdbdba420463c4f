"""Filtered historical simulation: joint moves of indices and bases, drawn from standardised hours of the past.

Each hour of a path takes one hour of the history, the same for every asset and instrument, so that what moved together
moves together; each series turns it into a move by its own volatility, which goes on along the path from where it
stands now (Barone-Adesi, Giannopoulos, Vosper, VaR without correlations for portfolios of derivative securities,
Journal of Futures Markets 19, 1999). Scenario number s has random numbers of its own, whatever else is drawn.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.domain.innovations import Innovations
from riskpipe.domain.scenarios import SIMULATED, ScenarioSet

CHUNK = 256  # scenarios computed side by side, always so many: which bits numpy gives may depend on where one stands


def drawn_hours(seed: int, scenario: int, n_hours: int, horizon: int) -> OffsetArray:
    """Return the hours of the history [horizon] that scenario number `scenario` of a seed is made of."""
    sequence = np.random.SeedSequence(seed, spawn_key=(scenario,))
    return np.random.Generator(np.random.Philox(sequence)).integers(0, n_hours, horizon)


def hourly_moves(innovations: Innovations, first: int, horizon: int, seed: int) -> Iterator[FloatArray]:
    """Give the moves [CHUNK, k] of the scenarios from number `first` on, hour by hour: log returns, basis changes."""
    given = innovations
    hours = np.stack([drawn_hours(seed, first + s, len(given.z), horizon) for s in range(CHUNK)])
    squares = np.minimum(given.z * given.z, given.cap * given.cap)
    mean_square = squares.mean(axis=0)
    news = squares / np.where(mean_square > 0.0, mean_square, 1.0)
    components = [np.tile(v, (CHUNK, 1)) for v in given.component.T]
    distances = [np.tile(d, (CHUNK, 1)) for d in given.distance.T]
    for hour in hours.T:
        h = np.zeros((CHUNK, len(given)))
        for weight, v in zip(given.weight.T, components, strict=True):
            h = h + weight * v
        deviation = np.sqrt(h)
        limit = np.where(np.isinf(given.pull_cap), np.inf, given.pull_cap * deviation)
        move = deviation * given.z[hour]
        for pull, distance in zip(given.pull.T, distances, strict=True):
            move = move - pull * np.clip(distance, -limit, limit)
        shock = h * news[hour]
        components = [d * v + (1.0 - d) * shock for d, v in zip(given.decay.T, components, strict=True)]
        distances = [d * (v + move) for d, v in zip(given.level_decay.T, distances, strict=True)]
        yield move


def simulated_moves(innovations: Innovations, n: int, horizon: int, seed: int) -> FloatArray:
    """Return the moves over the horizon [n, k]: relative moves of assets, changes of bases.

    Parameters
    ----------
    innovations: standardised hours and the state of every series.
    n: scenarios; the first of more scenarios are those of fewer.
    horizon: hours, at least 1.
    seed: of the whole set, >= 0.

    Raises ValueError where there is no hour to draw.
    """
    if len(innovations.z) == 0:
        raise ValueError("no hour of the history has an innovation of every series: there is nothing to draw from")
    moves = np.empty((n, len(innovations)))
    is_price = innovations.asset >= 0
    for first in range(0, n, CHUNK):
        total = np.zeros((CHUNK, len(innovations)))
        for move in hourly_moves(innovations, first, horizon, seed):
            total = total + move
        grown = np.where(is_price, np.expm1(np.where(is_price, total, 0.0)), total)
        moves[first : first + CHUNK] = grown[: n - first]
    return moves


def with_simulated(
    scenarios: ScenarioSet, innovations: Innovations, moves: FloatArray, index_beta: FloatArray, n_instruments: int
) -> ScenarioSet:
    """Return the set with the moves of its simulated scenarios, the same in every variant.

    Their index shock is the market's move over its beta, so that assets without a series, NaN among `asset_shock`, move
    by their own beta beside it; instruments without a series keep their basis.

    Parameters
    ----------
    moves: [n, k] as `simulated_moves` gives them, n the simulated scenarios of one variant.
    index_beta: [c] moves per unit of the index axis; that of the market's asset is not 0.
    """
    rows, row = scenarios.rows_of(SIMULATED)
    asset_shock = np.full((len(scenarios), len(index_beta)), np.nan)
    if scenarios.asset_shock is not None:
        asset_shock[:] = scenarios.asset_shock
    basis_shock = np.zeros((len(scenarios), n_instruments))
    if scenarios.instrument_basis_shock is not None:
        basis_shock += scenarios.instrument_basis_shock
    for k, (c, i) in enumerate(zip(innovations.asset.tolist(), innovations.instrument.tolist(), strict=True)):
        if c >= 0:
            asset_shock[rows, c] = moves[row, k]
        else:
            basis_shock[rows, i] = moves[row, k]
    market = innovations.market
    index_shock = scenarios.index_shock.copy()
    index_shock[rows] = moves[row, market] / index_beta[innovations.asset[market]]
    return replace(scenarios, index_shock=index_shock, asset_shock=asset_shock, instrument_basis_shock=basis_shock)
