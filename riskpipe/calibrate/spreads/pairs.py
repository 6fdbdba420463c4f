"""Pairs of prices in a book whose ratio should stay near its level: which spreads there are to watch."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import combinations, groupby, pairwise
from math import comb

import numpy as np

from riskpipe.domain.book import Book, FloatArray, InstrumentKind, IntArray

N_LARGEST = 4
OWN_INDEX = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# staked forms and wrappers -> what they are a claim on; where rewards accrue to the price the ratio drifts upwards
CLAIMS: Mapping[str, str] = {
    "STETH": "ETH", "WSTETH": "ETH", "RETH": "ETH", "CBETH": "ETH", "WBETH": "ETH", "BETH": "ETH", "WEETH": "ETH",
    "WETH": "ETH", "WBTC": "BTC", "CBBTC": "BTC", "JITOSOL": "SOL", "MSOL": "SOL", "BNSOL": "SOL",
}  # fmt: skip


class SpreadKind(StrEnum):
    """What the two prices of a spread are."""

    PERPETUAL_INDEX = "perpetual_index"
    FUTURE_INDEX = "future_index"
    CROSS_VENUE = "cross_venue"  # perpetuals, or futures of one expiry, at two venues
    CALENDAR = "calendar"  # futures of two expiries at one venue
    ASSET_RATIO = "asset_ratio"  # a claim over what it is a claim on


@dataclass(frozen=True)
class Pairs:
    """Pairs (n of them) as columns; the spread of a pair is price of the first / price of the second - 1.

    `first` and `second` are instruments, of an asset ratio assets; second is -1 where it is the first's own index.
    """

    kind: tuple[SpreadKind, ...]
    first: IntArray  # [n]
    second: IntArray  # [n]
    name: tuple[str, ...]

    def __len__(self) -> int:
        """Count pairs."""
        return len(self.kind)

    def of(self, *kinds: SpreadKind) -> IntArray:
        """Return the rows of these kinds, ascending."""
        return np.array([row for row, kind in enumerate(self.kind) if kind in kinds], dtype=np.int32)


def pairs_of(book: Book, *, claims: Mapping[str, str] = CLAIMS, n_largest: int = N_LARGEST) -> Pairs:
    """Return every spread that the book's own instruments and assets make.

    Arguments
    ---------
    book: options and futures that have expired by `as_of` are left aside.
    claims: names of assets and of what each is a claim on; case does not matter.
    n_largest: perpetuals of one underlying at several venues (and futures of one expiry) make a number of pairs that
        grows with its square. The n_largest by open interest are all paired with each other, the smaller over the
        larger one; each one beyond them only with the largest at another venue. Unknown open interest counts as none.

    Order: instruments against their index by instrument; then across venues and calendar by underlying; then assets.
    Names are unique: one that two kinds of pair would share carries its kind.
    """
    instruments, assets = book.names("instrument"), book.names("asset")
    rows: list[tuple[SpreadKind, int, int, str]] = []
    live = _live(book)
    for i in live:
        is_perpetual = book.instrument_kind[i] == InstrumentKind.PERPETUAL
        kind = SpreadKind.PERPETUAL_INDEX if is_perpetual else SpreadKind.FUTURE_INDEX
        rows.append((kind, i, OWN_INDEX, f"{instruments[i]} / index"))
    for far, near in [*_across_venues(book, live, n_largest), *_calendars(book, live)]:
        is_one_venue = book.instrument_venue[far] == book.instrument_venue[near]
        kind = SpreadKind.CALENDAR if is_one_venue else SpreadKind.CROSS_VENUE
        rows.append((kind, far, near, f"{instruments[far]} / {instruments[near]}"))
    place = {name.casefold(): c for c, name in enumerate(assets)}
    for claim, base in sorted((claim.casefold(), base.casefold()) for claim, base in claims.items()):
        if claim in place and base in place:
            c, d = place[claim], place[base]
            rows.append((SpreadKind.ASSET_RATIO, c, d, f"{assets[c]} / {assets[d]}"))
    taken = Counter(row[3] for row in rows)
    return Pairs(
        tuple(row[0] for row in rows),
        np.array([row[1] for row in rows], dtype=np.int32),
        np.array([row[2] for row in rows], dtype=np.int32),
        tuple(row[3] if taken[row[3]] == 1 else f"{row[3]} ({row[0]})" for row in rows),
    )


def n_left_out(book: Book, pairs: Pairs) -> int:
    """Count the pairs across venues that are not made, for each one beyond the largest has one partner only."""
    live = np.array(_live(book), dtype=np.int64)
    things = [_thing(book, int(i)) for i in live]
    by_thing, by_venue = Counter(things), Counter(zip(things, book.instrument_venue[live].tolist(), strict=True))
    n_possible = sum(comb(n, 2) for n in by_thing.values()) - sum(comb(n, 2) for n in by_venue.values())
    return n_possible - len(pairs.of(SpreadKind.CROSS_VENUE))


def _live(book: Book) -> list[int]:
    as_of_us = (book.as_of - _EPOCH) // timedelta(microseconds=1)
    is_live = (book.instrument_expiry_us < 0) | (book.instrument_expiry_us > as_of_us)
    return [int(i) for i in np.flatnonzero(is_live & ~book.is_option)]


def open_interest_usd(book: Book) -> FloatArray:
    """Return each instrument's open interest in USD at its mark, [i]; NaN where open interest is not given."""
    quote = book.index_price[book.instrument_quote]
    price = np.where(book.instrument_is_inverse, 1.0, book.mark_price)
    return np.asarray(book.open_interest * book.instrument_multiplier * price * quote)


def _across_venues(book: Book, live: Sequence[int], n_largest: int) -> Iterator[tuple[int, int]]:
    """Give (smaller, larger) of contracts on one underlying with one expiry, or none, at different venues."""
    size = np.nan_to_num(open_interest_usd(book))

    ordered = sorted(live, key=lambda i: (*_thing(book, i), -size[i], i))
    for _, members in groupby(ordered, key=lambda i: _thing(book, i)):
        by_size = list(members)
        venue = book.instrument_venue
        for larger, smaller in combinations(by_size[:n_largest], 2):
            if venue[larger] != venue[smaller]:
                yield smaller, larger
        for smaller in by_size[n_largest:]:
            others = (larger for larger in by_size if venue[larger] != venue[smaller] and larger != smaller)
            if (hub := next(others, None)) is not None:
                yield smaller, hub


def _thing(book: Book, i: int) -> tuple[int, int, int]:
    """What a contract is wherever it is listed: underlying, kind, expiry."""
    return int(book.instrument_underlying[i]), int(book.instrument_kind[i]), int(book.instrument_expiry_us[i])


def _calendars(book: Book, live: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give (far, near) of futures with neighbouring expiries and otherwise equal terms."""

    def terms(i: int) -> tuple[int, ...]:
        columns = (book.instrument_underlying, book.instrument_venue, book.instrument_quote, book.instrument_settlement)
        return tuple(int(column[i]) for column in columns)

    futures = [i for i in live if book.instrument_kind[i] == InstrumentKind.FUTURE]
    ordered = sorted(futures, key=lambda i: (*terms(i), int(book.instrument_expiry_us[i]), i))
    for _, members in groupby(ordered, key=terms):
        for near, far in pairwise(members):
            if book.instrument_expiry_us[far] > book.instrument_expiry_us[near]:
                yield far, near
