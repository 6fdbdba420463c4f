"""Wiring: from a run's configuration to the plain values that rooms take."""

from itertools import product

import numpy as np

from riskpipe.config import Preset, RunConfig
from riskpipe.domain.book import Book
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.rules import IndexImpact, Rules, VenueRules
from riskpipe.domain.scenarios import ScenarioSet, Variant
from riskpipe.errors import ConfigError
from riskpipe.scenarios.grid import scenario_set
from riskpipe.venues import VenueConfig, not_computed_yet


def rules_of(config: RunConfig, book: Book) -> tuple[Rules, Findings]:
    """Return the rules of every venue of the book, as in force at its instant; venues without configuration get the
    defaults, with a finding.

    Raises ConfigError naming every rule that no night computes yet.
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
    problems = [f"venues.{name}: {key}" for name, venue in chosen.items() for key in not_computed_yet(venue)]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"rules that are read but not computed yet:{listed}\nWrite the venue's rules without them")
    venues = tuple(_venue_rules(name, chosen[name]) for name in names)
    index = config.index_impact
    return Rules(venues, IndexImpact(index.law, index.price_floor, index.price_cap)), findings


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
        law=venue.impact.law,
        price_floor=venue.impact.price_floor,
        price_cap=venue.impact.price_cap,
        kappa=venue.impact.kappa,
        mark_response=venue.impact.mark_response,
        mark_band=venue.impact.mark_band,
        depth_coefficient=venue.impact.depth_coefficient,
        arbitrage_capacity_usd=venue.impact.arbitrage_capacity_usd,
        waterfall=venue.waterfall,
        adl_policy=venue.adl.policy,
        fund_haircut=venue.fund_haircut,
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
    """Return the flat scenario set: grid and presets, once for each variant."""
    presets = [preset for preset in config.scenarios.presets if isinstance(preset, Preset)]
    historical = [
        (
            scenario.name,
            {
                "index_shock": scenario.index_shock,
                "basis_shock": scenario.basis_shock,
                "vol_shock": scenario.vol_shock,
                "depth_factor": scenario.depth_factor,
            },
        )
        for preset in presets
        for scenario in preset.scenarios
    ]
    return scenario_set(config.scenarios.grid.model_dump(), historical, variants_of(config))


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
