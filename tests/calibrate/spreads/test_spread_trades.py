"""Trading spreads at a book's quotes: pools, carry, gaps and what closes them, by books worked by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.books import AS_OF, book

from riskpipe.calibrate.spreads.crowding import crowding
from riskpipe.calibrate.spreads.pairs import SpreadKind, n_left_out, pairs_of
from riskpipe.calibrate.spreads.trades import TradeSettings, days_of, trades
from riskpipe.domain.book import InstrumentKind

DAY_US = 86_400_000_000
NOW_US = int(AS_OF.timestamp() * 1e6)
SETTINGS = TradeSettings(fee_rate=0.0005, financing_rate=0.0, holding_days=36.5, margin_rate=0.2)
P, F = InstrumentKind.PERPETUAL, InstrumentKind.FUTURE


def listed(**overrides):
    """BTC perpetuals at two venues, and two futures of 73 and 146 days at the first."""
    given = {
        "instrument_venue": np.array([0, 1, 0, 0], np.int32),
        "instrument_kind": np.array([P, P, F, F], np.int32),
        "instrument_underlying": np.zeros(4, np.int32),
        "instrument_expiry_us": np.array([-1, -1, NOW_US + 73 * DAY_US, NOW_US + 146 * DAY_US]),
        "instrument_tier_start": np.arange(5),
        "tier_floor": np.zeros(4),
        "tier_initial_rate": np.full(4, 0.05),
        "tier_maintenance_rate": np.array([0.01, 0.02, 0.03, 0.04]),
        "tier_deduction": np.zeros(4),
        "open_interest": np.array([9.0, 1.0, 1.0, 1.0]),
        "mark_price": np.array([50_050.0, 50_000.0, 51_000.0, 52_000.0]),
        "funding_rate": np.array([1e-4, -1e-4, np.nan, np.nan]),
        "funding_interval_hours": np.array([8.0, 4.0, np.nan, np.nan]),
        "collateral_band_start": np.zeros(2 * 4 + 1, np.int64),
        "index_price": np.array([50_000.0, 2_500.0, 1.0, 1.0]),
    }
    return book(instruments=("one", "two", "near", "far"), labels={"venue": ["alpha", "beta"]}, **(given | overrides))


def market_of(given_book, depth=1e8, index_depth=np.nan):
    underlying = given_book.index_price[given_book.instrument_underlying]
    basis = given_book.mark_price * given_book.index_price[given_book.instrument_quote] / underlying - 1.0
    n = given_book.n_instruments
    sides = {"depth_bid": np.full(n, depth), "depth_ask": np.full(n, depth)}
    return SimpleNamespace(basis=basis, index_depth=np.full(given_book.n_assets, index_depth), **sides)


def traded(given_book=None, fair=None, settings=SETTINGS, **market):
    given_book = given_book or listed()
    pairs = pairs_of(given_book)
    level = np.zeros(len(pairs)) if fair is None else np.array([fair.get(name, 0.0) for name in pairs.name])
    found = trades(given_book, market_of(given_book, **market), pairs, level, crowding(given_book), settings)
    return pairs, found, {name: row for row, name in enumerate(pairs.name)}


def test_quoted_spreads_carry_and_the_side_that_earns_it():
    pairs, found, row = traded()
    assert found.spread[row["one / index"]] == pytest.approx(0.001)
    assert found.spread[row["two / one"]] == pytest.approx(50_000.0 / 50_050.0 - 1.0)
    assert found.spread[row["far / near"]] == pytest.approx(52.0 / 51.0 - 1.0)
    # 1 bp in 8 h is 10.95% a year; fees of 4 x 5 bp over 36.5 days are 2%
    assert found.carry.gross[row["one / index"]] == pytest.approx(0.1095)
    assert found.carry.net[row["one / index"]] == pytest.approx(0.0895)
    assert found.side[row["one / index"]] == -1.0
    # shorts pay at the second venue: the trade is long there, against -1 bp in 4 h and +1 bp in 8 h at the first
    assert found.carry.gross[row["two / one"]] == pytest.approx(0.1095 + 0.219)
    assert found.side[row["two / one"]] == 1.0
    # 2% over 73 days are 10% a year, less 1% of fees
    assert found.carry.net[row["near / index"]] == pytest.approx(0.09)
    assert days_of(listed(), pairs)[row["far / near"]] == pytest.approx(73.0)


def test_legs_at_one_venue_share_a_pool_and_legs_at_two_do_not():
    _, found, row = traded()
    hedged = found.hedged
    at = row["far / near"]
    assert (hedged.unhedged_share[at], hedged.own_maintenance[at]) == (0.0, pytest.approx(0.07))
    assert hedged.own_buffer[at] == pytest.approx(0.4 - 0.07)
    assert np.isnan(hedged.other_buffer[at])
    at = row["two / one"]
    assert (hedged.unhedged_share[at], hedged.own_maintenance[at]) == (1.0, pytest.approx(0.02))
    assert (hedged.other_maintenance[at], hedged.other_buffer[at]) == (pytest.approx(0.01), pytest.approx(0.19))
    assert hedged.unhedged_share[row["one / index"]] == 1.0, "this venue takes no BTC as collateral"
    start = np.zeros(2 * 4 + 1, np.int64)
    start[1:] = 1
    taken = listed(collateral_band_start=start, band_floor=np.zeros(1), band_haircut=np.array([0.05]))
    _, found, row = traded(taken)
    assert found.hedged.unhedged_share[row["one / index"]] == pytest.approx(0.05)
    assert found.hedged.unhedged_share[row["two / index"]] == 1.0


def test_a_gap_is_closed_down_to_the_fees_by_both_books():
    free = TradeSettings(0.0, 0.0, 30.0, 0.2)
    _, found, row = traded(settings=free)
    at = row["two / one"]
    gap = 50_050.0 / 50_000.0 - 1.0
    assert found.gap[at] == pytest.approx(gap)
    assert found.closing_flow_usd[at] == pytest.approx(gap * 1e8 / (2.0 + gap))
    assert np.isnan(found.closing_flow_usd[row["one / index"]]), "the index has no known depth"
    _, deep, row = traded(settings=free, index_depth=1e8)
    assert deep.closing_flow_usd[row["one / index"]] == pytest.approx(gap * 1e8 / (2.0 + gap))
    _, dear, row = traded()
    assert dear.closing_flow_usd[row["two / one"]] == 0.0, "10 bp do not pay 20 bp of fees"
    _, fair, row = traded(settings=free, fair={"near / index": 0.02, "far / index": np.nan})
    assert fair.gap[row["near / index"]] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(fair.gap[row["far / index"]])
    assert np.isnan(fair.closing_flow_usd[row["far / index"]])


def test_what_is_not_quoted_is_not_known():
    _, found, row = traded(listed(funding_rate=np.full(4, np.nan)))
    assert np.isnan(found.carry.net[[row["one / index"], row["two / one"]]]).all()
    assert np.isfinite(found.carry.net[row["far / near"]]), "futures are not funded"


def test_pairs_grow_with_contracts_and_not_with_their_square_and_what_is_left_out_is_counted():
    n = 300
    many = book(
        instruments=tuple(f"p{i}" for i in range(n)),
        labels={"venue": [f"v{i}" for i in range(n)]},
        instrument_venue=np.arange(n, dtype=np.int32),
        instrument_underlying=np.zeros(n, np.int32),
        open_interest=np.arange(n, 0.0, -1.0),
        mark_price=np.full(n, 100.0),
    )
    pairs = pairs_of(many)
    n_across = len(pairs.of(SpreadKind.CROSS_VENUE))
    assert n_across == 6 + (n - 4)
    assert len(pairs) == n + n_across
    assert n_left_out(many, pairs) == n * (n - 1) // 2 - n_across
    assert n_left_out(listed(), pairs_of(listed())) == 0
    assert len(set(pairs.name)) == len(pairs)


def test_a_name_that_two_kinds_of_pair_would_share_carries_its_kind():
    given_book = book(
        instruments=("STETH", "ETH"),
        labels={"venue": ["alpha", "beta"], "asset": ["BTC", "ETH", "USDT", "STETH"]},
        instrument_venue=np.array([0, 1], np.int32),
        instrument_underlying=np.array([1, 1], np.int32),
        open_interest=np.array([1.0, 2.0]),
        mark_price=np.full(2, 2_500.0),
    )
    names = pairs_of(given_book).name
    assert {"STETH / ETH (cross_venue)", "STETH / ETH (asset_ratio)"} < set(names)
