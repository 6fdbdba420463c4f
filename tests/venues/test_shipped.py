"""Shipped venue files: strict, dated, sourced, and the rule in force is the one of its day."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from support.venue_files import DATED, FILES, FOLDER, PLAIN, day, linear, rules_at, tiered, venue_file

from riskpipe.config import RunConfig, resolve
from riskpipe.errors import ConfigError
from riskpipe.margin.lending import CloseFactor, EMode, LendingAsset
from riskpipe.margin.lending_protocols import liquidation_incentive_factor
from riskpipe.margin.model import SizeSlope
from riskpipe.margin.scan_parameters import scan_model
from riskpipe.venues import VenueFile, in_force, not_computed

SECOND = timedelta(seconds=1)
RULES = [
    pytest.param(name, rule, id=f"{name}-{rule.effective_from:%Y-%m-%d}")
    for name in DATED
    for rule in venue_file(name).rules
]


def test_every_venue_has_a_dated_file():
    assert set(DATED) <= set(FILES)
    assert all(isinstance(venue_file(name), VenueFile) for name in DATED)


@pytest.mark.parametrize("name", DATED)
def test_every_file_names_what_it_approximates_and_has_a_page(name):
    file = venue_file(name)
    said = " ".join(f"{item.rule} {item.instead} {item.effect}" for item in file.approximated)
    assert "policy full" in said or "pro rata" in said
    assert "fund" in said
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert f"({name}.yaml)" in page
    for title in ("## Rule", "## Worked number", "## Sources", "## What is approximated, and by how much"):
        assert f"\n{title}\n" in page
    for rule in file.rules:
        assert f"{rule.effective_from:%Y-%m-%d}" in page or len(file.rules) > 5, rule.effective_from


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_every_rule_has_a_source_with_an_address(name, rule):
    assert any(mark in rule.source for mark in ("https://", "@", ".com/", ".in/")), f"{name}: {rule.source}"


@pytest.mark.parametrize("name", DATED)
def test_dates_rise(name):
    dates = [rule.effective_from for rule in venue_file(name).rules]
    assert all(earlier < later for earlier, later in pairwise(dates))
    assert all(date.tzinfo is UTC for date in dates)


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_every_table_is_a_model(name, rule):
    built = 0
    for margin in filter(None, (rule.margin, rule.margin.inverse)):
        for key, rows in margin.tiers.items():
            model = tiered(margin, key)
            assert (
                model.deductions == tuple(row[3] for row in rows) if len(rows[0]) == 4 else model.deductions[0] == 0.0
            )
            built += 1
        for slope in margin.slopes.values():
            built += bool(SizeSlope(**slope.model_dump()))
    for unit in rule.margin.portfolio.values():
        built += bool(scan_model(unit.parameters()).groups())
    if rule.lending is not None:
        assert rule.margin.model == "collateral_health"
        for terms in rule.lending.assets.values():
            built += bool(LendingAsset(**terms.model_dump(exclude={"liquidation_factor"})))
        for mode in rule.lending.emode.values():
            assert EMode(**mode.model_dump()).assets
        assert CloseFactor(**rule.lending.close_factor.model_dump()).share > 0.0
    assert built > 0, name
    if rule.margin.model == "tiered":
        assert rule.margin.tiers_of("no such coin") is not None


@pytest.mark.parametrize("name", ["binance_usdm", "bybit", "okx", "hyperliquid", "dydx_v4", "deribit"])
def test_the_main_coins_have_rules(name):
    margin = venue_file(name).rules[-1].margin
    for coin in ("BTC", "ETH", "SOL"):
        assert margin.tiers_of(coin) or margin.slope_of(coin)


# amounts that the venues print: BTCUSDT and ETHUSDT, brackets of the dates; BTCUSD, the help page's example in coins
PRINTED = [
    ("binance_usdm", "2021-06-01", "BTC", [0, 50, 1300, 16300, 266300, 1266300, 2516300, 5016300, 25016300, 100016300]),
    (
        "binance_usdm",
        "2024-10-24",
        "BTC",
        [0, 50, 950, 11450, 131450, 481450, 2981450, 14481450, 26481450, 41481450, 121481450, 421481450],
    ),
    (
        "binance_usdm",
        "2024-10-24",
        "ETH",
        [0, 50, 950, 11450, 131450, 381450, 2006450, 9506450, 17506450, 27506450, 80506450, 280506450],
    ),
    ("binance_coinm", "2020-12-01", "BTC", [0, 0.01, 0.11, 0.56, 1.81, 6.81, 11.81]),
    (
        "bybit",
        "2024-06-01",
        "BTC",
        [0, 1200, 3020, 4300, 5820, 8460, 15460, 20500, 46000, 66000, 80000, 160000, 300000, 452000, 502000],
    ),
    ("bybit", "2026-10-01", "BTC", [0, 510, 1710]),
]


@pytest.mark.parametrize(("name", "date", "coin", "printed"), PRINTED)
def test_floors_and_rates_give_the_deductions_that_the_venue_prints(name, date, coin, printed):
    deductions = tiered(rules_at(name, date).margin, coin).deductions
    assert deductions[: len(printed)] == pytest.approx(printed, rel=1e-9)


def test_inverse_tiers_of_bybit_give_the_recorded_deduction():
    assert tiered(rules_at("bybit", "2026-10-01").margin.of(is_inverse=True), "BTC").deductions[1] == pytest.approx(
        0.75
    )


def test_okx_charges_the_rate_of_the_tier_on_all_of_the_position():
    margin = rules_at("okx", "2025-02-01").margin
    model = tiered(margin.of(is_inverse=False), "BTC")
    assert len(model.floors) == 99
    assert model.maintenance_margin(linear(60.0, 1e5)) == pytest.approx(0.0075 * 6e6 + 0.0005 * 6e6)
    assert margin.of(is_inverse=True).unit == "usd"


# the rule in force


@pytest.mark.parametrize("name", DATED)
def test_the_rule_of_the_day_is_the_last_that_has_begun(name):
    file = venue_file(name)
    for n, rule in enumerate(file.rules):
        assert in_force(file, rule.effective_from) is rule
        assert in_force(file, rule.effective_from + SECOND) is rule
        if n:
            assert in_force(file, rule.effective_from - SECOND) is file.rules[n - 1]
            assert in_force(file, rule.effective_from - timedelta(days=1)).effective_from < rule.effective_from
    assert in_force(file, day("2099-01-01")) is file.rules[-1]
    first = file.rules[0].effective_from
    with pytest.raises(ConfigError, match=f"the earliest are from {first:%Y-%m-%d}"):
        in_force(file, first - SECOND)


def test_flat_rules_hold_at_any_instant_and_the_binance_flat_file_is_one():
    assert in_force(venue_file("binance"), day("1999-01-01")) is venue_file("binance")


def test_an_instant_in_another_zone_is_the_same_instant():
    file = venue_file("binance_usdm")
    tokyo = datetime.fromisoformat("2021-03-18T18:00:00+09:00")
    assert in_force(file, tokyo) is file.rules[0]
    with pytest.raises(ConfigError, match="2021-03-18T09:00Z"):
        in_force(file, tokyo - SECOND)


def test_a_run_gives_every_venues_rules_of_an_instant_or_names_all_that_have_none():
    config = resolve(PLAIN | {"venues": {"a": "deribit", "b": "okx", "c": {"fund_haircut": 0.1}}}, subject="test")
    at = config.venues_at(day("2024-01-01"))
    assert at["a"].margin.slope_of("ETH").maintenance_slope == 4e-6
    assert at["c"].fund_haircut == 0.1
    with pytest.raises(ConfigError) as refused:
        config.venues_at(day("2019-01-01"))
    assert "venue 'a'" in str(refused.value)
    assert "venue 'b'" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "before", "after", "figure"),
    [
        ("deribit", "2022-01-10", "2022-01-11", lambda rules: rules.margin.slope_of("BTC").maintenance_rate),
        ("deribit", "2026-01-12", "2026-01-13", lambda rules: rules.initial_collateral["STETH"][0][1]),
        ("bybit", "2025-09-01", "2025-09-02", lambda rules: rules.margin.inverse.valued_at),
        ("okx", "2024-07-17", "2024-07-18", lambda rules: rules.collateral["BETH"][0][1]),
        ("okx", "2025-01-05", "2025-01-06", lambda rules: rules.margin.portfolio_of("BTC").grids[0].price_moves),
        ("hyperliquid", "2025-03-11", "2025-03-12", lambda rules: rules.margin.tiers_of("ETH")),
        ("aave_v3", "2025-02-04", "2025-02-05", lambda rules: rules.lending.close_factor.of),
        ("compound_v3", "2024-07-09", "2024-07-10", lambda rules: rules.lending.terms_of("wstETH")),
        ("binance_usdm", "2024-05-29", "2024-05-30", lambda rules: rules.margin.tiers_of("BTC")),
    ],
)
def test_old_and_new_rules_stand_side_by_side(name, before, after, figure):
    assert figure(rules_at(name, before)) != figure(rules_at(name, after))


@pytest.mark.parametrize("name", FILES)
def test_what_a_runs_identity_holds_is_read_back_as_it_was(name):
    config = resolve(PLAIN | {"venues": {"it": name}}, subject=name)
    again = RunConfig.model_validate(PLAIN | {"venues": {"it": config.keyed()["venues"]["it"]}})
    assert again.venues == config.venues


def test_what_no_night_computes_yet_is_named_by_its_key():
    assert not_computed(rules_at("binance_usdm", "2024-01-01")) == []
    assert not_computed(rules_at("aave_v3", "2024-01-01")) == []
    named = not_computed(rules_at("deribit", "2026-03-01"))
    assert [name.split(" ")[0] for name in named] == ["initial_collateral"]


def test_a_liquidations_bonus_is_each_protocols_own():
    for name, asset, bonus in (("aave_v3", "WETH", 0.05), ("compound_v3", "WETH", 1.0 / 0.95 - 1.0)):
        lending = rules_at(name, "2026-10-01").lending
        assert lending.bonus_of(lending.terms_of(asset)) == pytest.approx(bonus, rel=1e-12)
    morpho = rules_at("morpho", "2026-10-01").lending
    for terms in morpho.assets.values():
        assert morpho.bonus_of(terms) == liquidation_incentive_factor(terms.liquidation_threshold) - 1.0
