"""Inputs of blocks in the run directory: small arrays as .npz files, never pickled."""

import io
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from riskpipe.cube.layout import run_prefix
from riskpipe.cube.store import Store
from riskpipe.domain.market import Market
from riskpipe.domain.rules import ContractRules, IndexImpact, LendingRules, Rules, VenueRules
from riskpipe.domain.scenarios import ScenarioSet, Variant


def market_key(run_id: str) -> str:
    """Key of a run's calibrated market."""
    return f"{run_prefix(run_id)}/inputs/market.npz"


def scenarios_key(run_id: str) -> str:
    """Key of a run's scenarios."""
    return f"{run_prefix(run_id)}/inputs/scenarios.npz"


def _pack(value: Any) -> bytes:  # noqa: ANN401  a dataclass of arrays and numbers
    buffer = io.BytesIO()
    arrays = {
        spec.name: item for spec in fields(value) if isinstance(item := getattr(value, spec.name), np.ndarray | float)
    }
    np.savez(buffer, **arrays, allow_pickle=False)
    return buffer.getvalue()


def _unpack(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def write_market(store: Store, run_id: str, market: Market) -> None:
    """Keep a run's market."""
    store.write(market_key(run_id), _pack(market))


def read_market(store: Store, run_id: str) -> Market:
    """Read a run's market."""
    arrays = _unpack(store.read(market_key(run_id)))
    decay = float(arrays.pop("ewma_decay"))
    return Market(**arrays, ewma_decay=decay)


def write_scenarios(store: Store, run_id: str, scenarios: ScenarioSet) -> None:
    """Keep a run's scenarios; variants and the names of sets and basis axes are in the plan."""
    store.write(scenarios_key(run_id), _pack(scenarios))


def read_scenarios(store: Store, run_id: str, plan: dict[str, Any]) -> ScenarioSet:
    """Read a run's scenarios."""
    variants = tuple(Variant(**variant) for variant in plan["variants"])
    return ScenarioSet(
        **_unpack(store.read(scenarios_key(run_id))),
        variants=variants,
        sets=tuple(plan["sets"]),
        basis_axes=tuple(plan["basis_axes"]),
    )


def rules_as_json(rules: Rules) -> dict[str, Any]:
    """Plain values of the rules, for the plan."""
    return asdict(rules)


def rules_from_json(data: dict[str, Any]) -> Rules:
    """Read back what `rules_as_json` wrote."""
    venues = tuple(
        VenueRules(
            **{
                **venue,
                "waterfall": tuple(venue["waterfall"]),
                "collateral_sale": None if venue["collateral_sale"] is None else tuple(venue["collateral_sale"]),
                "lending": LendingRules(**venue["lending"]),
            }
        )
        for venue in data["venues"]
    )
    contracts = {name: ContractRules(**rules) for name, rules in data["contracts"].items()}
    return Rules(venues, IndexImpact(**data["index_impact"]), contracts)
