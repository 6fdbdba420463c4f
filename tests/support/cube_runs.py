"""Small complete runs in a store: every group and variable, a handful of labels, random numbers."""

import itertools
from datetime import UTC, datetime

import numpy as np

from riskpipe.cube.blocks import digests_of, write_block, write_once
from riskpipe.cube.digest import sha256
from riskpipe.cube.layout import cube_prefix, inputs_key, part_key, plan_key
from riskpipe.cube.manifest import Wrote, write_manifest
from riskpipe.cube.marks import Mark, write_mark
from riskpipe.cube.parts import write_part
from riskpipe.cube.template import create_cube, cube_template
from riskpipe.domain.parts import AccountPart
from riskpipe.domain.scenarios import block_bounds
from riskpipe.domain.schema import N_RANKS, VARIABLES, block_variables

AS_OF = datetime(2024, 8, 5, tzinfo=UTC)
RUN_ID = "2024-08-05T000000Z-0123456789abcdef"
DIMENSIONS = {
    "venue": ["alpha", "bravo"],
    "underlying": ["BTC", "ETH", "naïve coin"],
    "fund": ["alpha", "bravo", "bravo alts"],
    "instrument": ["BTC-PERP", "ETH-PERP"],
    "horizon": ["1h", "8h", "1d", "7d"],
    "estimator": ["ewma", "realised"],
    "tail": ["lower 5%", "upper 5%"],
    "pair": ["BTC-PERP / index"],
    "mover": ["index"],
    "depth": ["1"],
    "account": [f"account {number}" for number in range(7)],
    "segment": ["retail", ""],
    "contributor": ["1", "2"],
    "set": ["grid", "historical"],
    "holding": ["open interest", "collateral"],
    "direction": ["down", "up"],
    "level": ["-1% to 0%", "passed", "0% to +1%"],
    "share": ["0.5"],
    "view": ["tail", "worst"],
    "other_venue": ["alpha", "bravo"],
}


def run_id_of(number: int) -> str:
    """Name of one run of many."""
    return f"2024-08-05T000000Z-{number:016x}"


def grid_coordinates(n_historical=3):
    """Scenario coordinates of a 3 x 2 x 1 x 2 grid in two variants, then some historical scenarios."""
    grid = np.array(
        list(itertools.product([0, 1], [-0.4, -0.2, 0.1], [0.0, -0.02], [0.5], [1.0, 0.1])), dtype=np.float64
    )
    history = np.tile([0.0, -0.33, 0.001, 0.7, 0.3], (n_historical, 1))
    variant, *axes = np.concatenate([grid, history]).T
    n_grid = len(grid)
    return {
        **dict(zip(("index_shock", "basis_shock", "vol_shock", "depth_factor"), axes, strict=True)),
        "haircut_shock": np.zeros(len(variant)),
        "probability": np.r_[np.full(n_grid, np.nan), np.full(n_historical, 1 / max(1, n_historical))],
        "name": np.array([""] * n_grid + [f"night {number}" for number in range(n_historical)], dtype=object),
        "variant": np.array(["gap_share=1", "gap_share=0"], dtype=object)[variant.astype(int)],
        "set": np.array(["grid"] * n_grid + ["historical"] * n_historical, dtype=object),
    }


def small_template(block_size=5, run_id=RUN_ID, **attributes):
    return cube_template(
        dimensions=DIMENSIONS,
        scenario_coordinates=grid_coordinates(),
        attributes={
            "run_id": run_id,
            "as_of": "2024-08-05T00:00:00Z",
            "config": '{"book": ""}',
            "inputs": {"snapshot/accounts.parquet": "ab"},
            "versions": {"riskpipe": "0.1.0"},
            **attributes,
        },
        block_size=block_size,
    )


def block_arrays(start, stop, seed=0):
    """Numbers that depend on the scenario alone, with NaN and negative zero among them."""
    sizes = {"rank": 10, **{name: len(labels) for name, labels in DIMENSIONS.items()}}
    arrays = {}
    for number, variable in enumerate(block_variables()):
        shape = tuple(sizes[name] for name in variable.dims[1:])
        rows = [np.random.default_rng([seed, number, scenario]).normal(size=shape) for scenario in range(start, stop)]
        array = np.stack(rows)
        array[array > 1.5] = np.nan
        array[(array > 1.0) & (array <= 1.5)] = -0.0
        arrays[variable.key] = array
    arrays["funds/socialised_loss"][:] = np.nan
    return arrays


def once_arrays():
    sizes = {name: len(labels) for name, labels in DIMENSIONS.items()} | {"rank": N_RANKS}
    arrays = {}
    for key, variable in VARIABLES.items():
        if not variable.per_block:
            shape = tuple(sizes[name] for name in variable.dims)
            arrays[key] = (
                np.array([f"{variable.name} {at}" for at in range(np.prod(shape))], dtype=object).reshape(shape)
                if variable.dtype == "string"
                else np.random.default_rng(len(key)).normal(size=shape)
            )
    return arrays


def account_part(block):
    """Accounts hit in a block: none in the first."""
    hit = np.arange(0, 7, 2, dtype=np.int64) if block else np.zeros(0, np.int64)
    return AccountPart(hit, hit % 2, np.full(len(hit), block, np.int64), hit * 10.0 / (block + 1))


def compute_block(store, run_id, block, start, stop, seed=0, fingerprint="f" * 16):
    digest = write_block(store, cube_prefix(run_id), start, stop, block_arrays(start, stop, seed))
    part = write_part(store, part_key(run_id, block), account_part(block))
    write_mark(store, run_id, Mark(block, start, stop, digest, part, fingerprint))


def computed_run(store, run_id=RUN_ID, block_size=5, seed=0):
    """Write all of a run but its manifest; return its blocks' bounds."""
    template = small_template(block_size, run_id)
    store.create(plan_key(run_id), b"{}")
    store.write(inputs_key(run_id, "market"), b"prices")
    create_cube(store, cube_prefix(run_id), template)
    bounds = block_bounds(27, block_size)
    for block, (start, stop) in enumerate(bounds):
        compute_block(store, run_id, block, start, stop, seed)
    write_once(store, cube_prefix(run_id), once_arrays())
    return bounds


def wrote(run_id=RUN_ID, block_size=5):
    """What the stages of a run promise of what `computed_run` writes."""
    return Wrote(sha256(b"{}"), small_template(block_size, run_id).digest, digests_of(once_arrays()))


def finished_run(store, run_id=RUN_ID, block_size=5, seed=0, as_of=AS_OF):
    """Write a complete run and return its manifest's hash."""
    bounds = computed_run(store, run_id, block_size, seed)
    about = {"findings_sha256": "00"}
    return write_manifest(store, run_id, as_of=as_of, bounds=bounds, wrote=wrote(run_id, block_size), about=about)
