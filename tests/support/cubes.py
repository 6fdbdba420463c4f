"""Cubes in memory, from the real kernel or by hand, with every group and variable of the schema."""

import numpy as np
import xarray as xr

from riskpipe.domain.bearers import VIEWS
from riskpipe.domain.holdings import HOLDINGS, LEVELS, RATIO_SHARES
from riskpipe.domain.market import ESTIMATORS, HORIZON_LABELS, TAILS
from riskpipe.domain.scenarios import DIRECTIONS
from riskpipe.domain.schema import GROUPS, N_CONTRIBUTORS, N_RANKS, VARIABLES
from riskpipe.liquidation.accounts import account_health
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.bearers import worst_bearers
from riskpipe.run.holdings import book_group
from riskpipe.run.plan import segment_labels
from riskpipe.scenarios.walks import Search


def kernel_cube(case, scenarios):
    """The cube of a case, as a night would write it."""
    book, market = case.book, case.market
    kernel = Kernel(book, market, case.rules)
    result = kernel.run(scenarios)
    values = dict(result.values)
    shocks = scenarios.index_shock
    health = account_health(kernel, min(0.0, shocks.min()), max(0.0, shocks.max()))
    n_i, n_a, n_sets = book.n_instruments, book.n_accounts, len(scenarios.sets)
    fitted = np.full((n_i, len(ESTIMATORS), len(HORIZON_LABELS)), 0.001) * np.sqrt([1.0, 8.0, 24.0, 168.0])
    fitted[-1] = np.nan  # the last instrument has no history
    values["instruments/basis_vol"] = (
        fitted[None, :, 0] * (1 + 10 * np.abs(values["instruments/dislocation"]))[..., None]
    )
    values["instruments/basis_vol_is_extrapolated"] = (np.abs(values["instruments/dislocation"]) > 0.05).astype(float)
    values["basis/basis_vol"] = fitted
    values["basis/basis"] = market.basis
    for name in ("mean_basis", "last_history_basis", "innovation_max"):
        values[f"basis/{name}"] = np.where(np.arange(n_i) == n_i - 1, np.nan, market.basis * 0.9)
    values["basis/observations"] = np.where(np.arange(n_i) == n_i - 1, 0.0, 2160.0)
    values |= {
        "accounts/margin_excess": health.margin_excess,
        "accounts/equity": health.equity,
        "accounts/maintenance_margin": health.maintenance_margin,
        "accounts/distance_to_liquidation_down": health.distance_down,
        "accounts/distance_to_liquidation_up": health.distance_up,
        "accounts/main_instrument": np.array([*book.names("instrument"), ""], object)[health.main_instrument],
        "accounts/liquidation_price": health.liquidation_price,
        "accounts/margin_call_price": health.margin_call_price,
        "accounts/bankruptcy_price": health.bankruptcy_price,
        "accounts/health_factor": health.health_factor,
        "accounts/debt": health.debt,
        "accounts/toxic_fall": health.toxic_fall,
        "accounts/weight": book.account_weight,
        "accounts/entity": np.array(book.names("entity"), object)[book.account_entity],
        "accounts/venue": np.array(book.names("venue"), object)[book.account_venue],
        "accounts/segment": np.full(n_a, "", object),
        "accounts/entity_index": book.account_entity,
        **book_group(book, market, health),
    }
    hits, worst = np.zeros((n_a, n_sets)), np.zeros((n_a, n_sets))
    part = result.part
    hits[part.account_ix, part.set_ix] = part.liquidated_scenarios
    worst[part.account_ix, part.set_ix] = part.shortfall_max
    values["accounts/liquidated_scenarios"], values["accounts/shortfall_max"] = hits, worst
    bearers, row = worst_bearers(kernel, scenarios, values["funds/adl_loss"])
    of_worst = bearers.values() | {"level": np.nan, "scenario": np.nan if row is None else float(row)}
    for name, value in of_worst.items():
        blank = np.full_like(value, "" if name.endswith("name") else np.nan)  # of the tail, which is not computed
        values[f"adl/{name}"] = np.stack([blank, value])
    coordinates = {
        "venue": book.names("venue"),
        "underlying": [book.names("asset")[ix] for ix in book.underlyings],
        "fund": book.names("fund"),
        "instrument": book.names("instrument"),
        "account": book.names("account"),
        "segment": segment_labels(book),
        "contributor": np.arange(1, N_CONTRIBUTORS + 1),
    }
    return cube(scenarios, values, coordinates)


def cube(scenarios, values, coordinates):
    """A DataTree of the schema from values by key; what is not given is 0 (-1 for an entity, "" for text, weight 1)."""
    n = len(scenarios)
    along = {
        "scenario": np.arange(n),
        "rank": np.arange(1, N_RANKS + 1),
        "horizon": list(HORIZON_LABELS),
        "estimator": list(ESTIMATORS),
        "tail": list(TAILS),
        "pair": [],
        **Search().labels,
        "segment": [""],
        "contributor": ["1"],
        "set": list(scenarios.sets),
        "holding": list(HOLDINGS),
        "direction": list(DIRECTIONS),
        "level": list(LEVELS),
        "share": [f"{share:g}" for share in RATIO_SHARES],
        "view": list(VIEWS),
        "other_venue": coordinates["venue"],
        **coordinates,
    }
    labelled = {
        **{
            name: getattr(scenarios, name)
            for name in ("index_shock", "basis_shock", "vol_shock", "depth_factor", "haircut_shock", "probability")
        },
        "variant": np.array([scenarios.variants[ix].label for ix in scenarios.variant], object),
        "set": np.array([scenarios.sets[ix] for ix in scenarios.set_index], object),
        "name": np.array([str(name) for name in scenarios.name], object),
    }
    defaults = {"entities/entity": -1.0, "accounts/weight": 1.0, "attribution/level": np.nan}
    defaults |= {"adl/level": np.nan, "adl/scenario": np.nan}
    defaults |= dict.fromkeys(("validation/verdict", "validation/tail_verdict"), "not checked")
    groups = {}
    for group in GROUPS:
        data, used = {}, {}
        for variable in (one for one in VARIABLES.values() if one.group == group):
            shape = tuple(len(along[name]) for name in variable.dims)
            blank = defaults.get(variable.key, "" if variable.dtype == "string" else 0.0)
            given = values.get(variable.key)
            array = np.full(shape, blank, object if variable.dtype == "string" else float) if given is None else given
            about = {"units": variable.units, "long_name": variable.long_name}
            data[variable.name] = (variable.dims, np.asarray(array).reshape(shape), about)
            used |= {name: along[name] for name in variable.dims}
        if "scenario" in used:
            used |= {name: ("scenario", array) for name, array in labelled.items()}
        groups[group] = xr.Dataset(data, coords=used)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"run_id": "test"}), **groups})
