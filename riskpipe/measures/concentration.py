"""Concentration: how few venues, markets, entities and accounts make the numbers."""

import numpy as np
import xarray as xr

from riskpipe.measures.cells import FloatArray, cells_of, divide, labels, quantity, read
from riskpipe.measures.funds import SHORTFALL
from riskpipe.measures.liquidation import LONG, SHORT

ENTITY, ENTITY_SHORTFALL = "entities/entity", "entities/entity_shortfall"
EQUITY, MAINTENANCE, WEIGHT = "accounts/equity", "accounts/maintenance_margin", "accounts/weight"
OWNER, VENUE = "accounts/entity", "accounts/venue"
NO_ENTITY = -1


def herfindahl(amounts: FloatArray) -> FloatArray:
    """Herfindahl-Hirschman index along the last axis: the sum of squared percentage shares, 0 to 10,000.

    NaN where the amounts (>= 0) add up to nothing. Source: U.S. Department of Justice and Federal Trade Commission,
    Merger Guidelines (2023), guideline 1.
    """
    share = divide(amounts, amounts.sum(axis=-1, keepdims=True))
    return np.asarray(((100.0 * share) ** 2).sum(axis=-1), np.float64)


def exposure_concentration(tree: xr.DataTree) -> xr.Dataset:
    """Concentration of the notional closed over (venue, underlying), in every scenario.

    Returns dims (scenario): `hhi` 0..10,000 and `largest_share` of one (venue, underlying), both NaN where nothing is
    closed, with its `largest_venue` and `largest_underlying` ("" where nothing is).
    """
    cells = cells_of(tree)
    both = read(tree, LONG) + read(tree, SHORT)
    flat = both.reshape(len(both), -1)
    venues = np.array(labels(tree, "exposure", "venue"), dtype=object)
    underlyings = np.array(labels(tree, "exposure", "underlying"), dtype=object)
    if flat.shape[1] == 0:  # a book without instruments
        flat = np.zeros((len(both), 1))
        venues = underlyings = np.array([""], dtype=object)
    largest = flat.argmax(axis=1)
    total = flat.sum(axis=1)
    is_something = total > 0.0
    one = ("scenario",)
    data = {
        "hhi": quantity(one, herfindahl(flat), "HHI", "HHI of notional closed by venue and underlying", LONG, SHORT),
        "largest_share": quantity(one, divide(flat.max(axis=1), total), "share", "largest market's share", LONG, SHORT),
        "largest_venue": quantity(
            one, np.where(is_something, venues[largest // len(underlyings)], ""), "", "its venue", LONG, SHORT
        ),
        "largest_underlying": quantity(
            one, np.where(is_something, underlyings[largest % len(underlyings)], ""), "", "its underlying", LONG, SHORT
        ),
    }
    return xr.Dataset(data, coords=cells.coordinates())


def entity_concentration(tree: xr.DataTree) -> xr.Dataset:
    """How much of the shortfall one beneficial owner makes, in every scenario.

    An entity's shortfall is added over the funds among whose ten largest it stands, so that its share is exact unless
    it is outside some fund's ten: then it is a lower bound.

    Returns dims (scenario): `entity` (index, -1 = none), `entity_shortfall` USD >= 0, `entity_share` of the scenario's
    shortfall (NaN where there is none), `listed_share`, the part of the shortfall that the lists explain.
    """
    cells = cells_of(tree)
    n = len(cells)
    entity = read(tree, ENTITY).reshape(n, -1).astype(np.int64)
    amount = np.where(entity == NO_ENTITY, 0.0, read(tree, ENTITY_SHORTFALL).reshape(n, -1))
    total = read(tree, SHORTFALL).sum(axis=1)
    n_codes = int(entity.max(initial=NO_ENTITY)) + 2
    codes = np.arange(n)[:, None] * n_codes + entity + 1
    found, place = np.unique(codes.ravel(), return_inverse=True)
    sums = np.bincount(place.ravel(), weights=amount.ravel(), minlength=len(found))
    order = np.lexsort((-found, sums))  # the last of each scenario is its largest; of a tie, the lower index
    row = (found // n_codes)[order]
    largest, largest_amount = np.full(n, NO_ENTITY, np.int64), np.zeros(n)
    largest[row] = (found % n_codes)[order] - 1
    largest_amount[row] = sums[order]
    largest[largest_amount <= 0.0] = NO_ENTITY
    one = ("scenario",)
    sources = (ENTITY, ENTITY_SHORTFALL)
    data = {
        "entity": quantity(one, largest, "index", "entity with the largest shortfall", *sources),
        "entity_shortfall": quantity(one, largest_amount, "USD", "its shortfall", *sources),
        "entity_share": quantity(one, divide(largest_amount, total), "share", "its share", *sources, SHORTFALL),
        "listed_share": quantity(
            one, divide(amount.sum(axis=1), total), "share", "share of the listed", *sources, SHORTFALL
        ),
    }
    return xr.Dataset(data, coords=cells.coordinates())


def shortfall_owners(tree: xr.DataTree, n_top: int) -> xr.Dataset:
    """The owners with the largest shortfalls, in each variant's scenario with the largest shortfall of all funds.

    An owner's shortfall is added over the funds among whose ten largest it stands; what is in no list is left out, so
    that shares and `hhi` are lower bounds where `listed_share` is below 1.

    Returns dims (variant, rank): `entity` index (-1 = none), `shortfall` USD >= 0, `share` of the scenario's (NaN where
    there is none); (variant): `hhi` 0 to 10,000, `listed_share`, `total` USD and coordinate `scenario`.
    """
    cells = cells_of(tree)
    total = read(tree, SHORTFALL).sum(axis=1)
    entity, amount = read(tree, ENTITY), read(tree, ENTITY_SHORTFALL)
    shape = (len(cells.variants), n_top)
    who, what = np.full(shape, NO_ENTITY, np.int64), np.zeros(shape)
    rows = np.zeros(len(cells.variants), np.int64)
    hhi, listed = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for v, variant in enumerate(cells.variants):
        inside = np.flatnonzero(cells.variant == variant)
        rows[v] = inside[total[inside].argmax()]
        is_one = entity[rows[v]] != NO_ENTITY
        owners, place = np.unique(entity[rows[v]][is_one].astype(np.int64), return_inverse=True)
        owed = np.bincount(place, amount[rows[v]][is_one], len(owners))
        order = np.argsort(-owed, kind="stable")[:n_top]
        who[v, : len(order)], what[v, : len(order)] = owners[order], owed[order]
        if total[rows[v]] > 0.0:
            hhi[v] = ((100.0 * owed / total[rows[v]]) ** 2).sum()
            listed[v] = owed.sum() / total[rows[v]]
    dims, one, sources = ("variant", "rank"), ("variant",), (ENTITY, ENTITY_SHORTFALL, SHORTFALL)
    data = {
        "entity": quantity(dims, who, "index", "owner", *sources),
        "shortfall": quantity(dims, what, "USD", "its shortfall", *sources),
        "share": quantity(dims, divide(what, total[rows][:, None]), "share", "its share", *sources),
        "hhi": quantity(one, hhi, "HHI", "HHI of the shortfall by owner", *sources),
        "listed_share": quantity(one, listed, "share", "share of the listed", *sources),
        "total": quantity(one, total[rows], "USD", "shortfall of all funds", SHORTFALL),
    }
    coords = {"variant": cells.variants, "rank": np.arange(1, n_top + 1), "scenario": ("variant", rows)}
    return xr.Dataset(data, coords=coords)


def account_concentration(tree: xr.DataTree, n_top: int) -> xr.Dataset:
    """The largest accounts by equity and by maintenance margin at the snapshot.

    A row that stands for several identical accounts (weight other than 1) is no account: it stays out of the lists and
    counts, weighted, in the totals. Equity of negative accounts counts in neither.

    Returns dims (quantity, rank): `account`, `entity`, `venue` ("" beyond the number of accounts), `amount` USD and
    `share` of the total (NaN where the total is 0); (quantity): `total` USD, `top_share`; scalar `n_pseudo_accounts`,
    the rows kept out.
    """
    weight = read(tree, WEIGHT)
    texts = {"account": np.array(labels(tree, "accounts", "account"), dtype=object)}
    texts["entity"] = read(tree, OWNER).astype(object)
    texts["venue"] = read(tree, VENUE).astype(object)
    sources = {"equity": EQUITY, "maintenance margin": MAINTENANCE}
    shape = (len(sources), n_top)
    amount, share, total = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(len(sources))
    named = {name: np.full(shape, "", dtype=object) for name in texts}
    is_one = weight == 1.0
    rows = np.flatnonzero(is_one)
    for k, key in enumerate(sources.values()):
        values = np.maximum(read(tree, key), 0.0)
        total[k] = float((values * weight).sum())
        largest = rows[np.argsort(-values[rows], kind="stable")[:n_top]]
        largest = largest[values[largest] > 0.0]
        amount[k, : len(largest)] = values[largest]
        share[k, : len(largest)] = divide(values[largest], total[k])
        for name, given in texts.items():
            named[name][k, : len(largest)] = given[largest]
    top_share = divide(np.nansum(amount, axis=1), total)
    dims = ("quantity", "rank")
    read_from = (*sources.values(), WEIGHT)
    labelled_by = {"account": read_from, "entity": (OWNER,), "venue": (VENUE,)}
    data = {name: quantity(dims, values, "", name, *labelled_by[name]) for name, values in named.items()}
    data["amount"] = quantity(dims, amount, "USD", "amount", *read_from)
    data["share"] = quantity(dims, share, "share", "share of the total", *read_from)
    data["total"] = quantity(("quantity",), total, "USD", "total, weighted", *read_from)
    data["top_share"] = quantity(("quantity",), top_share, "share", "share of the listed", *read_from)
    data["n_pseudo_accounts"] = quantity((), int((~is_one).sum()), "rows", "rows kept out of the lists", WEIGHT)
    return xr.Dataset(data, coords={"quantity": list(sources), "rank": np.arange(1, n_top + 1)})
