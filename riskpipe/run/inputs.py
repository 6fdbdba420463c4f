"""Inputs of blocks in the run directory: small arrays as .npz files, never pickled."""

import io
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from riskpipe.cube.layout import MARKET, SCENARIOS, inputs_key
from riskpipe.cube.store import Store
from riskpipe.domain.market import Market
from riskpipe.domain.rules import ContractRules, IndexImpact, LendingRules, Rules, VenueRules
from riskpipe.domain.scenarios import ScenarioSet, Variant


def write_arrays(store: Store, run_id: str, name: str, arrays: Mapping[str, np.ndarray | float]) -> None:
    """Keep named arrays of a run."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, allow_pickle=False)
    store.write(inputs_key(run_id, name), buffer.getvalue())


def read_arrays(store: Store, run_id: str, name: str) -> dict[str, np.ndarray]:
    """Read what `write_arrays` kept."""
    with np.load(io.BytesIO(store.read(inputs_key(run_id, name))), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def arrays_of(value: Any) -> dict[str, np.ndarray | float]:  # noqa: ANN401  any dataclass
    """Return the arrays and numbers of a dataclass by name; what else it holds is left out."""
    return {
        spec.name: item for spec in fields(value) if isinstance(item := getattr(value, spec.name), np.ndarray | float)
    }


def write_market(store: Store, run_id: str, market: Market) -> None:
    """Keep a run's market."""
    write_arrays(store, run_id, MARKET, arrays_of(market))


def read_market(store: Store, run_id: str) -> Market:
    """Read a run's market."""
    arrays = read_arrays(store, run_id, MARKET)
    decay = float(arrays.pop("ewma_decay"))
    return Market(**arrays, ewma_decay=decay)


def write_scenarios(store: Store, run_id: str, scenarios: ScenarioSet) -> None:
    """Keep a run's scenarios; variants and the names of sets and own axes are in the plan."""
    write_arrays(store, run_id, SCENARIOS, arrays_of(scenarios))


def read_scenarios(store: Store, run_id: str, plan: dict[str, Any]) -> ScenarioSet:
    """Read a run's scenarios."""
    variants = tuple(Variant(**variant) for variant in plan["variants"])
    return ScenarioSet(
        **read_arrays(store, run_id, SCENARIOS),
        variants=variants,
        sets=tuple(plan["sets"]),
        own_axes=tuple(plan["own_axes"]),
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
