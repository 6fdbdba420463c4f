import numpy as np
import pytest
from support.snapshot_builder import rows, write_snapshot

from riskpipe.domain.findings import Reason
from riskpipe.errors import InputRefused
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot


def one_venue(venue):
    """Return the minimal snapshot's rows of one venue, as its own snapshot."""
    tables = rows()
    accounts = {row["account_id"] for row in tables["accounts"] if row["venue"] == venue}
    schedule = {"alpha": "t1", "beta": "t2"}[venue]
    instruments = {row["instrument_id"] for row in tables["instruments"] if row["venue"] == venue}
    return {
        "accounts": [row for row in tables["accounts"] if row["venue"] == venue],
        "balances": [row for row in tables["balances"] if row["account_id"] in accounts],
        "positions": [row for row in tables["positions"] if row["account_id"] in accounts],
        "instruments": [row for row in tables["instruments"] if row["venue"] == venue],
        "prices": [row for row in tables["prices"] if row.get("venue") in (None, venue)],
        "quotes": [row for row in tables["quotes"] if row["instrument_id"] in instruments],
        "depth": [row for row in tables["depth"] if row["instrument_id"] in instruments],
        "margin_tiers": [row for row in tables["margin_tiers"] if row["tier_schedule"] == schedule],
        "collateral": [row for row in tables["collateral"] if row["venue"] == venue],
        "insurance_funds": [row for row in tables["insurance_funds"] if row["venue"] == venue],
    }


def read(path, tables, **header):
    return read_snapshot(write_snapshot(path, header=header, **tables))


def test_venues_apart_join_to_the_same_book_as_together(tmp_path):
    together, _ = assemble([read(tmp_path / "both", rows())])
    parts = [read(tmp_path / venue, one_venue(venue)) for venue in ("alpha", "beta")]
    joined, findings = assemble(parts)
    assert not findings.items
    for name, array in together.arrays().items():
        assert array.tobytes() == joined.arrays()[name].tobytes(), name
    assert {name: together.names(name) for name in together.labels} == {
        name: joined.names(name) for name in joined.labels
    }


def test_an_owner_is_one_entity_on_all_venues(tmp_path):
    book, _ = assemble([read(tmp_path / venue, one_venue(venue)) for venue in ("alpha", "beta")])
    fund_x = book.names("entity").index("fund-x")
    members = book.entity_account[slice(*book.entity_account_start[fund_x : fund_x + 2])]
    assert [book.names("account")[a] for a in members] == ["a1", "b1"]


@pytest.mark.parametrize(
    ("move", "is_moved"), [(0.0, False), (0.9e-4, False), (-0.9e-4, False), (1.1e-4, True), (-1.1e-4, True)]
)
def test_a_venue_null_price_beyond_a_basis_point_becomes_the_later_venues_own(tmp_path, move, is_moved):
    later = one_venue("beta")
    for row in later["prices"]:
        if row["asset"] == "BTC":
            row["index_price"] *= 1 + move
    book, findings = assemble([read(tmp_path / "alpha", one_venue("alpha")), read(tmp_path / "beta", later)])
    assert book.index_price[0] == 50_000.0
    expected = [np.nan, 50_000.0 * (1 + move) if is_moved else np.nan]
    np.testing.assert_array_equal(book.venue_price[:, 0], expected)
    np.testing.assert_array_equal(book.venue_price[:, 1], [np.nan, 0.998])
    assert [finding.reason for finding in findings] == [Reason.VENUE_PRICE_DIFFERS] * is_moved


def test_a_venues_own_price_is_not_replaced_by_the_moved_one(tmp_path):
    later = one_venue("beta")
    next(row for row in later["prices"] if row["asset"] == "USDT" and "venue" not in row)["index_price"] = 0.99
    later["prices"].reverse()
    book, findings = assemble([read(tmp_path / "alpha", one_venue("alpha")), read(tmp_path / "beta", later)])
    np.testing.assert_array_equal(book.venue_price[:, 1], [np.nan, 0.998])
    assert book.index_price[1] == 0.999
    assert len(findings) == 1


def test_equal_prices_merge_and_fill_each_others_gaps(tmp_path):
    first, later = one_venue("alpha"), one_venue("beta")
    for row in first["prices"]:
        row["index_beta"] = row["depth_usd_1pct"] = None
    later["prices"].append({"asset": "ETH", "index_price": 2_500.0})
    book, findings = assemble([read(tmp_path / "alpha", first), read(tmp_path / "beta", later)])
    assert book.names("asset") == ["BTC", "USDT", "ETH", "USD"]
    assert book.index_beta[:2].tolist() == [1.0, 0.0]
    assert book.index_depth_usd_1pct[0] == 2e7
    assert not findings.items


def test_betas_that_differ_keep_the_first_with_a_finding(tmp_path):
    later = one_venue("beta")
    later["prices"][0]["index_beta"] = 1.5
    book, findings = assemble([read(tmp_path / "alpha", one_venue("alpha")), read(tmp_path / "beta", later)])
    assert book.index_beta[0] == 1.0
    (finding,) = findings
    assert finding.examples == ("BTC: index_beta 1.5, kept 1.0",)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("accounts", "account_id"),
        ("instruments", "instrument_id"),
        ("insurance_funds", "fund"),
        ("margin_tiers", "tier_schedule"),
        ("collateral", "venue"),
    ],
)
def test_an_id_in_two_snapshots_is_refused(tmp_path, table, column):
    first, later = one_venue("alpha"), one_venue("beta")
    if not later[table]:
        later[table] = [dict(first[table][0], venue="beta")]
    later[table][0][column] = first[table][0][column]
    with pytest.raises(InputRefused) as refusal:
        assemble([read(tmp_path / "alpha", first), read(tmp_path / "beta", later)])
    assert any(f"both hold {column} {first[table][0][column]!r}" in problem for problem in refusal.value.problems)


def test_another_instant_or_numeraire_is_refused_together_with_every_other_problem(tmp_path):
    later = one_venue("beta")
    later["quotes"][0]["mark_price"] = -1.0
    snapshots = [
        read(tmp_path / "alpha", one_venue("alpha")),
        read(tmp_path / "beta", later, as_of="2024-08-05T01:00:00Z", numeraire="EUR"),
    ]
    with pytest.raises(InputRefused) as refusal:
        assemble(snapshots)
    problems = refusal.value.problems
    assert "differ in as_of: 2024-08-05T00:00:00+00:00 and 2024-08-05T01:00:00+00:00" in problems[0]
    assert "differ in numeraire: 'USD' and 'EUR'" in problems[1]
    assert problems[-1].startswith(f"{tmp_path / 'beta'}: ")
    assert any("mark_price must be" in problem for problem in problems)
