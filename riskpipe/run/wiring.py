"""Wiring: from a run's configuration to the plain values that rooms take."""

from collections.abc import Mapping
from datetime import datetime
from itertools import product

import numpy as np

from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.innovations import innovations
from riskpipe.config import AssetAxisConfig, BasisAxisConfig, Preset, RunConfig
from riskpipe.domain.book import Book, InstrumentKind
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.market import HORIZON_LABELS, Market
from riskpipe.domain.rules import ContractRules, IndexImpact, LendingRules, Rules, VenueRules
from riskpipe.domain.scenarios import ASSET_AXIS, AXES, BASIS_AXIS, ScenarioSet, Variant
from riskpipe.errors import ConfigError
from riskpipe.ingest.venue_tables import ContractTiers, VenueTables
from riskpipe.margin.scan_parameters import scan_model
from riskpipe.scenarios.grid import scenario_set
from riskpipe.scenarios.own_axes import with_asset_axes, with_basis_axes
from riskpipe.scenarios.simulated import simulated_moves, with_simulated
from riskpipe.strict_yaml import nearest
from riskpipe.venues import ContractMargin, VenueConfig, approximations, not_computed


def rules_of(config: RunConfig, book: Book) -> tuple[Rules, Findings]:
    """Return the rules of every venue of the book, as in force at its instant; venues without configuration get the
    defaults, with a finding.

    Raises ConfigError naming every rule that cannot be computed.
    """  # noqa: D205
    findings = Findings()
    names, configured = book.names("venue"), config.venues_at(book.as_of)
    defaulted = [name for name in names if name not in config.venues]
    if defaulted:
        findings.add(
            Severity.INFO,
            Reason.DEFAULT_VENUE,
            "venues",
            "venues without configuration follow the default rules",
            count=len(defaulted),
            examples=defaulted,
        )
    unused = [name for name in config.venues if name not in names]
    if unused:
        findings.add(
            Severity.WARNING,
            Reason.UNUSED_VENUE,
            "venues",
            "configured venues are not in the snapshot: is a name mistyped?",
            count=len(unused),
            examples=unused,
        )
    chosen = {name: configured.get(name, VenueConfig()) for name in names}
    contracts, problems = _contracts_of(chosen, book)
    _refuse(problems + _portfolio_problems(chosen))
    for name, venue in chosen.items():
        for key in not_computed(venue):
            findings.add(Severity.WARNING, Reason.APPROXIMATED, f"venues.{name}", f"not computed: {key}")
    for name in names:
        rules = approximations(config.venues.get(name))
        if rules:
            findings.add(
                Severity.INFO,
                Reason.APPROXIMATED,
                f"venues.{name}",
                "rules that are computed otherwise than the venue has them",
                count=len(rules),
                examples=(f"{item.rule}: {item.instead} ({item.effect})" for item in rules),
            )
    venues = tuple(_venue_rules(name, chosen[name]) for name in names)
    index = config.index_impact
    return Rules(venues, IndexImpact(index.law, index.price_floor, index.price_cap), contracts), findings


def tables_of(config: RunConfig, as_of: datetime) -> dict[str, VenueTables]:
    """Return what venues' own rules, as in force at an instant, bring for snapshots that lack it.

    Raises ConfigError naming every venue whose rules of portfolio margin cannot be computed.
    """
    venues = config.venues_at(as_of)
    _refuse(_portfolio_problems(venues))
    return {
        name: VenueTables(
            linear=_tiers_of(venue.margin.of(is_inverse=False)),
            inverse=_tiers_of(venue.margin.of(is_inverse=True)),
            collateral=venue.collateral,
            loans=_loan_terms(venue),
            portfolio=frozenset(venue.margin.portfolio),
        )
        for name, venue in venues.items()
    }


def _refuse(problems: list[str]) -> None:
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"venues have rules that cannot be computed:{listed}\nCorrect them, or leave them out")


def _portfolio_problems(venues: Mapping[str, VenueConfig]) -> list[str]:
    """Return what is wrong with venues' parameters of portfolio margin."""
    problems = []
    for name, venue in venues.items():
        for unit, parameters in venue.margin.portfolio.items():
            try:
                scan_model(parameters.parameters())
            except ConfigError as error:
                problems.append(f"venues.{name}.margin.portfolio.{unit}: {error}")
    return problems


def _loan_terms(venue: VenueConfig) -> dict[str, tuple[float, float]]:
    """Return liquidation threshold and bonus by asset."""
    lending = venue.lending
    if lending is None:
        return {}
    return {name: (terms.liquidation_threshold, lending.bonus_of(terms)) for name, terms in lending.assets.items()}


def _lending_rules(venue: VenueConfig) -> LendingRules:
    """Return how loans are liquidated; the protocol's share of the bonus is the largest of any asset."""
    lending = venue.lending
    if lending is None:
        return LendingRules()
    factor = lending.close_factor
    return LendingRules(
        close_factor=factor.share,
        full_health=factor.full_health,
        full_below_usd=factor.full_below_usd,
        minimum_leftover_usd=factor.minimum_leftover_usd,
        protocol_fee=max((terms.protocol_fee for terms in lending.assets.values()), default=0.0),
        liquidation_cost_usd=lending.liquidation_cost_usd,
    )


def _tiers_of(margin: ContractMargin) -> ContractTiers:
    """Return a contract's tiers; rates that grow with size are one tier, to which the slope is added."""
    if margin.model == "size_slope":
        rates = {name: ((0.0, row.initial_rate, row.maintenance_rate, None),) for name, row in margin.slopes.items()}
        return ContractTiers(rates, is_final=True)
    rows = {
        name: tuple((row[0], row[1], row[2], row[3] if len(row) > 3 else None) for row in tiers)
        for name, tiers in margin.tiers.items()
    }
    return ContractTiers(rows)


def _contracts_of(venues: dict[str, VenueConfig], book: Book) -> tuple[dict[str, ContractRules], list[str]]:
    """Return how every contract's margin follows from its tiers, defaults left out, and what is wrong with it."""
    contracts, problems = {}, []
    venue_names, assets = book.names("venue"), book.names("asset")
    is_option = book.is_option
    for i, instrument in enumerate(book.names("instrument")):
        if is_option[i]:
            continue  # margined by portfolio rules only
        venue, is_inverse = venue_names[book.instrument_venue[i]], bool(book.instrument_is_inverse[i])
        margin = venues[venue].margin.of(is_inverse=is_inverse)
        slope = margin.slope_of(instrument, assets[book.instrument_underlying[i]])
        if margin.model == "size_slope" and slope is None:
            problems.append(f"venues.{venue}: margin.slopes has no row for {instrument}, and none for '*'")
        if is_inverse and margin.valued_at == "entry" and margin.unit == "usd" and margin.model == "tiered":
            problems.append(f"venues.{venue}: inverse contracts valued at entry, such as {instrument}, need unit: coin")
        rules = ContractRules(
            unit="coin" if is_inverse and margin.model == "size_slope" else margin.unit,
            valued_at=margin.valued_at,
            fee_rate=margin.fee_rate,
            initial_slope=0.0 if slope is None else slope.initial_slope,
            maintenance_slope=0.0 if slope is None else slope.maintenance_slope,
        )
        if rules != ContractRules():
            contracts[instrument] = rules
    return contracts, problems


def default_rules(book: Book) -> Rules:
    """Return the default rules for every venue of a book."""
    return Rules(tuple(VenueRules(venue=name) for name in book.names("venue")))


def _venue_rules(name: str, venue: VenueConfig) -> VenueRules:
    return VenueRules(
        venue=name,
        policy=venue.liquidation.policy,
        fee_rate=venue.liquidation.fee_rate,
        close_out_alpha=venue.liquidation.close_out_alpha,
        gap_share=venue.liquidation.gap_share,
        max_rounds=venue.liquidation.max_rounds,
        collateral_sale=venue.liquidation.collateral_sale,
        law=venue.impact.law,
        price_floor=venue.impact.price_floor,
        price_cap=venue.impact.price_cap,
        kappa=venue.impact.kappa,
        mark_response=venue.impact.mark_response,
        option_mark_response=venue.impact.option_mark_response,
        mark_band=venue.impact.mark_band,
        depth_coefficient=venue.impact.depth_coefficient,
        arbitrage_capacity_usd=venue.impact.arbitrage_capacity_usd,
        waterfall=venue.waterfall,
        adl_policy=venue.adl.policy,
        fund_haircut=venue.fund_haircut,
        lending=_lending_rules(venue),
        portfolio={unit: parameters.parameters() for unit, parameters in venue.margin.portfolio.items()},
    )


def variants_of(config: RunConfig) -> tuple[Variant, ...]:
    """Return the product of the variants' lists, the combination of first values (central) first."""
    given = config.variants
    return tuple(
        Variant(gap_share, law, kappa, policy)
        for gap_share, law, kappa, policy in product(
            given.gap_share or (None,), given.law or (None,), given.kappa or (None,), given.adl_policy or (None,)
        )
    )


def scenarios_of(config: RunConfig) -> ScenarioSet:
    """Return the flat scenario set: grid, presets and simulated scenarios, once for each variant.

    What moves single assets and instruments comes with the calibrated market: see `with_moves`.
    """
    presets = [preset for preset in config.scenarios.presets if isinstance(preset, Preset)]
    historical = [
        (scenario.name, {axis: getattr(scenario, axis) for axis in AXES})
        for preset in presets
        for scenario in preset.scenarios
    ]
    simulated = config.scenarios.simulated
    return scenario_set(
        config.scenarios.grid.model_dump(),
        historical,
        variants_of(config),
        own_axes={
            **{f"{ASSET_AXIS}{name}": axis.moves for name, axis in config.scenarios.asset_axes.items()},
            **{f"{BASIS_AXIS}{name}": axis.multiples for name, axis in config.scenarios.basis_axes.items()},
        },
        n_simulated=0 if simulated is None else simulated.n,
    )


def with_moves(
    config: RunConfig, scenarios: ScenarioSet, book: Book, market: Market, history: HistoryRows | None
) -> tuple[ScenarioSet, Findings]:
    """Return the set with the moves of its own axes and simulated scenarios, and what could not be moved.

    Raises ConfigError for axes of venues or assets that the book does not have, InputRefused where the history is too
    short to simulate from.
    """
    findings = Findings()
    if config.scenarios.asset_axes:
        scenarios = _on_asset_axes(config.scenarios.asset_axes, scenarios, book, market)
    if config.scenarios.basis_axes:
        scenarios = _on_basis_axes(config.scenarios.basis_axes, scenarios, book, market, findings)
    simulated = config.scenarios.simulated
    if simulated is not None and history is not None:
        given, found = innovations(book, market.index_beta, history)
        findings.extend(found)
        moves = simulated_moves(given, simulated.n, simulated.hours, simulated.seed)
        scenarios = with_simulated(scenarios, given, moves, market.index_beta, book.n_instruments)
    return scenarios, findings


def _on_asset_axes(
    axes: Mapping[str, AssetAxisConfig], scenarios: ScenarioSet, book: Book, market: Market
) -> ScenarioSet:
    names = book.names("asset")
    unknown = [
        f"scenarios.asset_axes.{axis}: asset {asset!r} is not in the book{nearest(asset, names)}"
        for axis, one in axes.items()
        for asset in one.assets
        if asset not in names
    ]
    _refuse(unknown)
    is_moved = {axis: np.isin(np.array(names, dtype=object), one.assets) for axis, one in axes.items()}
    return with_asset_axes(scenarios, is_moved, market.index_beta)


def _on_basis_axes(
    axes: Mapping[str, BasisAxisConfig], scenarios: ScenarioSet, book: Book, market: Market, findings: Findings
) -> ScenarioSet:
    names, venues = book.names("instrument"), np.array(book.names("venue"), dtype=object)
    kinds = np.array([kind.name.lower() for kind in InstrumentKind], dtype=object)
    unknown = [
        f"scenarios.basis_axes.{axis}: venue {venue!r} is not in the book, which has {', '.join(venues)}"
        for axis, one in axes.items()
        for venue in one.venues
        if venue not in venues
    ]
    _refuse(unknown)
    day = HORIZON_LABELS.index("1d")
    fitted, realised = market.basis_vol[:, day], market.basis_realised_vol[:, day]
    volatility = np.where(np.isnan(fitted), realised, fitted)
    of_venue, of_kind = venues[book.instrument_venue], kinds[book.instrument_kind]
    is_moved = {
        axis: ~book.is_option
        & (np.isin(of_venue, one.venues) | (not one.venues))
        & (np.isin(of_kind, one.kinds) | (not one.kinds))
        for axis, one in axes.items()
    }
    for axis, is_meant in is_moved.items():
        without = np.flatnonzero(is_meant & np.isnan(volatility)).tolist()
        if without or not is_meant.any():
            findings.add(
                Severity.WARNING,
                Reason.NOT_MOVED,
                f"scenarios.basis_axes.{axis}",
                "contracts whose basis volatility over a day is not measured are not moved by this axis"
                if without
                else "no contract of the book is of these venues and kinds: the axis moves nothing",
                count=max(len(without), 1),
                examples=[names[i] for i in without],
            )
    days = np.where(book.instrument_expiry_us < 0, np.nan, 365.0 * book.years_to_expiry)
    return with_basis_axes(scenarios, is_moved, volatility, days)


def stress_findings(scenarios: ScenarioSet) -> Findings:
    """Warn where no scenario moves an index or a basis: a night that stresses nothing looks like a quiet one."""
    findings = Findings()
    if not (np.any(scenarios.index_shock) or np.any(scenarios.basis_shock)):
        findings.add(
            Severity.WARNING,
            Reason.NO_STRESS,
            "scenarios",
            "no scenario moves an index or a basis, so nothing is stressed: set scenarios.grid or scenarios.presets",
            count=len(scenarios),
        )
    return findings


def index_axis(scenarios: ScenarioSet) -> tuple[float, float]:
    """Return the lowest and the highest index shock, 0 included: how far distances to liquidation are looked for."""
    return float(np.min(scenarios.index_shock, initial=0.0)), float(np.max(scenarios.index_shock, initial=0.0))
