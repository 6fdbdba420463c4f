"""Every measure, what it reads, and one call that takes them all.

A new measure is one function and one row here; the variables it declares are checked before a night starts, not after
hours of computing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import xarray as xr

from riskpipe.errors import ConfigError
from riskpipe.measures import (
    accounts,
    adequacy,
    attribution,
    basis,
    bearers,
    concentration,
    contagion,
    exhaustion,
    flags,
    funds,
    holdings,
    lending,
    liquidation,
    losses,
    spreads,
    validation,
    variants,
    waterfall,
    worst,
)


@dataclass(frozen=True)
class Options:
    """How much of each list is kept."""

    n_worst: int = 20
    n_top: int = 10


@dataclass(frozen=True)
class Measure:
    """One measure: its name, what it is, the cube variables it reads, and the function cube -> Dataset."""

    name: str
    long_name: str
    requires: tuple[str, ...]
    function: Callable[[xr.DataTree, Options], xr.Dataset]


def _plain(function: Callable[[xr.DataTree], xr.Dataset]) -> Callable[[xr.DataTree, Options], xr.Dataset]:
    return lambda tree, _options: function(tree)


_EXPOSURE = (liquidation.LONG, liquidation.SHORT)
_FLAGS = (liquidation.PRICE_LIMITS, liquidation.MAX_ROUNDS)
_FUNDS = tuple(f"funds/{name}" for name in funds.STAGES)
_WORST = (*funds.UNCOVERED, liquidation.TOTAL, liquidation.FIRST, liquidation.ACCOUNTS, liquidation.ROUNDS)

MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "liquidation",
            "forced liquidation by scenario",
            (*_EXPOSURE, liquidation.TOTAL, liquidation.FIRST, liquidation.ACCOUNTS, liquidation.MARGIN_CALLS,
             liquidation.ROUNDS, *_FLAGS),
            _plain(liquidation.liquidation),
        ),
        Measure("ladder", "notional closed along the index axis", _EXPOSURE, _plain(liquidation.ladder)),
        Measure(
            "broken_hedges",
            "hedges broken by the closings",
            (liquidation.HEDGES, liquidation.TOTAL),
            _plain(liquidation.broken_hedges),
        ),
        Measure(
            "fund_losses",
            "losses of each fund by who paid",
            (*_FUNDS, funds.BALANCE, funds.ADL_NOTIONAL),
            _plain(funds.fund_losses),
        ),
        Measure("waterfalls", "who pays in the worst scenarios", waterfall.REQUIRES, _plain(waterfall.waterfalls)),
        Measure("exhaustion", "smallest index move that exhausts each fund", funds.UNCOVERED, _plain(funds.exhaustion)),
        Measure(
            "exhausting_moves",
            "smallest moves of the index and of single assets that exhaust each fund",
            exhaustion.KEYS,
            _plain(exhaustion.exhausting_moves),
        ),
        Measure("volatility", "what volatility alone does to each fund", funds.UNCOVERED, _plain(funds.volatility)),
        Measure(
            "worst_cells",
            "scenarios with the largest uncovered loss",
            (*_WORST, *_FLAGS),
            lambda tree, options: worst.worst_cells(tree, options.n_worst),
        ),
        Measure("cell_flags", "what to be careful about in each scenario", flags.REQUIRES, _plain(flags.cell_flags)),
        Measure(
            "worst_index_move",
            "worst cell along the index axis",
            (*_WORST, *_EXPOSURE, liquidation.PRICE_LIMITS),
            _plain(worst.worst_index_move),
        ),
        Measure(
            "worst_named",
            "worst named scenario",
            (*funds.UNCOVERED, liquidation.TOTAL, liquidation.PRICE_LIMITS),
            _plain(worst.worst_named),
        ),
        Measure(
            "loss_distribution",
            "distribution of losses over simulated scenarios",
            losses.REQUIRES,
            _plain(losses.loss_distribution),
        ),
        Measure(
            "cover",
            "funds against their largest owners",
            (adequacy.ENTITY, adequacy.ENTITY_SHORTFALL, funds.BALANCE),
            _plain(adequacy.cover),
        ),
        Measure(
            "fund_tail",
            "funds against expected shortfalls, and who bears them",
            (*_FUNDS, funds.BALANCE),
            _plain(adequacy.fund_tail),
        ),
        Measure(
            "exhaustion_by_depth",
            "smallest index move that exhausts each fund, by depth",
            funds.UNCOVERED,
            _plain(adequacy.exhaustion_by_depth),
        ),
        Measure(
            "adl_cost",
            "what auto-deleveraging takes",
            (adequacy.ADL_LOSS, funds.ADL_NOTIONAL, funds.SHORTFALL),
            _plain(adequacy.adl_cost),
        ),
        Measure(
            "adl_bearers", "who bears what auto-deleveraging takes", bearers.KEYS, _plain(bearers.adl_bearers)
        ),
        Measure(
            "conditional_losses",
            "losses given that another party is in distress",
            contagion.CONDITIONAL,
            _plain(contagion.conditional_losses),
        ),
        Measure(
            "amplification",
            "what cascades add to the first round",
            (liquidation.TOTAL, liquidation.FIRST),
            _plain(contagion.amplification),
        ),
        Measure(
            "venue_overlap",
            "books that venues close together, and owners they share",
            (*_EXPOSURE, liquidation.TOTAL, contagion.DEPTH, contagion.SHARED),
            _plain(contagion.venue_overlap),
        ),
        Measure(
            "owner_overlap",
            "books of the owners nearest to liquidation",
            (contagion.POSITION, contagion.DEPTH),
            _plain(contagion.owner_overlap),
        ),
        Measure(
            "owners",
            "largest owners of the book",
            holdings.OWNERS,
            _plain(holdings.owners),
        ),
        Measure("positions", "largest positions by instrument", holdings.POSITIONS, _plain(holdings.positions)),
        Measure(
            "liquidation_map", "positions by liquidation price", holdings.MAP, _plain(holdings.liquidation_map)
        ),
        Measure(
            "margin_calls",
            "accounts called along the index axis",
            (liquidation.MARGIN_CALLS, liquidation.ACCOUNTS),
            _plain(holdings.margin_calls),
        ),
        Measure(
            "collateral_ratios",
            "collateral ratios and their volatility",
            holdings.RATIOS,
            _plain(holdings.collateral_ratios),
        ),
        Measure(
            "neutral_books",
            "margin of delta-neutral books",
            (*holdings.NEUTRAL, contagion.SHARED),
            _plain(holdings.neutral_books),
        ),
        Measure(
            "attribution", "who adds to expected shortfall", attribution.KEYS, _plain(attribution.attribution)
        ),
        Measure(
            "headline_cells",
            "cells that set the headlines",
            (*variants.REQUIRES, liquidation.PRICE_LIMITS),
            _plain(variants.headline_cells),
        ),
        Measure("variants", "headlines of each variant", variants.REQUIRES, _plain(variants.by_variant)),
        Measure("ranges", "headlines as low, central and high", variants.REQUIRES, _plain(variants.ranges)),
        Measure(
            "exposure_concentration",
            "concentration of the notional closed",
            _EXPOSURE,
            _plain(concentration.exposure_concentration),
        ),
        Measure(
            "entity_concentration",
            "concentration of the shortfall by entity",
            (concentration.ENTITY, concentration.ENTITY_SHORTFALL, funds.SHORTFALL),
            _plain(concentration.entity_concentration),
        ),
        Measure(
            "shortfall_owners",
            "owners with the largest shortfalls",
            (concentration.ENTITY, concentration.ENTITY_SHORTFALL, funds.SHORTFALL),
            lambda tree, options: concentration.shortfall_owners(tree, options.n_top),
        ),
        Measure(
            "account_concentration",
            "largest accounts at the snapshot",
            (concentration.EQUITY, concentration.MAINTENANCE, concentration.WEIGHT, concentration.OWNER,
             concentration.VENUE),
            lambda tree, options: concentration.account_concentration(tree, options.n_top),
        ),
        Measure(
            "distances",
            "accounts by their distance to liquidation",
            (*accounts.KEYS.values(), accounts.EQUITY, accounts.MAINTENANCE, accounts.WEIGHT, accounts.VENUE),
            _plain(accounts.distances),
        ),
        Measure(
            "loans",
            "loans by venue, and their debt by the fall of all collateral",
            (lending.DEBT, lending.WEIGHT, lending.VENUE, lending.HEALTH, lending.TOXIC_FALL),
            _plain(lending.loans),
        ),
        Measure(
            "underwater", "underwater debt along the index axis", (lending.UNDERWATER,), _plain(lending.underwater)
        ),
        Measure(
            "basis_table",
            "basis statistics at as_of",
            (*(f"basis/{name}" for name in (*basis.SERIES, *basis.DIAGNOSTICS)), basis.FITTED, basis.USED,
             basis.REFUSED),
            _plain(basis.basis_table),
        ),
        Measure(
            "validation",
            "forecasts of basis volatility scored on what came",
            (*(f"validation/{name}" for name in (*validation.HOURS, *validation.SCORES, *validation.TAIL_SCORES)),
             basis.USED),
            _plain(validation.validation),
        ),
        Measure("spreads", "spreads between prices of one thing", spreads.KEYS, _plain(spreads.spreads)),
        Measure(
            "dislocation",
            "extremes of the mark's own impact",
            (basis.DISLOCATION, basis.BASIS),
            _plain(basis.dislocation),
        ),
        Measure(
            "stressed_basis_vol",
            "basis volatility after the scenarios",
            (basis.BASIS_VOL, basis.EXTRAPOLATED),
            _plain(basis.stressed_basis_vol),
        ),
    )
}  # fmt: skip


def check_requirements(available: Iterable[str], names: Iterable[str] = tuple(MEASURES)) -> None:
    """Check, before a night starts, that its cube will hold every variable the measures read.

    Parameters
    ----------
    available: keys of the variables the run will write, as `funds/shortfall`.
    names: measures wanted; all by default.

    Raises
    ------
    ConfigError: listing every measure that cannot be taken with what it lacks, and every unknown measure.
    """
    have, problems = set(available), []
    for name in names:
        if name not in MEASURES:
            problems.append(f"there is no measure {name!r}; known are {', '.join(MEASURES)}")
            continue
        missing = [key for key in dict.fromkeys(MEASURES[name].requires) if key not in have]
        if missing:
            problems.append(f"measure {name} needs {', '.join(missing)}, which this run's cube does not hold")
    if problems:
        raise ConfigError("measures cannot be taken:" + "".join(f"\n  - {problem}" for problem in problems))


def take_measures(
    tree: xr.DataTree, options: Options | None = None, names: Iterable[str] = tuple(MEASURES)
) -> dict[str, xr.Dataset]:
    """Take measures of a cube: name -> Dataset whose variables carry `units`, `long_name` and `sources`.

    Each Dataset carries the attributes `measure`, `long_name` and `requires`. Raises ConfigError for an unknown measure
    and ComputeError for a cube that lacks a variable or has holes.
    """
    wanted = tuple(names)
    check_requirements((key for measure in MEASURES.values() for key in measure.requires), wanted)
    taken = {}
    for name in wanted:
        measure = MEASURES[name]
        dataset = measure.function(tree, options or Options())
        about = {"measure": name, "long_name": measure.long_name, "requires": list(dict.fromkeys(measure.requires))}
        taken[name] = dataset.assign_attrs(about)
    return taken
