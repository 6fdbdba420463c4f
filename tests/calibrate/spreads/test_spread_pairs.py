"""Pairs: which spreads a book's contracts and assets make."""

import numpy as np
import pytest
from support.books import AS_OF, book

from riskpipe.calibrate.spreads.pairs import OWN_INDEX, SpreadKind, open_interest_usd, pairs_of
from riskpipe.domain.book import InstrumentKind

US = 1_000_000
DAY = 86_400 * US
NOW = int(AS_OF.timestamp()) * US


def listed(rows, **overrides):
    """Book of contracts as (name, venue, kind, underlying, days to expiry or None, open interest in contracts)."""
    names, venues, kinds, underlyings, days, interest = zip(*rows, strict=True)
    n = len(rows)
    labels = {"venue": [f"venue{v}" for v in range(max(venues) + 1)], **overrides.pop("labels", {})}
    return book(
        instruments=names,
        labels=labels,
        instrument_venue=np.array(venues, np.int32),
        instrument_kind=np.array(kinds, np.int32),
        instrument_underlying=np.array(underlyings, np.int32),
        instrument_expiry_us=np.array([-1 if d is None else NOW + int(d * DAY) for d in days], np.int64),
        open_interest=np.array(interest, dtype=float),
        mark_price=np.full(n, 100.0),
        **overrides,
    )


P, F, O = InstrumentKind.PERPETUAL, InstrumentKind.FUTURE, InstrumentKind.OPTION


def of_kind(pairs, kind):
    return {pairs.name[row] for row in pairs.of(kind)}


def test_every_contract_but_options_and_what_has_expired_is_paired_with_its_index():
    found = pairs_of(listed([("p", 0, P, 0, None, 1), ("f", 0, F, 0, 30, 1), ("gone", 0, F, 0, 0, 1),
                             ("o", 0, O, 0, 30, 1)]))  # fmt: skip
    assert of_kind(found, SpreadKind.PERPETUAL_INDEX) == {"p / index"}
    assert of_kind(found, SpreadKind.FUTURE_INDEX) == {"f / index"}
    assert len(found) == 2
    assert (found.second == OWN_INDEX).all()


def test_across_venues_the_smaller_is_over_the_larger_of_one_underlying_and_expiry():
    found = pairs_of(
        listed(
            [("a", 0, P, 0, None, 5), ("b", 1, P, 0, None, 9), ("other", 1, P, 1, None, 9), ("same", 0, P, 0, None, 1),
             ("fa", 0, F, 0, 30, 2), ("fb", 1, F, 0, 30, 1), ("fc", 1, F, 0, 60, 1)]
        )
    )  # fmt: skip
    assert of_kind(found, SpreadKind.CROSS_VENUE) == {"a / b", "same / b", "fb / fa"}
    assert of_kind(found, SpreadKind.CALENDAR) == {"fc / fb"}


def test_calendars_join_neighbouring_expiries_of_equal_terms_at_one_venue():
    rows = [
        ("june", 0, F, 0, 90, 1),
        ("march", 0, F, 0, 10, 1),
        ("december", 0, F, 0, 270, 1),
        ("coin", 0, F, 0, 90, 1),
    ]
    settlement = np.array([2, 2, 2, 0], np.int32)
    found = pairs_of(listed(rows, instrument_settlement=settlement))
    assert of_kind(found, SpreadKind.CALENDAR) == {"june / march", "december / june"}


@pytest.mark.parametrize("n", [1, 2, 3, 9, 20])
def test_pairs_across_many_venues_grow_with_their_number_and_not_its_square(n):
    rows = [(f"p{v}", v, P, 0, None, 100 - v) for v in range(n)]
    found = of_kind(pairs_of(listed(rows), n_largest=3), SpreadKind.CROSS_VENUE)
    largest = min(n, 3)
    assert len(found) == largest * (largest - 1) // 2 + max(0, n - 3)
    assert {f"p{v} / p0" for v in range(1, n)} <= found
    everything = of_kind(pairs_of(listed(rows), n_largest=n), SpreadKind.CROSS_VENUE)
    assert len(everything) == n * (n - 1) // 2


def test_claims_are_paired_with_their_base_whatever_the_case():
    names = {"asset": ["BTC", "stETH", "USDT", "eth"]}
    found = pairs_of(book(labels=names))
    row = found.of(SpreadKind.ASSET_RATIO)
    assert [found.name[at] for at in row] == ["stETH / eth"]
    assert (found.first[row].tolist(), found.second[row].tolist()) == ([1], [3])


def test_open_interest_is_in_usd_for_linear_and_inverse_contracts():
    two = book(
        open_interest=np.array([10.0, 300.0]),
        instrument_multiplier=np.array([0.5, 100.0]),
        instrument_is_inverse=np.array([False, True]),
        mark_price=np.array([50_000.0, 2_500.0]),
        index_price=np.array([50_000.0, 2_500.0, 0.999, 1.0]),
        instrument_quote=np.array([2, 3], np.int32),
    )
    np.testing.assert_allclose(open_interest_usd(two), [10 * 0.5 * 50_000 * 0.999, 300 * 100.0])


def test_order_does_not_depend_on_how_the_book_lists_them():
    rows = [("a", 0, P, 0, None, 5), ("b", 1, P, 0, None, 9), ("c", 1, F, 0, 30, 2), ("d", 1, F, 0, 90, 2)]
    forwards, backwards = pairs_of(listed(rows)), pairs_of(listed(rows[::-1]))
    assert set(forwards.name) == set(backwards.name)
