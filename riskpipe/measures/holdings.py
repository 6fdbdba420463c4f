"""What the book holds, before any scenario: the largest owners, crowded positions, the map of liquidation prices."""

import numpy as np
import xarray as xr

from riskpipe.domain.holdings import NEARBY
from riskpipe.domain.scenarios import SIMULATED
from riskpipe.domain.schema import VARIABLES
from riskpipe.measures.accounts import searched
from riskpipe.measures.cells import INDEX_AXIS, cells_of, divide, labels, neutral_plane, quantity, read
from riskpipe.measures.distribution import require_probabilities
from riskpipe.measures.liquidation import ACCOUNTS, MARGIN_CALLS

PARTICIPATION = 0.2  # of the average daily volume, that closing a position may take
_OWNERS = ("holding_total", "holding_hhi", "holding_pseudo", "holding_unknown", "holding_amount", "holding_entity")
_POSITIONS = ("open_interest_long", "open_interest_short", "interest_hhi", "position", "position_entity",
              "depth_sale", "depth_purchase", "daily_volume")  # fmt: skip
_MAP = ("map_long", "map_short", "map_accounts", "call_accounts", "call_notional")
_RATIOS = ("equity", "maintenance_margin", "index_delta", "collateral_ratio", "ratio_slope", "ratio_accounts")
_NEUTRAL = ("neutral_interest", "neutral_equity", "neutral_maintenance_margin", "neutral_nearby", "neutral_owners")
OWNERS, POSITIONS, MAP, RATIOS, NEUTRAL = (
    tuple(f"book/{name}" for name in names) for names in (_OWNERS, _POSITIONS, _MAP, _RATIOS, _NEUTRAL)
)


def _as_kept(tree: xr.DataTree, names: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], object, dict[str, object]]]:
    """Variables of /book as the cube has them."""
    kept = {}
    for name in names:
        about = VARIABLES[f"book/{name}"]
        values = read(tree, about.key, may_hold_nan=True)
        kept[name] = quantity(about.dims, values, about.units, about.long_name, about.key)
    return kept


def owners(tree: xr.DataTree) -> xr.Dataset:
    """The largest owners by open interest, collateral and what is liquidatable nearby, and how concentrated each is.

    Liquidatable are positions, and debt of loans, in accounts that an index move of 10%, down or up, would make so: no
    cascade, other axes neutral. Distances are known as far as the scenarios' index axis goes: attribute `searched` has
    that, and where it ends before 10% so does the search.

    Returns dims (holding): `holding_total` USD, `holding_hhi` 0 to 10,000, `holding_pseudo` and `holding_unknown` USD,
    the parts in rows that stand for several accounts and in accounts of unknown owners; `top_share` of the listed; and
    (holding, rank): `holding_amount` USD, `holding_entity` index (-1 = none), `share` of the total.
    """
    data = _as_kept(tree, _OWNERS)
    amount, total = read(tree, OWNERS[4]), read(tree, OWNERS[0])
    read_from = (OWNERS[4], OWNERS[0])
    data["share"] = quantity(("holding", "rank"), divide(amount, total[:, None]), "share", "share of all", *read_from)
    data["top_share"] = quantity(
        ("holding",), divide(amount.sum(axis=1), total), "share", "share of listed", *read_from
    )
    coords = {"holding": labels(tree, "book", "holding"), "rank": np.arange(1, amount.shape[1] + 1)}
    return xr.Dataset(data, coords=coords, attrs={"searched": searched(tree), "nearby": NEARBY})


def positions(tree: xr.DataTree) -> xr.Dataset:
    """The largest net position of any owner in every instrument, against depth and volume.

    Returns dims (instrument): open interest by side in USD, its HHI by owner, 1% depths and daily volume in USD; and
    (instrument, rank): `position` USD signed, `position_entity`, `depth_multiple` = its size over the flow that moves
    the price by 1% on the side on which it is closed (a long sells), `days_to_liquidate` = its size over a fifth of
    the daily volume; `interest_share` of the larger side. NaN where there is no owner, no depth or no volume.
    """
    data = _as_kept(tree, _POSITIONS)
    held = read(tree, "book/position")
    size = np.where(held == 0.0, np.nan, np.abs(held))
    sale, purchase, volume = (
        read(tree, f"book/{name}", may_hold_nan=True)[:, None]
        for name in ("depth_sale", "depth_purchase", "daily_volume")
    )
    side = np.maximum(read(tree, "book/open_interest_long"), read(tree, "book/open_interest_short"))[:, None]
    dims = ("instrument", "rank")
    data["depth_multiple"] = quantity(
        dims,
        divide(size, np.where(held > 0.0, sale, purchase)),
        "x",
        "position over 1% depth",
        "book/position",
        "book/depth_sale",
        "book/depth_purchase",
    )
    data["days_to_liquidate"] = quantity(
        dims,
        divide(size, PARTICIPATION * volume),
        "days",
        "days at a fifth of the volume",
        "book/position",
        "book/daily_volume",
    )
    data["interest_share"] = quantity(
        dims,
        divide(size, side),
        "share",
        "share of the larger side",
        "book/position",
        "book/open_interest_long",
        "book/open_interest_short",
    )
    coords = {"instrument": labels(tree, "book", "instrument"), "rank": np.arange(1, held.shape[1] + 1)}
    return xr.Dataset(data, coords=coords, attrs={"participation": PARTICIPATION})  # fmt: skip


def liquidation_map(tree: xr.DataTree) -> xr.Dataset:
    """Main positions by the price level at which they are liquidated and called, by venue and underlying.

    Every account at its main position, its largest, as if nothing else moved: no cascade, no other price. Levels are
    relative to the mark; "passed" is failing at the mark already.

    Returns dims (venue, underlying, level): `map_long`, `map_short`, `call_notional` USD, `map_accounts`,
    `call_accounts`, weighted, all >= 0.
    """
    coords = {name: labels(tree, "book", name) for name in ("venue", "underlying", "level")}
    return xr.Dataset(_as_kept(tree, _MAP), coords=coords)


def margin_calls(tree: xr.DataTree) -> xr.Dataset:
    """The margin-call ladder: accounts called and accounts closed at each index shock, the other axes neutral.

    Called are accounts between maintenance and initial margin after the cascade; one that is closed is not called.

    Returns dims (variant, index_shock): `margin_call_accounts`, `liquidated_accounts`, weighted, NaN where the grid
    lacks the cell. Attribute `plane` says where the other axes are held.
    """
    cells = cells_of(tree)
    plane = neutral_plane(cells)
    rows = np.flatnonzero(plane.is_inside)
    shocks = np.unique(cells.axes[INDEX_AXIS][rows])
    place = {label: v for v, label in enumerate(cells.variants)}
    at = np.array([place[label] for label in cells.variant[rows]], np.int64)
    dims, data = ("variant", INDEX_AXIS), {}
    for name, key in (("margin_call_accounts", MARGIN_CALLS), ("liquidated_accounts", ACCOUNTS)):
        values = np.full((len(place), len(shocks)), np.nan)
        values[at, np.searchsorted(shocks, cells.axes[INDEX_AXIS][rows])] = read(tree, key)[rows]
        data[name] = quantity(dims, values, "accounts", name.replace("_", " "), key)
    coords = {"variant": cells.variants, INDEX_AXIS: shocks}
    return xr.Dataset(data, coords=coords, attrs={"plane": plane.description})


def collateral_ratios(tree: xr.DataTree) -> xr.Dataset:
    """Collateral ratios, equity over maintenance margin (liquidatable below 1), and how much they vary with the index.

    Of loans the health factor, collateral at its liquidation thresholds over debt; sums leave loans out.

    The volatility is the ratio's slope in the index times the standard deviation of the simulated index moves, over
    the simulated set's horizon: to first order, basis and volatility moves apart. A venue's own is of its sums, as if
    it were one account: what its accounts lose to one another cancels.

    Returns dims (venue): `equity`, `maintenance_margin`, `index_delta` USD, `ratio`, `ratio_volatility` of the sums,
    `ratio_accounts`; (venue, share): `collateral_ratio`, `ratio_slope` that so large a share of accounts does not
    exceed, `account_volatility`, the latter times the deviation. NaN where a venue has no such account, `index_delta`
    and `ratio_volatility` also where they hold options, whose delta needs a model, volatilities also where the cube has
    fewer than two simulated scenarios: one deviates from nothing. Attribute `index_deviation`.
    """
    cells = cells_of(tree)
    data = _as_kept(tree, _RATIOS)
    equity, margin = (read(tree, f"book/{name}") for name in _RATIOS[:2])
    delta = read(tree, "book/index_delta", may_hold_nan=True)
    deviation = np.nan
    rows = np.flatnonzero((cells.set == SIMULATED) & (cells.variant == cells.variants[0]))
    if len(rows) > 1:
        weights, moves = require_probabilities(cells.probability[rows]), cells.axes[INDEX_AXIS][rows]
        mean = float((weights * moves).sum())
        deviation = float(np.sqrt((weights * (moves - mean) ** 2).sum()))
    slope = read(tree, "book/ratio_slope", may_hold_nan=True)
    one, both = ("venue",), ("venue", "share")
    data["ratio"] = quantity(one, divide(equity, margin), "x", "equity over maintenance margin", *RATIOS[:2])
    data["ratio_volatility"] = quantity(
        one, np.abs(divide(delta, margin)) * deviation, "x", "its deviation by the index", *RATIOS[1:3]
    )
    data["account_volatility"] = quantity(both, slope * deviation, "x", "deviation by the index", RATIOS[4])
    coords = {name: labels(tree, "book", name) for name in both}
    return xr.Dataset(data, coords=coords, attrs={"index_deviation": deviation})


def neutral_books(tree: xr.DataTree) -> xr.Dataset:
    """Margin under delta-neutral owners' positions, venue by venue: what they own elsewhere does not answer here.

    Delta-neutral is an owner whose longs and shorts, coins held and owed included, cancel: what is left, underlying by
    underlying, adds up to at most a tenth of the larger sides.

    Returns dims (venue): `neutral_interest` (a lower bound, where owners are unknown), `neutral_equity`,
    `neutral_maintenance_margin` USD, `neutral_owners`; `ratio` of the two margins' sums; `interest_share` of all
    positions there; (venue, direction): `neutral_nearby` USD in accounts that an index move of 10% makes liquidatable,
    `nearby_share` of their positions. NaN where there is none.
    """
    data = _as_kept(tree, _NEUTRAL)
    held, equity, margin, nearby = (read(tree, key) for key in NEUTRAL[:4])
    whole = np.diag(read(tree, "book/shared_interest"))
    one = ("venue",)
    data["ratio"] = quantity(one, divide(equity, margin), "x", "equity over maintenance margin", *NEUTRAL[1:3])
    data["interest_share"] = quantity(
        one, divide(held, whole), "share", "share of the venue's positions", NEUTRAL[0], "book/shared_interest"
    )
    data["nearby_share"] = quantity(
        ("venue", "direction"), divide(nearby, held[:, None]), "share", "share near liquidation", NEUTRAL[3], NEUTRAL[0]
    )
    return xr.Dataset(data, coords={name: labels(tree, "book", name) for name in ("venue", "direction")})
