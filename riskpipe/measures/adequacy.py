"""Are funds large enough: for the largest owners, for the tail of losses, for thinner books; and who bears the rest."""

import numpy as np
import xarray as xr

from riskpipe.domain.scenarios import DIRECTIONS
from riskpipe.measures.cells import (
    INDEX_AXIS,
    FloatArray,
    cells_of,
    divide,
    labels,
    neutral_plane,
    quantity,
    read,
)
from riskpipe.measures.distribution import require_probabilities, tail_weights
from riskpipe.measures.funds import (
    ADL_NOTIONAL,
    BALANCE,
    NO_SHOCK,
    SHORTFALL,
    STAGES,
    UNCOVERED,
    bracket,
    outward,
    uncovered_loss,
)
from riskpipe.measures.losses import LEVELS, simulated_rows

ENTITY, ENTITY_SHORTFALL = "entities/entity", "entities/entity_shortfall"
ADL_LOSS = "funds/adl_loss"
DEPTH_AXIS = "depth_factor"
COVERED = (1, 2)  # owners whose shortfall a fund is held against
PAYERS = STAGES[1:]


def cover(tree: xr.DataTree) -> xr.Dataset:
    """Every fund held against the shortfall of its one and two largest owners at once (Cover-1, Cover-2).

    In every scenario the largest owners are the first of the fund's list of ten, and the fund is what it holds there
    before use. The ratio is fund over their shortfall, the smallest of a set's scenarios; at least 1 = covered. Owners
    of accounts without an entity are each taken as one, so that it may be too large.

    Source: CPMI and IOSCO, Principles for financial market infrastructures (2012), principle 4, with an account's owner
    in the place of a participant.

    Returns dims (fund, variant, set, owners): `ratio` (infinite where no scenario has such a shortfall, NaN where the
    fund has no balance either), and of the scenario that sets it: `owners_shortfall`, `fund_balance` USD, `scenario`
    index (-1 = none), `entity`, the largest owner's index (-1 = none).
    """
    cells = cells_of(tree)
    funds, sets = labels(tree, "funds", "fund"), list(dict.fromkeys(cells.set.tolist()))
    owed = np.cumsum(read(tree, ENTITY_SHORTFALL), axis=2)[:, :, [n - 1 for n in COVERED]]
    balance, entity = read(tree, BALANCE), read(tree, ENTITY)
    ratios = np.where(owed > 0.0, divide(balance[:, :, None], owed), np.inf)
    unused = np.where(balance > 0.0, np.inf, np.nan)  # nothing is owed to it
    shape = (len(funds), len(cells.variants), len(sets), len(COVERED))
    found = {name: np.full(shape, np.nan) for name in ("ratio", "owners_shortfall", "fund_balance")}
    where = {name: np.full(shape, -1, np.int64) for name in ("scenario", "entity")}
    each = np.arange(len(funds))
    for v, variant in enumerate(cells.variants):
        for s, label in enumerate(sets):
            rows = np.flatnonzero((cells.variant == variant) & (cells.set == label))
            if len(rows) == 0:
                continue
            for k in range(len(COVERED)):
                # of equal ratios (an empty fund's are all 0) the scenario in which most is owed
                order = np.lexsort((-owed[rows, :, k], ratios[rows, :, k]), axis=0)
                worst = rows[order[0]]
                is_owed = owed[worst, each, k] > 0.0
                here = (each, v, s, k)
                found["ratio"][here] = np.where(is_owed, ratios[worst, each, k], unused[worst, each])
                found["owners_shortfall"][here] = np.where(is_owed, owed[worst, each, k], 0.0)
                found["fund_balance"][here] = balance[worst, each]
                where["scenario"][here] = np.where(is_owed, worst, -1)
                where["entity"][here] = np.where(is_owed, entity[worst, each, 0], -1)
    dims, sources = ("fund", "variant", "set", "owners"), (ENTITY_SHORTFALL, BALANCE)
    data = {
        "ratio": quantity(dims, found["ratio"], "x", "smallest fund over shortfall of the largest owners", *sources),
        "owners_shortfall": quantity(dims, found["owners_shortfall"], "USD", "their shortfall there", ENTITY_SHORTFALL),
        "fund_balance": quantity(dims, found["fund_balance"], "USD", "the fund there, before use", BALANCE),
        "scenario": quantity(dims, where["scenario"], "index", "scenario that sets the ratio", *sources),
        "entity": quantity(dims, where["entity"], "index", "largest owner there", ENTITY),
    }
    coords = {"fund": funds, "variant": cells.variants, "set": sets, "owners": list(COVERED)}
    return xr.Dataset(data, coords=coords)


def fund_tail(tree: xr.DataTree) -> xr.Dataset:
    """Every fund held against the expected shortfall of what falls to it, and who bears that shortfall.

    All numbers are means over the tail, the worst 1 - level of the fund's simulated shortfalls (see `tail_weights`), so
    that what the payers bear adds up to the expected shortfall.

    Returns dims (fund, variant, level): `expected_shortfall` and `fund_balance` USD; `fund_over_shortfall`, their
    ratio (infinite where nothing falls to the fund, NaN where it has no balance either), below 1 = the fund alone does
    not pay the mean of its tail; and (fund, variant, level, payer) `borne`, USD >= 0. NaN where the cube has no
    simulated set.
    """
    cells = cells_of(tree)
    shortfall, balance = read(tree, SHORTFALL), read(tree, BALANCE)
    borne_by = np.stack([read(tree, f"funds/{payer}") for payer in PAYERS], axis=2)
    funds = labels(tree, "funds", "fund")
    shape = (len(funds), len(cells.variants), len(LEVELS))
    means = {name: np.full(shape, np.nan) for name in ("expected_shortfall", "fund_balance")}
    borne = np.full((*shape, len(PAYERS)), np.nan)
    for v, variant in enumerate(cells.variants):
        rows = simulated_rows(cells, variant)
        if len(rows) == 0:
            continue
        probability = require_probabilities(cells.probability[rows])
        for f in range(len(funds)):
            for at, level in enumerate(LEVELS):
                weights = tail_weights(shortfall[rows, f], probability, level)
                means["expected_shortfall"][f, v, at] = (weights * shortfall[rows, f]).sum()
                means["fund_balance"][f, v, at] = (weights * balance[rows, f]).sum()
                borne[f, v, at] = (weights[:, None] * borne_by[rows, f]).sum(axis=0)
    dims = ("fund", "variant", "level")
    is_unused = (means["expected_shortfall"] == 0.0) & (means["fund_balance"] > 0.0)
    ratio = np.where(is_unused, np.inf, divide(means["fund_balance"], means["expected_shortfall"]))
    payers = tuple(f"funds/{payer}" for payer in PAYERS)
    data = {
        "expected_shortfall": quantity(dims, means["expected_shortfall"], "USD", "expected shortfall", SHORTFALL),
        "fund_balance": quantity(dims, means["fund_balance"], "USD", "mean fund in the tail", BALANCE, SHORTFALL),
        "fund_over_shortfall": quantity(dims, ratio, "x", "fund over expected shortfall", BALANCE, SHORTFALL),
        "borne": quantity((*dims, "payer"), borne, "USD", "part of the expected shortfall borne", *payers, SHORTFALL),
    }
    coords = {"fund": funds, "variant": cells.variants, "level": list(LEVELS), "payer": list(PAYERS)}
    return xr.Dataset(data, coords=coords)


def exhaustion_by_depth(tree: xr.DataTree) -> xr.Dataset:
    """Smallest index move down and up that exhausts each fund at every depth of the grid, other axes neutral.

    The same walk as `exhaustion`, at each value of the depth axis: every grid value is looked at and nothing is
    interpolated.

    Returns dims (fund, variant, direction, depth_factor), thinnest last: `last_held`, `first_exhausted`, `heals_at`
    (NaN where there is none) and `status`, as `exhaustion` has them. Attribute `plane` says where other axes are held.
    """
    cells = cells_of(tree)
    plane = neutral_plane(cells, free=(INDEX_AXIS, DEPTH_AXIS))
    is_exhausted = uncovered_loss(tree) > 0.0
    given = cells.axes[DEPTH_AXIS] if DEPTH_AXIS in cells.axes else np.ones(len(cells))
    depths = np.unique(given[plane.is_inside])[::-1]
    funds = labels(tree, "funds", "fund")
    shape = (len(funds), len(cells.variants), len(DIRECTIONS), len(depths))
    numbers = {name: np.full(shape, np.nan) for name in ("last_held", "first_exhausted", "heals_at")}
    status = np.full(shape, NO_SHOCK, dtype=object)
    for v, variant in enumerate(cells.variants):
        for k, depth in enumerate(depths):
            is_inside = np.asarray(plane.is_inside & (cells.variant == variant) & (given == depth), np.bool_)
            for d, direction in enumerate(DIRECTIONS):
                rows = outward(cells, is_inside, direction)
                shocks: FloatArray = cells.axes[INDEX_AXIS][rows]
                for f in range(len(funds)):
                    here = (f, v, d, k)
                    status[here], found = bracket(shocks, is_exhausted[rows, f])
                    for name, value in zip(numbers, found, strict=True):
                        numbers[name][here] = value
    dims = ("fund", "variant", "direction", DEPTH_AXIS)
    names = {
        "last_held": "last index shock at which the fund holds",
        "first_exhausted": "first index shock that exhausts the fund",
        "heals_at": "first index shock further out at which it holds again",
    }
    data = {name: quantity(dims, values, "share", names[name], *UNCOVERED) for name, values in numbers.items()}
    data["status"] = quantity(dims, status, "", "outcome of the walk", *UNCOVERED)
    coords = {"fund": funds, "variant": cells.variants, "direction": list(DIRECTIONS), DEPTH_AXIS: depths}
    return xr.Dataset(data, coords=coords, attrs={"plane": plane.description})


def adl_cost(tree: xr.DataTree) -> xr.Dataset:
    """What auto-deleveraging takes from winners, fund by fund, in the scenario in which it takes most.

    Which winners bear it is `bearers.adl_bearers`.

    Returns dims (fund, variant): `adl_loss` USD of profit taken, `adl_notional` USD of positions removed (at the final
    mark), `loss_share`, the one over the other (NaN where nothing is removed), `shortfall_share` of that scenario's
    shortfall, `scenario` (-1 = none takes any), `n_scenarios` in which any is taken.
    """
    cells = cells_of(tree)
    taken, removed, shortfall = read(tree, ADL_LOSS), read(tree, ADL_NOTIONAL), read(tree, SHORTFALL)
    funds = labels(tree, "funds", "fund")
    shape = (len(funds), len(cells.variants))
    at = np.zeros(shape, np.int64)
    n_scenarios = np.zeros(shape, np.int64)
    for v, variant in enumerate(cells.variants):
        rows = np.flatnonzero(cells.variant == variant)
        at[:, v] = rows[taken[rows].argmax(axis=0)]
        n_scenarios[:, v] = (taken[rows] > 0.0).sum(axis=0)
    each = np.arange(len(funds))[:, None]
    loss, notional, short = (values[at, each] for values in (taken, removed, shortfall))
    is_any = n_scenarios > 0
    dims = ("fund", "variant")
    data = {
        "adl_loss": quantity(dims, loss, "USD", "profit taken from winners", ADL_LOSS),
        "adl_notional": quantity(dims, np.where(is_any, notional, 0.0), "USD", "positions removed", ADL_NOTIONAL),
        "loss_share": quantity(
            dims, np.where(is_any, divide(loss, notional), np.nan), "share", "profit taken over positions removed",
            ADL_LOSS, ADL_NOTIONAL,
        ),
        "shortfall_share": quantity(
            dims, np.where(is_any, divide(loss, short), np.nan), "share", "share of the shortfall", ADL_LOSS, SHORTFALL
        ),
        "scenario": quantity(dims, np.where(is_any, at, -1), "index", "scenario that takes most", ADL_LOSS),
        "n_scenarios": quantity(dims, n_scenarios, "rows", "scenarios that take any", ADL_LOSS),
    }  # fmt: skip
    return xr.Dataset(data, coords={"fund": funds, "variant": cells.variants})
