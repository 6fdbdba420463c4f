"""Wiring: venues' rules in force at a night's instant, as the plain values that rooms take."""

from datetime import UTC, datetime

import pytest
from strategies import market_of
from support.snapshot_builder import rows, write_snapshot

from riskpipe.config import load, resolve, shipped
from riskpipe.domain.findings import Reason
from riskpipe.domain.rules import ContractRules
from riskpipe.errors import ConfigError, InputRefused
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot
from riskpipe.liquidation.reference import Reference
from riskpipe.margin.model import Holding
from riskpipe.margin.scan_parameters import scan_model
from riskpipe.run.inputs import rules_as_json, rules_from_json
from riskpipe.run.wiring import rules_of, scenarios_of, tables_of

AS_OF = datetime(2024, 8, 5, tzinfo=UTC)


def night(tmp_path, as_of=AS_OF, **venues):
    """Return the book of a snapshot without any tiers, and its rules, as a night's first stage makes them."""
    config = resolve({"snapshot": "x", "store": "y", "venues": venues}, subject="test")
    own = rows()["instruments"]
    instruments = [
        row | {"tier_schedule": None, "expiry": row.get("expiry") and "2099-01-01T00:00:00+00:00"} for row in own
    ]
    header = {"as_of": as_of.isoformat()}
    uri = write_snapshot(tmp_path / as_of.date().isoformat(), header=header, instruments=instruments)
    book, _ = assemble([read_snapshot(uri)], venues=tables_of(config, as_of), max_quarantined_share=1.0)
    rules, findings = rules_of(config, book)
    assert rules_from_json(rules_as_json(rules)) == rules
    return Reference(book, market_of(book), rules, scenarios_of(config)), findings


def margin(model, instrument, size, price, *, is_inverse=False):
    """Maintenance and initial margin, USD, of a position entered at the mark."""
    i = model.book.names("instrument").index(instrument)
    holding = Holding(size, is_inverse, price, price, 1.0, price if is_inverse else 1.0)
    chosen = model.margin_models[i]
    return chosen.maintenance_margin(holding), chosen.initial_margin(holding)


def test_rates_that_grow_with_size_come_from_the_file(tmp_path):
    model, _ = night(tmp_path, alpha="deribit", beta="deribit")
    # the venue's linear page: 25 BTC at 100,000 USD
    assert margin(model, "BTC-PERP", 25.0, 100_000.0) == pytest.approx((28_125.0, 53_125.0), rel=1e-12)
    # the same coins of an inverse contract: 2,500,000 USD at 100,000
    assert margin(model, "BTC-INV", 2.5e6, 100_000.0, is_inverse=True) == pytest.approx((28_125.0, 53_125.0), rel=1e-12)
    assert model.rules.contracts["BTC-INV"].unit == "coin"


def test_tiers_of_coins_come_from_the_file(tmp_path):
    model, _ = night(tmp_path, alpha="binance_usdm", beta="binance_coinm")
    assert model.rules.contracts == {"BTC-INV": ContractRules(unit="coin")}
    maintenance, _ = margin(model, "BTC-INV", 300.0 * 50_000.0, 50_000.0, is_inverse=True)
    # the venue's FAQ: 300 BTC are in the tier of 12.5% less 11.81 BTC
    assert maintenance / 50_000.0 == pytest.approx(300.0 * 0.125 - 11.81, abs=0.21)


def test_the_rules_in_force_at_the_nights_instant_are_used(tmp_path):
    before, _ = night(tmp_path, datetime(2025, 9, 1, tzinfo=UTC), alpha="bybit", beta="bybit")
    after, _ = night(tmp_path, datetime(2025, 9, 3, tzinfo=UTC), alpha="bybit", beta="bybit")
    assert before.rules.contracts["BTC-INV"].valued_at == "entry"
    assert after.rules.contracts["BTC-INV"].valued_at == "mark"
    with pytest.raises(ConfigError, match=r"no rules of venue 'alpha' .* are in force"):
        night(tmp_path, datetime(2020, 1, 1, tzinfo=UTC), alpha="bybit", beta={})


def test_what_is_computed_otherwise_is_a_finding(tmp_path):
    _, findings = night(tmp_path, alpha="okx", beta="deribit")
    about = {finding.where for finding in findings if finding.reason is Reason.APPROXIMATED}
    assert about == {"venues.alpha", "venues.beta"}
    assert any("initial_collateral" in finding.message for finding in findings)


def test_rules_that_cannot_be_computed_are_refused_all_at_once(tmp_path):
    wrong = {
        "margin": {"model": "size_slope", "slopes": {"ETH": {"initial_rate": 0.02, "maintenance_rate": 0.01}}},
    }
    tiers = {"*": [[0.0, 0.02, 0.01]]}
    entry = {"margin": {"tiers": tiers, "inverse": {"valued_at": "entry", "tiers": tiers}}}
    with pytest.raises(ConfigError, match="need unit: coin"):
        night(tmp_path / "entry", alpha="binance_usdm", beta=entry)
    with pytest.raises(InputRefused, match="tier_schedule"):
        night(tmp_path / "slope", alpha=wrong, beta="binance_coinm")


def configured(**venues):
    return resolve({"snapshot": "x", "store": "y", "venues": venues}, subject="test")


def test_portfolio_rules_in_force_reach_ingest_and_the_kernels_rules(tmp_path):
    config = configured(alpha="deribit", beta="okx")
    for day, units in (("2024-06-16", set()), ("2024-06-17", {"BTC"}), ("2026-02-15", {"BTC", "ETH"})):
        as_of = datetime.fromisoformat(day).replace(tzinfo=UTC)
        assert tables_of(config, as_of)["alpha"].portfolio == units
    as_of = datetime(2026, 2, 15, tzinfo=UTC)
    model, _ = night(tmp_path, as_of, alpha="deribit", beta="okx")
    for rules, name in zip(model.rules.venues, ("deribit", "okx"), strict=True):
        of_file = load(shipped("nightly.yaml"), [f"venues.it={name}"]).venues_at(as_of)["it"].margin.portfolio
        assert rules.portfolio.keys() == of_file.keys()
        for unit, parameters in rules.portfolio.items():
            assert scan_model(parameters) == scan_model(of_file[unit].parameters())


def test_portfolio_rules_that_cannot_be_computed_are_refused_before_a_snapshot_is_looked_at():
    cells = [{"group": "scan", "price_move": -0.1}]
    config = configured(
        alpha={"margin": {"portfolio": {"BTC": {"cells": cells, "largest": ["scam"]}}}},
        beta={"margin": {"portfolio": {"*": {"cells": cells, "maintenance_factor": 2.0}}}},
        sound={"margin": {"portfolio": {"*": {"cells": cells}}}},
    )
    with pytest.raises(ConfigError) as refusal:
        tables_of(config, AS_OF)
    said = str(refusal.value)
    assert "venues.alpha.margin.portfolio.BTC" in said
    assert "'scam'" in said
    assert "venues.beta.margin.portfolio.*" in said
    assert "maintenance_factor" in said
    assert "sound" not in said
