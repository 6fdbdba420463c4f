"""Reading venue files: every mistake in its place, dates in order, tables found by name."""

import re
from dataclasses import fields

import pytest
import yaml
from support.venue_files import PLAIN, day

from riskpipe.config import RunConfig, load, resolve
from riskpipe.errors import ConfigError
from riskpipe.margin import scan_model as scans
from riskpipe.margin.lending import CloseFactor, EMode, LendingAsset
from riskpipe.margin.scan_parameters import CHARGES, scan_model
from riskpipe.venues import in_force, portfolio
from riskpipe.venues.fields import DEFAULT
from riskpipe.venues.lending import CloseFactorConfig, EModeConfig, LendingAssetConfig

SLOPE = {"initial_rate": 0.02, "maintenance_rate": 0.01}
GOOD = {
    "title": "Some venue",
    "rules": [
        {"effective_from": "2022-01-11", "source": "a", "margin": {"model": "size_slope", "slopes": {"BTC": SLOPE}}},
        {"effective_from": "2023-01-01T09:00Z", "source": "b", "margin": {"tiers": {"*": [[0, 0.1, 0.05]]}}},
    ],
}


def refused(venue):
    data = yaml.safe_load(yaml.safe_dump(PLAIN | {"venues": {"it": venue}}))
    with pytest.raises(ConfigError) as found:
        resolve(data, subject="test")
    return str(found.value)


def changed(**changes):
    first = {"effective_from": "2022-01-11", "source": "a"} | changes
    return {"title": "Some venue", "rules": [first]}


def test_days_are_midnight_and_instants_are_read_with_their_zone(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "snapshot: s\nstore: t\nvenues:\n  it:\n    title: Some venue\n    rules:\n"
        "      - {effective_from: 2022-01-11, source: a}\n"
        "      - {effective_from: 2022-01-12T09:00:00+09:00, source: b}\n"
        "      - {effective_from: 2022-01-12 06:00:00, source: c}\n",
        encoding="utf-8",
    )
    dates = [rule.effective_from for rule in load(path).venues["it"].rules]
    assert dates == [day("2022-01-11"), day("2022-01-12"), day("2022-01-12T06:00")]


def test_every_mistake_is_listed_at_once_each_unknown_key_with_the_nearest_known():
    said = refused(
        {
            "title": "Some venue",
            "aproximated": [],
            "rules": [
                {
                    "effective_from": "2022-01-11",
                    "source": "a",
                    "marign": {},
                    "margin": {"teirs": {}, "inverse": {"valued_att": "mark"}},
                    "impact": {"kapa": 0.3},
                },
                {"effective_from": "2023-01-01", "margin": {"unit": "coins"}},
            ],
        }
    )
    assert "7 problems" in said
    assert "unknown key venues.it.aproximated: did you mean 'approximated'?" in said
    assert "unknown key venues.it.rules[0].marign: did you mean 'margin'?" in said
    assert "unknown key venues.it.rules[0].margin.teirs: did you mean 'tiers'?" in said
    assert "unknown key venues.it.rules[0].margin.inverse.valued_att: did you mean 'valued_at'?" in said
    assert "unknown key venues.it.rules[0].impact.kapa: did you mean 'kappa'?" in said
    assert "venues.it.rules.1.margin.unit: Input should be 'usd' or 'coin'" in said
    assert "venues.it.rules.1.source: required and missing" in said


def test_mistakes_in_portfolio_and_lending_are_found_in_their_own_part():
    charge = {"charge": "naked_short", "group": "g", "rates": 0.01}
    said = refused(changed(margin={"portfolio": {"BTC": {"largset": [], "charges": [charge]}}}))
    assert "unknown key venues.it.rules[0].margin.portfolio.BTC.largset: did you mean 'largest'?" in said
    assert "unknown key venues.it.rules[0].margin.portfolio.BTC.charges[0].rates: did you mean 'rate'?" in said
    terms = {"liquidation_treshold": 0.8}
    said = refused(
        changed(margin={"model": "collateral_health"}, lending={"protocol": "aave_v3", "assets": {"WETH": terms}})
    )
    assert "lending.assets.WETH.liquidation_treshold: did you mean 'liquidation_threshold'?" in said


@pytest.mark.parametrize(
    ("venue", "expected"),
    [
        ({"title": "t", "rules": []}, "venues.it.rules: a venue needs one rule at least"),
        ({"rules": [{"effective_from": "2022-01-11", "source": "a"}]}, "venues.it.title: required and missing"),
        (
            {"title": "t", "rules": [*GOOD["rules"][::-1]]},
            "effective_from must rise.*2022-01-11 follows 2023-01-01T09:00Z",
        ),
        ({"title": "t", "rules": [GOOD["rules"][0]] * 2}, "effective_from must rise"),
        (changed(effective_from=20220111), "effective_from: expected a day or an instant"),
        (changed(effective_from="soon"), "effective_from: expected a day or an instant"),
        (changed(source=""), "source: .*at least 1 character"),
        (changed(margin={"tiers": {"*": []}}), "floors must be 0 first"),
        (changed(margin={"tiers": {"*": [[1, 0.1, 0.05]]}}), "floors must be 0 first"),
        (changed(margin={"tiers": {"*": [[0, 0.1, 0.05], [0, 0.2, 0.1]]}}), "floors must be 0 first and then rise"),
        (changed(margin={"tiers": {"*": [[0, 0.1, 0.05], [5, 0.1, 0.04]]}}), "maintenance rates must be .* never fall"),
        (changed(margin={"tiers": {"*": [[0, 0.1, 0.2]]}}), "no maintenance rate may exceed"),
        (
            changed(margin={"tiers": {"*": [[0, 0.1, 0.05], [5, 0.2, 0.1, 0]]}}),
            "either every tier has a deduction or none",
        ),
        (changed(margin={"tiers": {"*": [[0, 0.1]]}}), "at least 3 items"),
        (changed(margin={"tiers": {"*": [[0, True, 0.05]]}}), "expected a number"),
        (changed(margin={"model": "size_slope"}), "model size_slope needs slopes"),
        (changed(margin={"slopes": {"BTC": SLOPE}}), "slopes belong to model size_slope"),
        (changed(margin={"model": "size_slope", "slopes": {"BTC": SLOPE}, "unit": "coin"}), "belong to model tiered"),
        (changed(margin={"model": "collateral_health", "inverse": {}}), "neither inverse nor portfolio"),
        (changed(lending={"protocol": "morpho"}), "lending needs margin.model collateral_health"),
        (changed(collateral={"BTC": [[0, 1.5]]}), "a haircut is a share"),
        (changed(collateral={"BTC": [[0, 0.1], [0, 0.2]]}), "floors must be 0 first and then rise"),
        ([1], "expected a mapping of rules, or the name of a file"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(venue, expected):
    said = refused(venue)
    assert "venues.it" in said
    assert re.search(expected, said), said


def test_modes_name_assets_that_have_terms():
    lending = {
        "protocol": "aave_v3",
        "assets": {"WETH": {"liquidation_threshold": 0.8}},
        "emode": {"ETH": {"assets": ["WETH", "wstETH"], "liquidation_threshold": 0.95, "liquidation_bonus": 0.01}},
    }
    assert "emode names assets without terms: wstETH" in refused(
        changed(margin={"model": "collateral_health"}, lending=lending)
    )


def test_a_runs_identity_holds_every_date_of_a_file():
    one = resolve(PLAIN | {"venues": {"it": yaml.safe_load(yaml.safe_dump(GOOD))}}, subject="test")
    keyed = one.keyed()["venues"]["it"]
    assert [rule["effective_from"] for rule in keyed["rules"]] == ["2022-01-11T00:00:00Z", "2023-01-01T09:00:00Z"]
    other = yaml.safe_load(yaml.safe_dump(GOOD))
    other["rules"][0]["margin"]["slopes"]["BTC"]["maintenance_rate"] = 0.011
    assert resolve(PLAIN | {"venues": {"it": other}}, subject="test").keyed() != one.keyed()
    assert RunConfig.model_validate(PLAIN | {"venues": {"it": keyed}}).venues == one.venues


def test_keys_can_be_set_from_the_command_line_in_a_flat_venue():
    config = resolve(PLAIN | {"venues": {"it": {}}}, subject="test", overrides=["venues.it.margin.fee_rate=0.001"])
    assert config.venues["it"].margin.fee_rate == 0.001


# names: a table is found by schedule, instrument or underlying; inverse contracts may have rules of their own


def test_the_first_name_that_has_a_table_wins_and_the_default_comes_last():
    margin = in_force(
        resolve(
            PLAIN | {"venues": {"it": changed(margin={"tiers": {"BTC": [[0, 0.1, 0.05]], "*": [[0, 0.2, 0.1]]}})}},
            subject="test",
        ).venues["it"],
        day("2022-02-01"),
    ).margin
    assert margin.tiers_of("schedule", "BTC-PERP", "BTC") == ((0.0, 0.1, 0.05),)
    assert margin.tiers_of(None, "ETH-PERP", "ETH") == margin.tiers[DEFAULT]
    assert margin.of(is_inverse=True) is margin
    assert margin.slope_of("BTC") is None


# the mirror of the portfolio model's parameters


@pytest.mark.parametrize(
    ("config", "model", "extra"),
    [
        (portfolio.PortfolioConfig, scans.ScanModel, {"grids"}),
        (portfolio.VolShockConfig, scans.VolShock, set()),
        (portfolio.CellConfig, scans.Cell, set()),
        (portfolio.ExpiryScanConfig, scans.ExpiryScan, set()),
        (portfolio.MultiplierConfig, scans.Multiplier, set()),
        (portfolio.LongValueConfig, scans.LongValueDiscount, set()),
        (portfolio.SizeChargeConfig, CHARGES["size"], {"charge"}),
        (portfolio.NakedShortChargeConfig, CHARGES["naked_short"], {"charge"}),
        (portfolio.ExpiryChargeConfig, CHARGES["expiry"], {"charge"}),
        (portfolio.DeltaChargeConfig, CHARGES["delta"], {"charge"}),
        (portfolio.LiquidityChargeConfig, CHARGES["liquidity"], {"charge"}),
        (portfolio.ConfidenceChargeConfig, CHARGES["confidence"], {"charge"}),
        (LendingAssetConfig, LendingAsset, {"liquidation_factor"}),
        (EModeConfig, EMode, set()),
        (CloseFactorConfig, CloseFactor, set()),
    ],
)
def test_keys_of_a_venue_file_are_the_parameters_of_the_models(config, model, extra):
    assert set(config.model_fields) == {field.name for field in fields(model)} | extra


def test_a_portfolio_rule_hands_on_only_what_the_file_sets():
    written = {
        "grids": [{"price_moves": [-0.1, 0.1], "vol_moves": [1, -1]}],
        "charges": [{"charge": "size", "group": "floor", "rate": 0.01, "kinds": ["option"]}],
        "at_least": ["floor"],
        "vol_shocks": [{"name": "vol", "up": 0.3}],
    }
    rule = portfolio.PortfolioConfig.model_validate(written)
    assert rule.parameters() == written
    assert scan_model(rule.parameters()).groups() == ("scan", "floor")
