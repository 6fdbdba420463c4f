"""Pages of the venues: the numbers they print are what the files' rules give."""

from support.venue_files import DATED, FOLDER, inverse, linear, rules_at, tiered

from riskpipe.margin.lending import CloseFactor, health_factor, largest_repayment, toxic_loan_to_value
from riskpipe.margin.lending_protocols import absorb, liquidation_incentive_factor
from riskpipe.margin.model import SizeSlope
from riskpipe.margin.tiered import collateral_credit


def _bybit_inverse(date, denominator):
    margin = rules_at("bybit", date).margin.of(is_inverse=True)
    rate = margin.tiers_of("BTC")[0][2]
    return denominator(rate), margin.valued_at


def page_numbers():
    usdm = {
        date: tiered(rules_at("binance_usdm", date).margin, "BTC")
        for date in ("2021-06-01", "2024-10-24", "2026-05-07")
    }
    for date, model in usdm.items():
        del date
        yield "binance_usdm", f"**{model.maintenance_margin(linear(50.0, 1e5)):,.0f}**"
    coinm = tiered(rules_at("binance_coinm", "2020-12-01").margin.of(is_inverse=True), "BTC")
    yield "binance_coinm", f"**{coinm.deductions[4]:.2f}**"
    yield "binance_coinm", f"**{coinm.maintenance_margin(inverse(300.0 * 1e4, 1e4)) / 1e4:.2f}**"
    old, valued_at = _bybit_inverse("2025-09-01", lambda rate: 60000.0 / (1.2 + 0.12 - 1.2 * rate))
    assert valued_at == "entry"
    yield "bybit", f"**{old:,.2f}**"
    new, valued_at = _bybit_inverse("2025-09-02", lambda rate: 60000.0 * (1.0 + rate) / 1.32)
    assert valued_at == "mark"
    yield "bybit", f"**{new:,.2f}**"
    for date in ("2025-09-01", "2025-09-02"):
        model = tiered(rules_at("bybit", date).margin, "BTC")
        value = model.maintenance_margin(linear(50.0, 45000.0, 50000.0)) - model.fee_rate * 50.0 * 45000.0
        yield "bybit", f"**{value:,.0f}**"
    okx = tiered(rules_at("okx", "2025-02-01").margin, "BTC")
    yield "okx", f"**{okx.maintenance_margin(linear(60.0, 1e5)):,.0f}**"
    jump = okx.maintenance_margin(linear(10.0, 1e5)) - okx.maintenance_margin(linear(9.99, 1e5))
    yield "okx", f"**{jump:,.2f}**"
    for date, printed in (("2024-07-18", "**{:,.0f}**"), ("2024-07-17", "{:,.0f}")):
        floors, haircuts = zip(*rules_at("okx", date).collateral["BETH"], strict=True)
        yield "okx", printed.format(collateral_credit(5e6, floors, haircuts))
    btc = SizeSlope(**rules_at("deribit", "2022-01-11").margin.slope_of("BTC").model_dump())
    yield "deribit", f"**{btc.initial_margin(linear(25.0, 1e5)):,.0f}**"
    yield "deribit", f"**{btc.maintenance_margin(linear(25.0, 1e5)):,.0f}**"
    for date, printed in (("2022-01-10", "{:,.0f}"), ("2022-01-11", "**{:,.0f}**")):
        eth = SizeSlope(**rules_at("deribit", date).margin.slope_of("ETH").model_dump())
        yield "deribit", printed.format(eth.maintenance_margin(linear(1000.0, 3000.0)))
    hyperliquid = rules_at("hyperliquid", "2026-10-01").margin
    for coin, notional, printed in (("ETH", 1.5e8, "{:,.2f}"), ("SOL", 1e8, "{:,.0f}"), ("BTC", 2e8, "{:,.0f}")):
        yield "hyperliquid", printed.format(tiered(hyperliquid, coin).maintenance_margin(linear(notional, 1.0)))
    dydx = tiered(rules_at("dydx_v4", "2023-11-01").margin, "BTC")
    yield "dydx_v4", f"**{dydx.maintenance_margin(linear(0.1, 5e4)):.0f}**"
    yield "dydx_v4", f"**{dydx.initial_margin(linear(0.1, 5e4)):.0f}**"
    for date, digits in (("2023-02-01", 3), ("2023-07-01", 4)):
        threshold = rules_at("aave_v3", date).lending.terms_of("WETH").liquidation_threshold
        yield "aave_v3", f"**{health_factor(1e4 * threshold, 6000.0):.{digits}f}**"
    mode = rules_at("aave_v3", "2025-03-01").lending.emode["ETH correlated"]
    yield "aave_v3", f"**{toxic_loan_to_value(mode.liquidation_bonus):.2%}**"
    for date in ("2025-02-04", "2025-02-05"):
        rule = CloseFactor(**rules_at("aave_v3", date).lending.close_factor.model_dump())
        most = largest_repayment(rule, health=0.97, reserve_debt=3e3, reserve_collateral=9e3, account_debt=9e3)
        yield "aave_v3", f"**{most:,.0f}**"
    lending = rules_at("compound_v3", "2023-01-01").lending
    weth = lending.terms_of("WETH")
    yield "compound_v3", f"**{1e5 * weth.liquidation_threshold:,.0f}**"
    returned = absorb(9e4, [1e5], [weth.liquidation_factor], lending.store_front_price_factor).returned
    yield "compound_v3", f"**{returned:,.0f}**"
    yield "compound_v3", f"**{1.0 - lending.store_front_price_factor * (1.0 - weth.liquidation_factor):.1%}**"
    incentive = rules_at("morpho", "2024-02-01").lending.incentive
    for lltv, digits in ((0.86, 4), (0.945, 4), (0.385, 2)):
        factor = liquidation_incentive_factor(lltv, incentive.cursor, incentive.largest)
        yield "morpho", f"**{factor:.{digits}f}**"


def test_the_pages_print_what_the_files_rules_give():
    found = list(page_numbers())
    assert {page for page, _ in found} == set(DATED)
    for page, number in found:
        assert number in (FOLDER / f"{page}.md").read_text(encoding="utf-8"), f"{page}: {number}"


def test_pages_and_files_are_shipped_together():
    assert {path.stem for path in FOLDER.glob("*.md")} == set(DATED)
