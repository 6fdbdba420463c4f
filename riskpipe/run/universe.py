"""Universe: two nights on common labels, so that either's positions, prices or rules can stand beside the other's.

What only one night has (a contract listed or expired since, a venue, an asset) is carried to the other as that one has
it; a contract's basis is carried, its mark follows the other night's index. A contract whose terms have changed under
its name is two contracts. Positions, and balances of funds, are never carried: who is not there holds nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray, OffsetArray
from riskpipe.domain.changes import PARTS
from riskpipe.domain.instant import format_as_of
from riskpipe.domain.market import Market
from riskpipe.domain.rules import ContractRules, Rules
from riskpipe.domain.scenarios import Variant
from riskpipe.errors import StoreError
from riskpipe.pricing.black76 import option_value
from riskpipe.run.positions import positions_on

# what every array of a book and a market belongs to: a part, and the dimension it lies along
_BOOK: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("instrument_kind", "instrument_multiplier", "instrument_is_inverse", "instrument_expiry_us",
         "instrument_strike", "instrument_is_call"), ("parameters", "instrument"),
    ),
    **dict.fromkeys(("mark_price", "funding_rate", "funding_interval_hours", "open_interest"),
                    ("prices", "instrument")),
    **dict.fromkeys(("implied_vol", "daily_vol"), ("volatility", "instrument")),
    **dict.fromkeys(("adv_usd", "depth_usd_1pct", "table_depth_bid", "table_depth_ask"), ("depth", "instrument")),
    "index_price": ("prices", "asset"),
    "index_depth_usd_1pct": ("depth", "asset"),
    "index_beta": ("parameters", "asset"),
    "venue_price": ("prices", "venue asset"),
    **dict.fromkeys(("borrow_maintenance_rate", "lending_threshold", "lending_bonus", "close_factor"),
                    ("parameters", "venue asset")),
}  # fmt: skip
_LABELLED = {  # arrays of indices: what they point at, and what they lie along
    "instrument_venue": ("venue", "instrument", "parameters"),
    "instrument_underlying": ("asset", "instrument", "parameters"),
    "instrument_quote": ("asset", "instrument", "parameters"),
    "instrument_settlement": ("asset", "instrument", "parameters"),
    "instrument_fund": ("fund", "instrument", "parameters"),
    "fund_venue": ("venue", "fund", "parameters"),
    "fund_asset": ("asset", "fund", "positions"),
    "venue_fund": ("fund", "venue", "parameters"),
}
_MARKET = {
    **dict.fromkeys(("mark_price", "basis", "option_forward"), ("prices", "instrument")),
    **dict.fromkeys(("depth_bid", "depth_ask"), ("depth", "instrument")),
    "index_price": ("prices", "asset"),
    "index_beta": ("parameters", "asset"),
    "index_depth": ("depth", "asset"),
    "venue_price_ratio": ("prices", "venue asset"),
}  # the rest is of volatility
# statistics of bases, which no cascade reads and which are new every night: a replay for them would find nothing
_NO_MATTER = {spec.name for spec in fields(Market) if spec.name.startswith("basis_")} | {"daily_vol"}
_NEUTRAL = {"venue_price_ratio": 1.0, "borrow_maintenance_rate": 0.0}
_DIMENSIONS = ("venue", "asset", "instrument", "fund")
_TERMS = ("instrument_kind", "instrument_multiplier", "instrument_is_inverse", "instrument_expiry_us",
          "instrument_strike", "instrument_is_call")  # fmt: skip
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """What a scenario of a night is computed from."""

    book: Book
    market: Market
    rules: Rules
    variant: Variant


@dataclass(frozen=True)
class Side:
    """One night on the common labels: arrays of its book and market by part, and its rules."""

    inputs: Inputs
    book: Mapping[str, Arrays]
    market: Mapping[str, Arrays]
    rules: Rules
    has: Mapping[str, BoolArray]
    """Of each dimension, the common labels that the night has itself."""
    place: Mapping[str, np.ndarray]
    """Of each dimension, the common index of each of the night's own labels."""


@dataclass(frozen=True)
class Universe:
    """Two nights on common labels: the earlier one (0), the later one (1)."""

    labels: Mapping[str, tuple[str, ...]]
    sides: tuple[Side, Side]

    @property
    def changed(self) -> tuple[str, ...]:
        """Parts in which the nights differ."""
        return tuple(part for part in PARTS if not self._is_same(part))

    def mixed(self, later: frozenset[str]) -> Inputs:
        """Return what is computed where the parts named are the later night's and the others the earlier one's."""
        of = {part: self.sides[int(part in later)] for part in PARTS}
        prices, positions = of["prices"], of["positions"]
        book: dict[str, Any] = {name: array for part in PARTS for name, array in of[part].book[part].items()}
        market: dict[str, Any] = {name: array for part in PARTS for name, array in of[part].market[part].items()}
        labels = {**positions.inputs.book.labels, **{name: _strings(of) for name, of in self.labels.items()}}
        market["mark_price"] = book["mark_price"] = self._marks(prices, of["volatility"], book, market)
        made = replace(prices.inputs.book, labels=labels, **book)
        return Inputs(
            made,
            replace(of["volatility"].inputs.market, **market),
            of["parameters"].rules,
            of["parameters"].inputs.variant,
        )

    def _marks(self, prices: Side, volatility: Side, book: Arrays, market: Arrays) -> FloatArray:
        """Marks at the prices taken: of options priced anew where forward and volatility are not of one night."""
        marks = market["mark_price"].copy()
        own = prices.has["instrument"] if prices is volatility else np.zeros(len(marks), dtype=np.bool_)
        years = replace(prices.inputs.book, instrument_expiry_us=book["instrument_expiry_us"]).years_to_expiry
        pays_coin = book["instrument_settlement"] == book["instrument_underlying"]
        for i in np.flatnonzero(~own & ~np.isnan(market["option_vol"])).tolist():
            forward = float(market["option_forward"][i])
            value = option_value(
                bool(book["instrument_is_call"][i]), forward, float(book["instrument_strike"][i]), float(years[i]),
                float(market["option_vol"][i]), 1.0,
            )  # fmt: skip
            marks[i] = value / forward if pays_coin[i] else value
        return marks

    def _is_same(self, part: str) -> bool:
        one, other = self.sides
        if part == "parameters" and (one.rules != other.rules or one.inputs.variant != other.inputs.variant):
            return False
        if part == "prices" and one.inputs.book.as_of != other.inputs.book.as_of and one.inputs.book.is_option.any():
            return False  # time has passed
        if part == "positions" and any(
            not one.inputs.book.labels[name].equals(other.inputs.book.labels[name]) for name in ("account", "entity")
        ):
            return False
        pairs = ((one.book[part], other.book[part]), (one.market[part], other.market[part]))
        return all(
            array.shape == there[name].shape and np.array_equal(array, there[name], equal_nan=array.dtype.kind == "f")
            for here, there in pairs
            for name, array in here.items()
            if name not in _NO_MATTER
        )


def universe_of(earlier: Inputs, later: Inputs) -> Universe:
    """Put two nights on common labels: those of the later one first, then what only the earlier one has.

    Raises StoreError where their numeraires differ.
    """
    if earlier.book.numeraire != later.book.numeraire:
        raise StoreError(
            f"the nights count in {earlier.book.numeraire} and {later.book.numeraire}: they cannot be compared"
        )
    names = tuple({name: _names(one.book, name) for name in _DIMENSIONS} for one in (earlier, later))
    terms = tuple(dict(zip(_names(one.book, "instrument"), _terms(one.book), strict=True)) for one in (earlier, later))
    until = f" (until {format_as_of(earlier.book.as_of)})"
    names[0]["instrument"] = [
        name + until if name in terms[1] and terms[0][name] != terms[1][name] else name
        for name in names[0]["instrument"]
    ]
    labels = {name: tuple(dict.fromkeys((*names[1][name], *names[0][name]))) for name in _DIMENSIONS}
    at = {name: {label: n for n, label in enumerate(labels[name])} for name in _DIMENSIONS}
    places = [
        {name: np.array([at[name][one] for one in given[name]], np.int64) for name in _DIMENSIONS} for given in names
    ]
    raw = [_placed(one, place, labels) for one, place in zip((earlier, later), places, strict=True)]
    has = [{name: _mask(place[name], len(labels[name])) for name in _DIMENSIONS} for place in places]
    sides = []
    for n, inputs in enumerate((earlier, later)):
        own, other = raw[n], raw[1 - n]
        book = {part: _filled(own.book[part], other.book[part], own.along, has[n]) for part in PARTS}
        market = {part: _filled(own.market[part], other.market[part], own.along, has[n]) for part in PARTS}
        book["parameters"] |= _ladders(inputs.book, (earlier, later)[1 - n].book, places[n], places[1 - n], labels)
        book["positions"] = positions_on(inputs.book, places[n], len(labels["fund"]), book["positions"]["fund_asset"])
        _carry_prices(market["prices"], book["prices"], book["parameters"], other.market["prices"], has[n])
        rules = _rules((later, earlier)[n], inputs, (names[1 - n], names[n]), labels)
        sides.append(Side(inputs, book, market, rules, has[n], places[n]))
    return Universe(labels, (sides[0], sides[1]))


@dataclass(frozen=True)
class _Raw:
    """A night's arrays by part on the common labels, with holes, and the dimension each lies along."""

    book: Mapping[str, Arrays]
    market: Mapping[str, Arrays]
    along: Mapping[str, str]


def _placed(inputs: Inputs, place: Mapping[str, np.ndarray], labels: Mapping[str, Sequence[str]]) -> _Raw:
    sizes = {name: len(of) for name, of in labels.items()}
    book: dict[str, Arrays] = {part: {} for part in PARTS}
    market: dict[str, Arrays] = {part: {} for part in PARTS}
    along = {}
    for name, (part, dims) in _BOOK.items():
        book[part][name], along[name] = _spread(getattr(inputs.book, name), place, sizes, dims, name), dims
    for name, (target, dims, part) in _LABELLED.items():
        given = getattr(inputs.book, name)
        mapped = np.where(given >= 0, place[target][given] if len(place[target]) else given, -1).astype(given.dtype)
        book[part][name], along[name] = _spread(mapped, place, sizes, dims, name), dims
    for name, array in vars(inputs.market).items():
        if isinstance(array, np.ndarray):
            part, dims = _MARKET.get(name, ("volatility", "instrument"))
            market[part][name], along[name] = _spread(array, place, sizes, dims, name), dims
    return _Raw(book, market, along)


def _spread(
    values: np.ndarray, place: Mapping[str, np.ndarray], sizes: Mapping[str, int], dims: str, name: str
) -> np.ndarray:
    """Put an array on the common labels; what the night does not have is neutral."""
    kind = values.dtype.kind
    blank: Any = _NEUTRAL.get(name, np.nan) if kind == "f" else False if kind == "b" else -1
    first, _, second = dims.partition(" ")
    if second:
        made = np.full((sizes[first], sizes[second]), blank, dtype=values.dtype)
        made[np.ix_(place[first], place[second])] = values
    else:
        made = np.full((sizes[first], *values.shape[1:]), blank, dtype=values.dtype)
        made[place[first]] = values
    return made


def _filled(own: Arrays, other: Arrays, along: Mapping[str, str], has: Mapping[str, BoolArray]) -> Arrays:
    """Fill what one night does not have with the other's."""
    filled = {}
    for name, values in own.items():
        first, _, second = along[name].partition(" ")
        mask = has[first][:, None] & has[second][None, :] if second else has[first]
        if name == "venue_fund":
            mask = values >= 0
        mask = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
        filled[name] = np.ascontiguousarray(np.where(mask, values, other[name]).astype(values.dtype, copy=False))
    return filled


def _carry_prices(market: Arrays, book: Arrays, terms: Arrays, other: Arrays, has: Mapping[str, BoolArray]) -> None:
    """Let marks and forwards of contracts that a night does not have follow its own indices, at the other's basis."""
    lacks = ~has["instrument"]
    ratio = market["index_price"][terms["instrument_underlying"]] / market["index_price"][terms["instrument_quote"]]
    with np.errstate(invalid="ignore"):
        there = other["index_price"][terms["instrument_underlying"]] / other["index_price"][terms["instrument_quote"]]
    market["mark_price"] = np.where(lacks & ~np.isnan(market["basis"]), ratio * (1.0 + market["basis"]),
                                    market["mark_price"])  # fmt: skip
    market["option_forward"] = np.where(lacks & ~np.isnan(there), market["option_forward"] * ratio / there,
                                        market["option_forward"])  # fmt: skip
    book["mark_price"] = market["mark_price"]


def _ladders(
    own: Book, other: Book, place: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str]],
) -> Arrays:  # fmt: skip
    """Margin tiers by instrument and haircut bands by venue and asset, each whole from the night that has them."""
    n_assets = len(labels["asset"])
    tiers = ("tier_floor", "tier_initial_rate", "tier_maintenance_rate", "tier_deduction")
    bands = ("band_floor", "band_haircut")

    def cells(at: Mapping[str, np.ndarray]) -> np.ndarray:
        return (at["venue"][:, None] * n_assets + at["asset"][None, :]).ravel()

    made = {}
    for start, names, n, mine, theirs in (
        ("instrument_tier_start", tiers, len(labels["instrument"]), place["instrument"], there["instrument"]),
        ("collateral_band_start", bands, len(labels["venue"]) * n_assets, cells(place), cells(there)),
    ):
        which, row = np.zeros(n, np.int64), np.full(n, -1, np.int64)
        which[theirs], row[theirs] = 1, np.arange(len(theirs))
        which[mine], row[mine] = 0, np.arange(len(mine))
        starts = [np.asarray(getattr(one, start), np.int64) for one in (own, other)]
        base = len(getattr(own, names[0]))
        begin = np.zeros(n, np.int64)
        count = np.zeros(n, np.int64)
        for side, offset in ((0, 0), (1, base)):
            of = (which == side) & (row >= 0)
            begin[of] = starts[side][row[of]] + offset
            count[of] = np.diff(starts[side])[row[of]]
        made[start] = starts_of(count)
        members = np.repeat(begin - made[start][:-1], count) + np.arange(int(count.sum()))
        for name in names:
            made[name] = np.concatenate([getattr(own, name), getattr(other, name)])[members]
    return made


def starts_of(counts: np.ndarray) -> OffsetArray:
    """Where each group starts, from how many members each has."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _rules(
    other: Inputs, own: Inputs, names: Sequence[Mapping[str, Sequence[str]]], labels: Mapping[str, Sequence[str]]
) -> Rules:
    """Rules of every venue and contract: a night's own, the other's where it has none.

    `names` are the common labels of the other's contracts, and of the night's own.
    """
    venues = {one.venue: one for one in (*other.rules.venues, *own.rules.venues)}
    default, contracts = ContractRules(), {}
    for inputs, named in zip((other, own), names, strict=True):
        for label, original in zip(named["instrument"], _names(inputs.book, "instrument"), strict=True):
            contracts[label] = inputs.rules.contracts.get(original, default)
    return Rules(
        tuple(venues[name] for name in labels["venue"]),
        own.rules.index_impact,
        {label: rule for label, rule in sorted(contracts.items()) if rule != default},
    )


def _terms(book: Book) -> list[tuple[Any, ...]]:
    """What makes a contract that one: what it is on, how it pays, when it ends."""
    venue, asset = np.array(book.names("venue"), object), np.array(book.names("asset"), object)
    columns = [getattr(book, name).tolist() for name in _TERMS]
    columns[4] = [None if np.isnan(strike) else strike for strike in columns[4]]
    pointed = [venue[book.instrument_venue]] + [
        asset[getattr(book, f"instrument_{name}")] for name in ("underlying", "quote", "settlement")
    ]
    return list(zip(*columns, *(one.tolist() for one in pointed), strict=True))


def _names(book: Book, dimension: str) -> list[str]:
    return book.names(dimension)


def _mask(at: np.ndarray, n: int) -> BoolArray:
    mask = np.zeros(n, dtype=np.bool_)
    mask[at] = True
    return mask


def _strings(labels: Sequence[str]) -> Any:  # noqa: ANN401  a string array
    import pyarrow as pa

    return pa.array(list(labels), pa.string())
