"""Every kind of bad input: what it refuses, what it quarantines, what it drops."""

import math

import pyarrow as pa
import pytest
from support.snapshot_builder import arrow_table, assembled, instrument, problems_of, rows, scaled_account

from riskpipe.domain.findings import Reason

NAN, INF = math.nan, math.inf


def change(tables, name, where, **values):
    """Change the rows of a table that match `where`."""
    matched = [row for row in tables[name] if all(row.get(key) == value for key, value in where.items())]
    assert matched, (name, where)
    for row in matched:
        row.update(values)
    return tables


# --- refused ---------------------------------------------------------------------------------------------------------

PERP = {"instrument_id": "BTC-PERP"}
REFUSED = {
    "mark NaN": ("quotes", PERP, {"mark_price": NAN}, "quotes: mark_price must be a finite number above 0"),
    "mark infinite": ("quotes", PERP, {"mark_price": INF}, "quotes: mark_price must be"),
    "mark missing": ("quotes", PERP, {"mark_price": None}, "quotes: mark_price must be"),
    "mark zero": ("quotes", PERP, {"mark_price": 0.0}, "quotes: mark_price must be"),
    "quote absent": ("quotes", PERP, {"instrument_id": "X"}, "held instruments have no row in quotes"),
    "depth negative": ("quotes", PERP, {"depth_usd_1pct": -1.0}, "quotes: depth_usd_1pct must be"),
    "depth by no route": ("quotes", PERP, {"depth_usd_1pct": None}, "no depth by any route"),
    "depth NaN": ("quotes", PERP, {"depth_usd_1pct": NAN}, "no depth by any route"),
    "volume zero": ("quotes", {"instrument_id": "BTC-FUT"}, {"adv_usd": 0.0}, "no depth by any route"),
    "one side of depth": ("depth", {"side": "ask"}, {"cumulative_usd": None}, "no depth by any route"),
    "table depth zero": ("depth", {"distance_bps": 50.0}, {"cumulative_usd": 0.0}, "depth: cumulative_usd must be"),
    "side unknown": ("depth", {"side": "ask"}, {"side": "offer"}, "depth: side must be one of 'bid', 'ask'"),
    "index NaN": ("prices", {"asset": "BTC"}, {"index_price": NAN}, "prices: index_price must be"),
    "index negative": ("prices", {"asset": "BTC"}, {"index_price": -1.0}, "prices: index_price must be"),
    "index depth": ("prices", {"asset": "BTC"}, {"depth_usd_1pct": -1.0}, "prices: depth_usd_1pct must be"),
    "index beta": ("prices", {"asset": "BTC"}, {"index_beta": INF}, "prices: index_beta must be"),
    "own price of a held balance": ("prices", {"venue": "beta"}, {"index_price": NAN}, "prices: index_price must be"),
    "only a venue's price": ("prices", {"asset": "BTC"}, {"venue": "alpha"}, "asset 'BTC' has no venue-null"),
    "fund in an unpriced asset": ("insurance_funds", {}, {"asset": "WAX"}, "asset 'WAX' has no venue-null"),
    "fund NaN": ("insurance_funds", {}, {"balance": NAN}, "insurance_funds: balance must be"),
    "fund named after another venue": ("insurance_funds", {}, {"fund": "beta"}, "has the name of venue 'beta'"),
    "unlisted fund": ("instruments", PERP, {"fund": "nobody"}, "instruments: fund must be"),
    "future without expiry": ("instruments", {"kind": "future"}, {"expiry": None}, "instruments: expiry must be"),
    "expired": ("instruments", {"kind": "future"}, {"expiry": "2024-08-05T00:00:00Z"}, "later than as_of"),
    "kind unknown": ("instruments", PERP, {"kind": "swap"}, "instruments: kind must be one of"),
    "inverse in dollars": (
        "instruments",
        {"is_inverse": True},
        {"settlement_asset": "USDT"},
        "settlement_asset must be",
    ),
    "no schedule": ("instruments", PERP, {"tier_schedule": None}, "instruments: tier_schedule must be given"),
    "unknown schedule": ("instruments", PERP, {"tier_schedule": "t9"}, "must be a schedule of margin_tiers"),
    "multiplier": ("instruments", PERP, {"multiplier": 0.0}, "instruments: multiplier must be"),
    "floors do not start at 0": ("margin_tiers", {"tier_schedule": "t2"}, {"floor": 5.0}, "first floor of each"),
    "floors out of order": ("margin_tiers", {"floor": 250_000.0}, {"floor": 40_000.0}, "floor must rise strictly"),
    "maintenance falls": (
        "margin_tiers",
        {"floor": 250_000.0},
        {"maintenance_rate": 0.001},
        "maintenance_rate must not fall",
    ),
    "initial falls": ("margin_tiers", {"floor": 250_000.0}, {"initial_rate": 0.04}, "initial_rate must not fall"),
    "maintenance above initial": (
        "margin_tiers",
        {"tier_schedule": "t2"},
        {"maintenance_rate": 0.02},
        "must not exceed",
    ),
    "rate NaN": ("margin_tiers", {"tier_schedule": "t2"}, {"initial_rate": NAN}, "initial_rate must be a fraction"),
    "rate above 1": ("margin_tiers", {"tier_schedule": "t2"}, {"initial_rate": 1.5}, "initial_rate must be a fraction"),
    "haircut above 1": ("collateral", {"floor_usd": 1e6}, {"haircut": 1.2}, "collateral: haircut must be a fraction"),
    "bands do not start at 0": ("collateral", {"asset": "USDT"}, {"floor_usd": 1.0}, "first floor_usd of each"),
    "borrow rates differ": ("collateral", {"asset": "BTC", "venue": "alpha"}, {}, "borrow_maintenance_rate differs"),
    "numeraire not 1": ("prices", {"venue": "beta"}, {"venue": None, "asset": "USD"}, "numeraire 'USD' is worth 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_market_row_that_something_held_needs_must_be_right(tmp_path, case):
    name, where, values, expected = REFUSED[case]
    tables = change(rows(), name, where, **values)
    if case == "borrow rates differ":
        for rate, row in zip((0.1, 0.2), tables["collateral"][1:3], strict=True):
            row["borrow_maintenance_rate"] = rate
    problems = problems_of(tmp_path, tables)
    assert any(expected in problem for problem in problems), problems


def test_a_debt_needs_a_price_for_every_venue(tmp_path):
    tables = rows()
    tables["collateral"].append({"venue": "alpha", "asset": "ETH", "floor_usd": 0.0, "haircut": 0.1})
    tables["prices"].append({"asset": "ETH", "venue": "alpha", "index_price": 2_500.0})
    tables["balances"].append({"account_id": "a3", "asset": "ETH", "quantity": -0.01})
    (problem,) = problems_of(tmp_path, tables)
    assert "asset 'ETH' has no venue-null index_price, which a debt needs" in problem


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("accounts", "account_id"),
        ("instruments", "instrument_id"),
        ("prices", "asset, venue"),
        ("quotes", "instrument_id"),
        ("depth", "instrument_id, side, distance_bps"),
        ("margin_tiers", "tier_schedule, floor"),
        ("collateral", "venue, asset, floor_usd"),
        ("insurance_funds", "fund"),
    ],
)
def test_a_duplicate_key_is_refused(tmp_path, name, key):
    tables = rows()
    tables[name].append(dict(tables[name][0]))
    assert any(f"{name}: duplicate key ({key})" in problem for problem in problems_of(tmp_path, tables))


def test_an_empty_book_is_refused(tmp_path):
    tables = rows() | {"accounts": [], "balances": [], "positions": []}
    assert "the book is empty" in problems_of(tmp_path, tables)[0]
    tables = change(rows(), "accounts", {}, weight=-1.0)
    assert "all 5 accounts are quarantined" in problems_of(tmp_path, tables, max_quarantined_share=1.0)[0]


def test_all_problems_of_all_tables_are_listed_at_once(tmp_path):
    tables = rows()
    for case in ("mark NaN", "index depth", "expired", "rate above 1", "haircut above 1", "fund NaN"):
        name, where, values, _ = REFUSED[case]
        change(tables, name, where, **values)
    tables["accounts"].append(dict(tables["accounts"][0]))
    assert len(problems_of(tmp_path, tables)) == 7


# --- quarantined -----------------------------------------------------------------------------------------------------

QUARANTINED = {
    "quantity NaN": ("positions", {"account_id": "a2"}, {"quantity": NAN}, Reason.BAD_VALUE),
    "quantity infinite": ("positions", {"account_id": "a2"}, {"quantity": -INF}, Reason.BAD_VALUE),
    "quantity null": ("positions", {"account_id": "a2"}, {"quantity": None}, Reason.BAD_VALUE),
    "entry zero": ("positions", {"account_id": "a2"}, {"entry_price": 0.0}, Reason.BAD_VALUE),
    "entry NaN": ("positions", {"account_id": "a2"}, {"entry_price": NAN}, Reason.BAD_VALUE),
    "isolated margin NaN": ("positions", {"account_id": "a2"}, {"isolated_margin": NAN}, Reason.BAD_VALUE),
    "isolated margin negative": ("positions", {"account_id": "a2"}, {"isolated_margin": -1.0}, Reason.BAD_VALUE),
    "balance NaN": ("balances", {"account_id": "a2"}, {"quantity": NAN}, Reason.BAD_VALUE),
    "weight zero": ("accounts", {"account_id": "a2"}, {"weight": 0.0}, Reason.BAD_VALUE),
    "weight NaN": ("accounts", {"account_id": "a2"}, {"weight": NAN}, Reason.BAD_VALUE),
    "kind unknown": ("accounts", {"account_id": "a2"}, {"kind": "pension"}, Reason.BAD_VALUE),
    "kind null": ("accounts", {"account_id": "a2"}, {"kind": None}, Reason.BAD_VALUE),
    "venue null": ("accounts", {"account_id": "a2"}, {"venue": None}, Reason.BAD_VALUE),
    "mode unknown": ("accounts", {"account_id": "a2"}, {"margin_mode": "vibes"}, Reason.BAD_VALUE),
    "option": ("positions", {"account_id": "a2"}, {"instrument_id": "BTC-CALL"}, Reason.UNSUPPORTED),
    "unknown instrument": ("positions", {"account_id": "a2"}, {"instrument_id": "DOGE"}, Reason.UNKNOWN_INSTRUMENT),
    "null instrument": ("positions", {"account_id": "a2"}, {"instrument_id": None}, Reason.UNKNOWN_INSTRUMENT),
    "unknown asset": ("balances", {"account_id": "a2"}, {"asset": "SHELLS"}, Reason.UNKNOWN_ASSET),
    "other venue": ("positions", {"account_id": "a2"}, {"instrument_id": "BTC-INV"}, Reason.OTHER_VENUE),
}


@pytest.mark.parametrize("case", QUARANTINED)
def test_a_bad_row_takes_every_row_of_its_account(tmp_path, case):
    name, where, values, reason = QUARANTINED[case]
    tables = scaled_account(rows(), 300)
    tables["instruments"].append(
        instrument("BTC-CALL", "alpha", kind="option", strike=6e4, expiry="2024-09-27T08:00:00Z")
    )
    change(tables, name, where, **values)
    book, findings = assembled(tmp_path, tables)
    assert "a2" not in book.names("account")
    without = rows()
    for table in ("accounts", "balances", "positions"):
        without[table] = [row for row in without[table] if row["account_id"] != "a2"]
    clean, _ = assembled(tmp_path / "clean", scaled_account(without, 300))
    for field, array in clean.arrays().items():
        assert array.tobytes() == book.arrays()[field].tobytes(), field
    (finding,) = [found for found in findings if found.where == name]
    assert (finding.reason, finding.count) == (reason, 1)
    assert "with 2 positions and 1 balances" in finding.message
    assert finding.examples


def test_an_account_is_counted_once_under_its_first_reason(tmp_path):
    tables = scaled_account(rows(), 300)
    change(tables, "accounts", {"account_id": "a2"}, weight=-1.0, margin_mode="portfolio")
    change(tables, "positions", {"account_id": "a2"}, quantity=NAN, instrument_id="DOGE")
    _, findings = assembled(tmp_path, tables)
    assert [(finding.reason, finding.count) for finding in findings] == [(Reason.BAD_VALUE, 1)]


def test_rows_of_unknown_accounts_are_left_out_and_counted_by_row(tmp_path):
    tables = scaled_account(rows(), 60)
    tables["balances"] += [{"account_id": name, "asset": "USDT", "quantity": 1.0} for name in ("ghost", "ghost", None)]
    tables["positions"].append(
        {"account_id": "ghost", "instrument_id": "BTC-PERP", "quantity": 1.0, "entry_price": 5e4}
    )
    book, findings = assembled(tmp_path, tables)
    clean, _ = assembled(tmp_path / "clean", scaled_account(rows(), 60))
    assert book.slot_quantity.tolist() == clean.slot_quantity.tolist()
    assert [(finding.reason, finding.where, finding.count) for finding in findings] == [
        (Reason.UNKNOWN_ACCOUNT, "balances", 3),
        (Reason.UNKNOWN_ACCOUNT, "positions", 1),
    ]


def test_positions_of_quantity_zero_stay(tmp_path):
    tables = change(rows(), "positions", {"instrument_id": "BTC-FUT"}, quantity=0.0)
    book, findings = assembled(tmp_path, tables)
    assert book.n_positions == 5
    assert not findings.items


def test_more_than_the_allowed_share_of_gross_notional_refuses(tmp_path):
    tables = change(rows(), "accounts", {"account_id": "b1"}, weight=-1.0)
    gross = 4 * 50_010 * 0.999 + 2 * 50_300 * 0.999 + 10 * 0.3 * 50_010 * 0.999 + 1_000 * 100 + 20_000 * 0.999
    share = 100_000 / gross
    (problem,) = problems_of(tmp_path, tables)
    assert f"{share:.2%} of the snapshot is quarantined" in problem
    assert "weight must be a finite number above 0" in problem
    assert assembled(tmp_path, tables, max_quarantined_share=share + 1e-9)[0].n_accounts == 4
    assert problems_of(tmp_path, tables, max_quarantined_share=share - 1e-9)


def test_bad_rows_cannot_hide_their_own_size(tmp_path):
    tables = change(rows(), "positions", {"account_id": "a1"}, quantity=NAN)
    (problem,) = problems_of(tmp_path, tables)
    assert "of the snapshot is quarantined" in problem


def test_without_notional_the_share_is_of_accounts(tmp_path):
    tables = rows() | {"positions": []}
    tables["balances"] = [row for row in tables["balances"] if row["account_id"] != "a3"]
    change(tables, "accounts", {"account_id": "b2"}, weight=-1.0)
    assert "1 of 5 accounts" in problems_of(tmp_path, tables, max_quarantined_share=0.19)[0]
    assert assembled(tmp_path, tables, max_quarantined_share=0.2)[0].n_accounts == 4


# --- dropped ---------------------------------------------------------------------------------------------------------


def test_bad_market_rows_nobody_needs_are_dropped_with_a_finding(tmp_path):
    tables = rows()
    tables["prices"] += [
        {"asset": "SHIB", "index_price": NAN},
        {"asset": "LUNA", "index_price": 1.0, "depth_usd_1pct": -1.0},
        {"asset": "BTC", "venue": "beta", "index_price": 50_001.0, "depth_usd_1pct": 1.0},
        {"asset": "BTC", "venue": "gamma", "index_price": -1.0},
        {"asset": None, "index_price": 1.0},
    ]
    tables["instruments"] += [
        instrument("UNQUOTED", "alpha"),
        instrument("BADLY-QUOTED", "alpha"),
        instrument("EXPIRED", "alpha", kind="future", expiry="2024-01-01T00:00:00Z"),
        instrument("UNPRICED", "alpha", underlying="SHIB"),
        instrument("BADLY-PRICED", "alpha", underlying="LUNA"),
        instrument("SOUND", "alpha"),
        instrument("PUT", "alpha", kind="option"),
        instrument(None, "alpha"),
    ]
    tables["quotes"] += [
        {"instrument_id": name, "mark_price": price}
        for name, price in [
            ("BADLY-QUOTED", NAN),
            ("EXPIRED", 1.0),
            ("UNPRICED", 1.0),
            ("BADLY-PRICED", 1.0),
            ("SOUND", 5e4),
            ("GONE", 1.0),
            ("PUT", 0.1),
        ]
    ]
    tables["depth"] += [
        {"instrument_id": name, "side": "bid", "distance_bps": bps, "cumulative_usd": 1.0}
        for name, bps in [("SOUND", -5.0), ("GONE", 5.0)]
    ]
    tables["collateral"] += [
        {"venue": None, "asset": "BTC", "floor_usd": 0.0, "haircut": 0.0},
        {"venue": "alpha", "asset": "SHIB", "floor_usd": 0.0, "haircut": 0.5},
    ]
    tables["margin_tiers"].append({"tier_schedule": None, "floor": -1.0, "initial_rate": 0.1, "maintenance_rate": 0.1})
    book, findings = assembled(tmp_path, tables)
    assert book.names("instrument") == ["BTC-PERP", "BTC-FUT", "BTC-INV", "SOUND"]
    assert book.names("asset") == ["BTC", "USDT", "USD"]
    counts = {}
    for finding in findings:
        key = (finding.reason, finding.where)
        counts[key] = counts.get(key, 0) + finding.count
    assert counts == {
        (Reason.UNUSED_MARKET_ROW, "prices"): 4,
        (Reason.UNUSED_MARKET_ROW, "instruments"): 7,
        (Reason.UNUSED_MARKET_ROW, "quotes"): 2,
        (Reason.UNUSED_MARKET_ROW, "depth"): 2,
        (Reason.UNUSED_MARKET_ROW, "collateral"): 2,
        (Reason.UNUSED_MARKET_ROW, "margin_tiers"): 1,
    }


def test_nan_in_an_optional_market_number_means_not_given(tmp_path):
    table = arrow_table("quotes", rows()["quotes"])
    spelled = [
        column if column.type != pa.float64() else pa.chunked_array([pa.array(column.to_numpy(), from_pandas=False)])
        for column in table.columns
    ]
    book, findings = assembled(tmp_path, {"quotes": pa.table(spelled, names=table.column_names)})
    plain, _ = assembled(tmp_path / "plain", {})
    assert book.arrays()["adv_usd"].tobytes() == plain.arrays()["adv_usd"].tobytes()
    assert not findings.items


def test_a_quote_later_than_as_of_is_a_finding(tmp_path):
    tables = change(rows(), "quotes", PERP, price_time="2024-08-05T00:00:01Z")
    _, findings = assembled(tmp_path, tables)
    assert [finding.reason for finding in findings] == [Reason.LATER_THAN_AS_OF]


def test_a_time_beyond_any_calendar_is_still_named(tmp_path):
    table = arrow_table("instruments", rows()["instruments"])
    never = pa.array([None, -(2**62), None], pa.int64()).cast(table.schema.field("expiry").type)
    problems = problems_of(
        tmp_path, {"instruments": table.set_column(table.schema.get_field_index("expiry"), "expiry", never)}
    )
    assert any("later than as_of" in problem and "BTC-FUT" in problem for problem in problems)
