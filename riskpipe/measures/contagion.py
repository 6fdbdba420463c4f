"""Contagion: how losses of one venue or fund go with those of another, through owners, markets and cascades."""

import numpy as np
import xarray as xr

from riskpipe.measures.cells import FloatArray, cells_of, divide, labels, quantity, read
from riskpipe.measures.distribution import effective_number, require_probabilities, tail_mean
from riskpipe.measures.funds import UNCOVERED
from riskpipe.measures.liquidation import FIRST, LONG, SHORT, TOTAL
from riskpipe.measures.losses import BY_FUND, FUND_VENUE, SYSTEM, loss_series, simulated_rows
from riskpipe.measures.marginal import distress_weights

LEVEL = 0.95
HEADLINES = ("shortfall", "liquidated_notional")
READINGS = ("most closed", "most amplified", "mean")
CONDITIONAL = (*UNCOVERED, TOTAL, LONG, SHORT, FUND_VENUE)
DEPTH, SHARED = "book/underlying_depth", "book/shared_interest"
POSITION = "book/liquidatable_position"


def conditional_losses(tree: xr.DataTree) -> xr.Dataset:
    """What parties lose when another is in distress: the system, venues, and funds of venues that have several.

    Distress is the worst 5% of a party's simulated losses, as far as it loses anything. Losses are shortfalls, and of
    venues the notional closed as well.

    Source: see `measures.marginal.conditional_expected_shortfall` and `marginal_expected_shortfall`.

    Returns dims (variant, headline, distressed, party), USD: `conditional_shortfall`, the expected shortfall (95%) of
    the party given that distress; `conditional_mean`, its mean; (variant, headline, party): `expected_shortfall`,
    `mean`; `chance` of its distress and `n_distress`, the scenarios that make it, as many as if equally likely: few
    make numbers of chance. NaN where the distressed party never loses, a fund has no such figure, or the cube
    has no simulated set. Coordinates `scope` of a party and `distressed_scope` of the distressed one, system, venue
    or fund: a venue and a fund may have one name. Attribute `level`.
    """
    cells = cells_of(tree)
    series = loss_series(tree)
    of_fund = read(tree, FUND_VENUE).tolist()
    funds = zip(labels(tree, "funds", "fund"), of_fund, strict=True)
    lone = {fund for fund, venue in funds if of_fund.count(venue) == 1}  # the same as its venue
    parties = list(
        dict.fromkeys((one.scope, one.place) for one in series if one.scope != BY_FUND or one.place not in lone)
    )
    values = {(one.scope, one.place, one.headline): one.values for one in series}
    n = len(parties)
    shape = (len(cells.variants), len(HEADLINES), n)
    flat = {name: np.full(shape, np.nan) for name in ("expected_shortfall", "mean", "chance", "n_distress")}
    deep = {name: np.full((*shape, n), np.nan) for name in ("conditional_shortfall", "conditional_mean")}
    for v, variant in enumerate(cells.variants):
        rows = simulated_rows(cells, variant)
        if len(rows) == 0:
            continue
        probability = require_probabilities(cells.probability[rows])
        for h, headline in enumerate(HEADLINES):
            known = [k for k, party in enumerate(parties) if (*party, headline) in values]
            losses = {k: values[(*parties[k], headline)][rows] for k in known}
            for k in known:
                flat["expected_shortfall"][v, h, k] = tail_mean(losses[k], probability, LEVEL)
                flat["mean"][v, h, k] = (probability * losses[k]).sum()
                weights = distress_weights(losses[k], probability, LEVEL)
                flat["chance"][v, h, k] = 0.0 if weights is None else probability[weights > 0.0].sum()
                flat["n_distress"][v, h, k] = 0.0 if weights is None else effective_number(weights)
                if weights is None:
                    continue
                inside = np.flatnonzero(weights)
                for other in known:
                    given = losses[other][inside]
                    deep["conditional_mean"][v, h, k, other] = (weights[inside] * given).sum()
                    deep["conditional_shortfall"][v, h, k, other] = tail_mean(given, weights[inside], LEVEL)
    sources = CONDITIONAL
    dims = ("variant", "headline", "party")
    units = {"chance": "share", "n_distress": "rows"}
    data = {
        name: quantity(dims, given, units.get(name, "USD"), name.replace("_", " "), *sources)
        for name, given in flat.items()
    }
    data |= {
        name: quantity(("variant", "headline", "distressed", "party"), given, "USD", name.replace("_", " "), *sources)
        for name, given in deep.items()
    }
    names = [place if scope != SYSTEM else SYSTEM for scope, place in parties]
    coords = {
        "variant": cells.variants,
        "headline": list(HEADLINES),
        "distressed": names,
        "party": names,
        "scope": ("party", [scope for scope, _ in parties]),
        "distressed_scope": ("distressed", [scope for scope, _ in parties]),
    }
    return xr.Dataset(data, coords=coords, attrs={"level": LEVEL})


def amplification(tree: xr.DataTree) -> xr.Dataset:
    """What cascades add: notional closed in the first round and in all, by variant and set of scenarios.

    Returns dims (variant, set, reading): `first_round_notional` and `liquidated_notional` in USD, `amplification`, the
    second over the first (NaN where nothing is closed), and `scenario` (-1 = none). Readings: the scenario in which
    most is closed; the one with the largest amplification (of ties the one in which more is closed); the mean by
    probability, NaN where the set has none.
    """
    cells = cells_of(tree)
    first, total = read(tree, FIRST), read(tree, TOTAL)
    ratio = np.nan_to_num(divide(total, first))
    sets = list(dict.fromkeys(cells.set.tolist()))
    shape = (len(cells.variants), len(sets), len(READINGS))
    sums = {name: np.full(shape, np.nan) for name in ("first_round_notional", "liquidated_notional")}
    where = np.full(shape, -1, np.int64)
    for v, variant in enumerate(cells.variants):
        for s, label in enumerate(sets):
            rows = np.flatnonzero((cells.variant == variant) & (cells.set == label))
            if len(rows) == 0:
                continue
            for r, keys in enumerate(((-ratio, -total), (-total, -ratio))):
                at = rows[np.lexsort([key[rows] for key in keys])[0]]
                where[v, s, r] = at if total[at] > 0.0 else -1
                sums["first_round_notional"][v, s, r], sums["liquidated_notional"][v, s, r] = first[at], total[at]
            if not np.isnan(cells.probability[rows]).any():
                weights = require_probabilities(cells.probability[rows])
                sums["first_round_notional"][v, s, 2] = (weights * first[rows]).sum()
                sums["liquidated_notional"][v, s, 2] = (weights * total[rows]).sum()
    dims = ("variant", "set", "reading")
    data = {name: quantity(dims, values, "USD", name.replace("_", " "), TOTAL, FIRST) for name, values in sums.items()}
    factor = divide(sums["liquidated_notional"], sums["first_round_notional"])
    data["amplification"] = quantity(dims, factor, "x", "notional closed over first round", TOTAL, FIRST)
    data["scenario"] = quantity(dims, where, "index", "scenario", TOTAL, FIRST)
    return xr.Dataset(data, coords={"variant": cells.variants, "set": sets, "reading": list(READINGS)})


def venue_overlap(tree: xr.DataTree) -> xr.Dataset:
    """Do venues close the same books: what one's closings do to the other's, in the scenario that closes most.

    Closings of a venue are its forced purchases less sales by underlying, F. Those of venue v move prices by F / depth
    of the underlying, all its markets together, so that those of w are filled at prices worse by the sum over
    underlyings of F_v F_w / depth: `price_cost`, USD, below 0 where they go against each other. `overlap` is the same
    over the root of the two own costs, -1 to 1: 1 where both close the same book in proportion. Underlyings without a
    known depth are left out.

    Source: Cont and Schaanning, Monitoring indirect contagion, Journal of Banking and Finance 104 (2019):
    liquidity-weighted overlaps, of what is closed instead of what is held.

    Returns dims (variant, venue, other_venue): `overlap` (NaN where one of them closes nothing), `price_cost` USD;
    (venue, other_venue): `shared_interest` USD, positions on the venue of owners who have positions on the other, too
    (a lower bound; the diagonal: of all owners), `shared_share` of the venue's; coordinate `scenario` (variant).
    """
    cells = cells_of(tree)
    bought = read(tree, SHORT) - read(tree, LONG)
    rows = most_closed(read(tree, TOTAL), cells.variant, cells.variants)
    depth = 100.0 * read(tree, DEPTH, may_hold_nan=True)
    both = [overlaps(bought[row], depth) for row in rows]
    shared = read(tree, SHARED)
    venues = labels(tree, "exposure", "venue")
    dims, pair = ("variant", "venue", "other_venue"), ("venue", "other_venue")
    read_from = (LONG, SHORT, DEPTH, TOTAL)
    data = {
        "overlap": quantity(dims, np.stack([one for one, _ in both]), "1", "overlap of closings", *read_from),
        "price_cost": quantity(dims, np.stack([cost for _, cost in both]), "USD", "cost of the other's", *read_from),
        "shared_interest": quantity(pair, shared, "USD", "positions of owners who are on both", SHARED),
        "shared_share": quantity(
            pair, divide(shared, np.diag(shared)[:, None]), "share", "share of the venue's positions", SHARED
        ),
    }
    coords = {"variant": cells.variants, "venue": venues, "other_venue": venues, "scenario": ("variant", rows)}
    return xr.Dataset(data, coords=coords)


def most_closed(total: FloatArray, variant: np.ndarray, variants: list[str]) -> list[int]:
    """Row of each variant's scenario in which most is closed, the first of a tie."""
    found = []
    for label in variants:
        rows = np.flatnonzero(variant == label)
        found.append(int(rows[total[rows].argmax()]))
    return found


def owner_overlap(tree: xr.DataTree) -> xr.Dataset:
    """Do the owners nearest to liquidation hold the same books: liquidity-weighted overlaps of the ten largest.

    Books are the net contracts in accounts that an index move of 10% makes liquidatable, by underlying; numbers are
    those of `venue_overlap`, for positions in the place of closings. Options are left out.

    Returns dims (direction, rank, other_rank): `overlap` -1 to 1, `price_cost` USD; NaN and 0 where there is no owner.
    """
    depth = 100.0 * read(tree, DEPTH, may_hold_nan=True)
    both = [overlaps(one, depth) for one in read(tree, POSITION)]
    dims, ranks = ("direction", "rank", "other_rank"), np.arange(1, len(both[0][0]) + 1)
    data = {
        "overlap": quantity(dims, np.stack([one for one, _ in both]), "1", "overlap of books", POSITION, DEPTH),
        "price_cost": quantity(
            dims, np.stack([cost for _, cost in both]), "USD", "cost of the other's", POSITION, DEPTH
        ),
    }
    coords = {"direction": labels(tree, "book", "direction"), "rank": ranks, "other_rank": ranks}
    return xr.Dataset(data, coords=coords)


def overlaps(flow: FloatArray, depth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Liquidity-weighted overlaps of books, and what they cost one another (see `venue_overlap`), ([n, n], [n, n]).

    Parameters
    ----------
    flow: [n, u] USD, signed. depth: [u] USD of flow per unit of relative price move; NaN or 0 = unknown, left out.
    """
    is_known = np.asarray(depth > 0.0)
    scaled = flow[:, is_known] / np.sqrt(depth[is_known])
    cost = (scaled[:, None, :] * scaled[None, :, :]).sum(axis=2)
    own = np.sqrt(np.diag(cost))
    return np.clip(divide(cost, own[:, None] * own[None, :]), -1.0, 1.0), cost
