"""Venue tables: what a venue's rules bring where a snapshot has nothing, and nothing else."""

import pytest
from support.snapshot_builder import rows, write_snapshot

from riskpipe.domain.findings import Reason
from riskpipe.errors import InputRefused
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot
from riskpipe.ingest.venue_tables import ContractTiers, VenueTables, completed

LADDER = ((0.0, 0.04, 0.02, None), (1e5, 0.1, 0.05, None))


def snapshot(tmp_path, *, without_schedule=(), **tables):
    own = rows()
    for row in own["instruments"]:
        if row["instrument_id"] in without_schedule:
            row["tier_schedule"] = None
    return read_snapshot(write_snapshot(tmp_path / "snapshot", instruments=own["instruments"], **tables))


def tiers_of(book, instrument):
    i = book.names("instrument").index(instrument)
    at = slice(*book.instrument_tier_start[[i, i + 1]])
    columns = (book.tier_floor, book.tier_initial_rate, book.tier_maintenance_rate, book.tier_deduction)
    return list(zip(*(column[at].tolist() for column in columns), strict=True))


def reasons(findings):
    return {(finding.where, finding.count) for finding in findings if finding.reason is Reason.VENUE_TABLE}


def test_an_instrument_without_a_schedule_takes_its_own_tiers_then_its_underlyings_then_the_default(tmp_path):
    table = {"BTC-PERP": ((0.0, 0.3, 0.2, None),), "BTC": LADDER, "*": ((0.0, 0.5, 0.4, None),)}
    venues = {"alpha": VenueTables(linear=ContractTiers(table))}
    book, findings = assemble([completed(snapshot(tmp_path, without_schedule=("BTC-PERP", "BTC-FUT")), venues)])
    assert tiers_of(book, "BTC-PERP") == [(0.0, 0.3, 0.2, 0.0)]
    assert tiers_of(book, "BTC-FUT") == [(0.0, 0.04, 0.02, 0.0), (1e5, 0.1, 0.05, pytest.approx(3000.0))]
    assert tiers_of(book, "BTC-INV") == [(0.0, 0.01, 0.005, 0.0)]
    assert reasons(findings) == {("margin_tiers", 2)}


def test_the_snapshots_own_tiers_win_except_over_final_ones(tmp_path):
    given = snapshot(tmp_path)
    book, findings = assemble([completed(given, {"alpha": VenueTables(linear=ContractTiers({"*": LADDER}))})])
    assert len(tiers_of(book, "BTC-PERP")) == 3
    assert reasons(findings) == set()
    final = VenueTables(linear=ContractTiers({"*": LADDER}, is_final=True))
    book, findings = assemble([completed(given, {"alpha": final, "beta": final})])
    assert len(tiers_of(book, "BTC-PERP")) == len(tiers_of(book, "BTC-FUT")) == 2
    assert len(tiers_of(book, "BTC-INV")) == 1, "an inverse contract does not follow rules of linear ones"
    assert reasons(findings) == {("margin_tiers", 2)}


def test_deductions_that_rules_give_are_kept(tmp_path):
    tiers = ((0.0, 0.04, 0.02, 0.0), (1e5, 0.1, 0.05, 0.0))
    venues = {"alpha": VenueTables(linear=ContractTiers({"BTC": tiers}))}
    book, _ = assemble([completed(snapshot(tmp_path, without_schedule=("BTC-PERP",)), venues)])
    assert [row[3] for row in tiers_of(book, "BTC-PERP")] == [0.0, 0.0]


def test_a_held_instrument_that_nobody_has_tiers_for_is_refused_as_before(tmp_path):
    given = snapshot(tmp_path, without_schedule=("BTC-INV",))
    with pytest.raises(InputRefused, match="tier_schedule"):
        assemble([completed(given, {"beta": VenueTables(linear=ContractTiers({"*": LADDER}))})])


def test_assets_without_bands_take_those_of_the_rules_on_venues_that_are_there(tmp_path):
    bands = {"USDT": [(0.0, 0.5)], "BTC": [(0.0, 0.1), (1e6, 1.0)]}
    venues = {name: VenueTables(collateral=bands) for name in ("alpha", "beta", "absent")}
    book, findings = assemble([completed(snapshot(tmp_path), venues)])
    own, assets = book.names("venue"), book.names("asset")

    def haircuts(venue, asset):
        row = own.index(venue) * book.n_assets + assets.index(asset)
        return book.band_haircut[slice(*book.collateral_band_start[[row, row + 1]])].tolist()

    assert haircuts("beta", "USDT") == [0.5]
    assert haircuts("alpha", "USDT") == [0.0]
    assert haircuts("beta", "BTC") == [0.0]
    assert reasons(findings) == {("collateral", 1)}


def test_loans_terms_fill_what_rows_leave_open_and_add_rows_where_there_are_none(tmp_path):
    own = rows()
    own["accounts"].append({"account_id": "l1", "venue": "beta", "kind": "lending"})
    own["balances"] += [
        {"account_id": "l1", "asset": "BTC", "quantity": 1.0},
        {"account_id": "l1", "asset": "USDT", "quantity": -100.0},
    ]
    given = read_snapshot(write_snapshot(tmp_path / "loans", accounts=own["accounts"], balances=own["balances"]))
    venues = {
        "beta": VenueTables(loans={"BTC": (0.8, 0.05), "*": (0.5, 0.1)}),
        "alpha": VenueTables(loans={"*": (0, 0)}),
    }
    book, findings = assemble([completed(given, venues)])
    at = (book.names("venue").index("beta"), book.names("asset").index("BTC"))
    assert (book.lending_threshold[at], book.lending_bonus[at]) == (0.8, 0.05)
    other = (at[0], book.names("asset").index("USDT"))
    assert (book.lending_threshold[other], book.lending_bonus[other]) == (0.5, 0.1)
    assert reasons(findings) == {("collateral", 2)}
