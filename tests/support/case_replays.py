"""Replays of published cases: each turns a case's inputs into calls of public functions, and says what they find.

Where there are two ways to a number (the general solution and a venue's own closed form), a list holds both.
"""

import pytest
from support.scan_models import OKX_2024

from riskpipe.margin.bankruptcy import OraclePosition, cross_bankruptcy_quote, cross_bankruptcy_quote_in_quanta
from riskpipe.margin.lending import (
    CloseFactor,
    health_factor,
    is_liquidatable,
    largest_repayment,
    liquidation_profit,
    smallest_profitable_repayment,
    weighted_collateral,
)
from riskpipe.margin.lending_protocols import liquidation_incentive_factor, quote_collateral
from riskpipe.margin.model import Holding, SizeSlope, Tiered
from riskpipe.margin.scan import combined
from riskpipe.margin.scan_parameters import scan_model
from riskpipe.margin.tiered import collateral_credit, maintenance_margin, tier_deductions, tier_of
from riskpipe.margin.trigger_prices import (
    bankruptcy_price,
    isolated_margin,
    liquidation_price,
    margin_excess,
    price_on_tick,
)
from riskpipe.margin.venue_prices import binance_linear_price, bybit_linear_price_at_entry, hyperliquid_price
from riskpipe.pricing.payoff import inverse_pnl, linear_pnl

SIGN = {"long": 1, "short": -1}


def linear_holding(inputs):
    entry = inputs["entry_price"]
    return Holding(
        size=SIGN[inputs["side"]] * inputs["qty"],
        is_inverse=False,
        entry_price=entry,
        mark_price=entry,
        quote_price=1.0,
        settlement_price=1.0,
    )


def inverse_holding(inputs):
    entry = inputs["entry_price"]
    return Holding(
        size=SIGN[inputs.get("side", "long")] * inputs["contracts_usd"],
        is_inverse=True,
        entry_price=entry,
        mark_price=entry,
        quote_price=1.0,
        settlement_price=entry,
    )


def one_tier(rate, deduction=0.0, **terms):
    return Tiered((0.0,), (rate,), (rate,), (deduction,), **terms)


def isolated_price(inputs):
    """Return the general solution and the venue's own closed form."""
    side, size, entry = SIGN[inputs["side"]], inputs["qty"], inputs["entry_price"]
    rate, amount = inputs["mmr"], inputs.get("maint_amount", 0.0)
    margin = inputs.get("wallet_balance", inputs.get("isolated_margin"))
    general = liquidation_price(one_tier(rate, amount), linear_holding(inputs), balance=margin)
    if "max_leverage" in inputs:
        closed = hyperliquid_price(
            side=side,
            price=entry,
            size=size,
            margin_available=margin - maintenance_margin(size * entry, [0.0], [rate], [amount]),
            maintenance_leverage=2.0 * inputs["max_leverage"],
        )
    else:
        closed = binance_linear_price(
            side=side,
            size=size,
            entry_price=entry,
            wallet_balance=margin,
            maintenance_rate=rate,
            maintenance_amount=amount,
        )
    return {"liq_price": [general, closed]}


def price_with_fee(inputs):
    model = one_tier(inputs["mmr"], inputs.get("maint_amount", 0.0), fee_rate=inputs["taker_fee"])
    return {"liq_price": liquidation_price(model, linear_holding(inputs), balance=inputs["margin"])}


def price_with_maintenance_at_entry(inputs):
    holding, deduction = linear_holding(inputs), inputs.get("mm_deduction", 0.0)
    model = one_tier(inputs["mmr"], deduction, valued_at="entry")
    initial, extra = isolated_margin(holding, inputs["leverage"]), inputs.get("extra_margin", 0.0)
    closed = bybit_linear_price_at_entry(
        side=SIGN[inputs["side"]],
        size=inputs["qty"],
        entry_price=inputs["entry_price"],
        leverage=inputs["leverage"],
        maintenance_rate=inputs["mmr"],
        deduction=deduction,
        extra_margin=extra,
    )
    return {
        "liq_price": [liquidation_price(model, holding, balance=initial + extra), closed],
        "initial_margin": initial,
        "maint_margin": model.maintenance_margin(holding),
    }


def equity_against_margin(inputs):
    model = one_tier(inputs["mmf"])
    now = Holding(inputs["qty"], False, inputs["entry"], inputs["price"], 1.0, 1.0)
    at_entry = now.at_mark(inputs["entry"])
    pnl = linear_pnl(inputs["qty"], 1.0, inputs["entry"], inputs["price"])
    excess = margin_excess(model, [now], balance=inputs["collateral"])
    return {
        "mmr_at_entry": model.maintenance_margin(at_entry),
        "pnl": pnl,
        "equity": excess + model.maintenance_margin(now),
        "liquidatable": excess < 0.0,
    }


def looked_up(inputs):
    floors, rates = [row[0] for row in inputs["tiers"]], [row[2] for row in inputs["tiers"]]
    k = tier_of(inputs["notional"], floors)
    return {"mmr": rates[k], "maint_amount": tier_deductions(floors, rates)[k]}


def tier_requirement(inputs):
    if "tier_lower" in inputs:
        floors, rates = inputs["tier_lower"], [0.5 / leverage for leverage in inputs["max_leverage"]]
    else:
        floors, rates = [0.0, *inputs["tier_caps"][:-1]], inputs["mmr"]
    model = Tiered(tuple(floors), tuple(rates), tuple(rates))
    notional = inputs["notional"]
    position = Holding(notional, False, 1.0, 1.0, 1.0, 1.0)
    found = maintenance_margin(notional, floors, rates, tier_deductions(floors, rates))
    return {"mm": [found, model.maintenance_margin(position)], "position_value": notional}


def size_slope(inputs):
    slope = {"rate": inputs["base_rate"], "slope": inputs["slope_per_coin"]}
    model = SizeSlope(slope["rate"], slope["rate"], slope["slope"], slope["slope"])
    holding = Holding(inputs["qty"], False, inputs["price"], inputs["price"], 1.0, 1.0)
    margin = model.maintenance_margin(holding)
    return {"margin": [margin, model.initial_margin(holding)], "rate": margin / (inputs["qty"] * inputs["price"])}


def cross_bankruptcy(inputs):
    names = list(inputs["positions"])
    positions = [OraclePosition(inputs["positions"][n], inputs["oracle"][n], inputs["mmf"]) for n in names]
    terms = (inputs["usdc_balance"], positions, names.index(inputs["close_symbol"]), inputs["delta_qty"])
    if "quote_quantum" in inputs:
        return {"bankruptcy_quote": cross_bankruptcy_quote_in_quanta(*terms, inputs["quote_quantum"])}
    return {"bankruptcy_quote": [cross_bankruptcy_quote(*terms), cross_bankruptcy_quote_in_quanta(*terms, 1e-6)]}


def inverse_bankruptcy(inputs):
    holding = inverse_holding(inputs)
    price = bankruptcy_price(holding, balance=isolated_margin(holding, inputs["leverage"]))
    on_tick = price_on_tick(price, inputs["tick"], is_long=holding.size > 0.0)
    return {"bankruptcy_price": price, "bankruptcy_price_tick": on_tick}


def linear_bankruptcy(inputs):
    holding = linear_holding(inputs)
    return {"bankruptcy_price": bankruptcy_price(holding, balance=isolated_margin(holding, inputs["leverage"]))}


def inverse_components(inputs):
    holding = inverse_holding(inputs)
    return {
        "position_value": isolated_margin(holding, 1.0),
        "initial_margin": isolated_margin(holding, inputs["leverage"]),
    }


def inverse_profit(inputs):
    quantity = SIGN[inputs["side"]] * inputs["contracts_usd"]
    return {"pnl_coin": inverse_pnl(quantity, 1.0, inputs["entry_price"], inputs["exit_price"])}


def linear_profit(inputs):
    quantity = inputs["notional"] / inputs["entry_price"]
    profit = linear_pnl(SIGN[inputs["side"]] * quantity, 1.0, inputs["entry_price"], inputs["exit_price"])
    return {"qty": quantity, "pnl": profit}


def okx_combination(inputs):
    model = scan_model(OKX_2024)
    return {f"mmr_{when}": combined(model, inputs[when]) for when in ("before", "after")}


def health(inputs):
    weighted = weighted_collateral([inputs["collateral_value"]], [inputs["liquidation_threshold"]])
    return {"health_factor": health_factor(weighted, inputs["debt"])}


def close_factors(inputs):
    new = CloseFactor(share=0.5, full_health=0.95, full_below_usd=inputs["threshold"], of="account")
    old = CloseFactor(share=0.5, full_health=0.95)
    (collateral,) = inputs["collateral"].values()
    terms = {
        "health": inputs["hf"],
        "reserve_debt": inputs["debts"][inputs["repay_asset"]],
        "reserve_collateral": collateral,
        "account_debt": sum(inputs["debts"].values()),
    }
    return {"max_repay": largest_repayment(new, **terms), "max_repay_pre_v33": largest_repayment(old, **terms)}


def gas_floor(inputs):
    debt, bonus = inputs["threshold_usd"], inputs["liquidation_bonus"]
    most = liquidation_profit(debt, bonus=bonus)
    assert smallest_profitable_repayment(most, bonus=bonus) == pytest.approx(debt)
    return {"max_cost_usd": most}


def incentive(inputs):
    return {"lif": liquidation_incentive_factor(inputs["lltv"], inputs["cursor"], inputs["max_lif"])}


def quoted(inputs):
    out = quote_collateral(
        inputs["base_amount"],
        base_price=inputs["base_price"],
        collateral_price=inputs["collateral_price"],
        liquidation_factor=inputs["liquidation_factor"],
        store_front_price_factor=inputs["store_front_price_factor"],
    )
    return {"collateral_out": out}


def comet_health(inputs):
    value = inputs["collateral_qty"] * inputs["collateral_price"]
    return {"liquidatable": is_liquidatable(weighted_collateral([value], [inputs["liquidate_cf"]]), inputs["debt"])}


def credit(inputs):
    floors = [0.0, *inputs["tier_max_usd"]]
    haircuts = [1.0 - rate for rate in (*inputs["rate"], inputs["above_last"])]
    return {"collateral_usd": collateral_credit(inputs["value_usd"], floors, haircuts)}
