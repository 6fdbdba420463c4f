import dataclasses
import json

import numpy as np
import pytest
from support.snapshot_builder import rows, write_snapshot

from riskpipe.domain.findings import Reason
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.controls import control_findings, control_totals, summary
from riskpipe.ingest.read import read_snapshot


@pytest.fixture
def book(tmp_path):
    return assemble([read_snapshot(write_snapshot(tmp_path))])[0]


def find(controls, name, subject):
    (control,) = [control for control in controls if (control.name, control.subject) == (name, subject)]
    return control


def test_long_and_short_contracts_are_weighted(book):
    control = find(control_totals(book), "long against short", "BTC-PERP")
    assert (control.value, control.expected, control.status) == (pytest.approx(3.0), 4.0, "differs")
    quantity = book.position_quantity.copy()
    quantity[0] = -3.0
    balanced = dataclasses.replace(book, position_quantity=quantity)
    assert find(control_totals(balanced), "long against short", "BTC-PERP").status == "ok"


def test_coverage_is_long_contracts_over_open_interest(book):
    control = find(control_totals(book), "open interest covered", "BTC-PERP")
    assert (control.value, control.status) == (pytest.approx(0.75), "differs")
    whole = dataclasses.replace(book, open_interest=np.array([3.0, 2.0, np.nan]))
    controls = control_totals(whole)
    assert find(controls, "open interest covered", "BTC-FUT").status == "ok"
    assert find(controls, "open interest covered", "BTC-INV").status == "not checked"


@pytest.mark.parametrize("name", ["reported equity", "reported maintenance margin"])
def test_what_was_not_measured_reads_not_checked(book, name):
    for venue in ("alpha", "beta"):
        assert find(control_totals(book), name, venue).status == "not checked"
    computed = np.ones(book.n_accounts)
    controls = control_totals(book, equity=computed, maintenance_margin=computed)
    assert find(controls, name, "alpha").status == "not checked"
    reported = dataclasses.replace(book, account_reported_equity=computed, account_reported_maintenance_margin=computed)
    assert find(control_totals(reported), name, "alpha").status == "not checked"
    assert find(control_totals(reported, equity=computed, maintenance_margin=computed), name, "alpha").status == "ok"


def test_reported_equity_agrees_within_a_basis_point_or_a_cent(book):
    reported = np.array([1e6, 5.0, np.nan, 1e6, 0.0])
    computed = np.array([1e6 * (1 + 0.99e-4), 5.009, 77.0, 1e6 * (1 + 1.01e-4), -0.009])
    controls = control_totals(dataclasses.replace(book, account_reported_equity=reported), equity=computed)
    alpha, beta = (find(controls, "reported equity", venue) for venue in ("alpha", "beta"))
    assert (alpha.status, alpha.value) == ("ok", 1.0)
    assert (beta.status, beta.value) == ("differs", 0.5)
    computed[1] = np.nan
    controls = control_totals(dataclasses.replace(book, account_reported_equity=reported), equity=computed)
    assert find(controls, "reported equity", "alpha").value == pytest.approx(1 / 11)


def test_the_share_of_unknown_owners_is_weighted(book):
    control = find(control_totals(book), "accounts without entity", "book")
    assert control.value == pytest.approx(12 / 14)
    assert control.status == "not checked"


def test_findings_name_what_differs_and_what_was_not_checked(book):
    found = {finding.reason: finding.count for finding in control_findings(control_totals(book))}
    assert found == {Reason.LONG_SHORT: 3, Reason.UNKNOWN_ENTITIES: 1, Reason.NOT_CHECKED: 6}


def test_the_summary_adds_up_over_venues(tmp_path):
    tables = rows()
    tables["accounts"].append({"account_id": "odd", "venue": "alpha", "kind": "nonsense"})
    book, findings = assemble([read_snapshot(write_snapshot(tmp_path, **tables))])
    whole = summary(book, findings)
    json.dumps(whole, allow_nan=False)
    assert whole["quarantined"] == {"bad_value": 1}
    for name in ("accounts", "positions", "gross_notional_usd", "debt_usd"):
        assert sum(venue[name] for venue in whole["venues"].values()) == pytest.approx(whole[name])
    gross = (4 * 50_010 + 2 * 50_300 + 10 * 0.3 * 50_010) * 0.999 + 100_000
    assert whole["gross_notional_usd"] == pytest.approx(gross)
    assert whole["debt_usd"] == pytest.approx(20_000 * 0.999)
    assert whole["venues"]["alpha"]["weighted_accounts"] == 12.0
