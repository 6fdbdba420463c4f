"""The position models against the conformance suite, and what they refuse."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margin.conformance import PositionModelConformance, holdings
from support.margin_models import size_slopes, tiered_models

from riskpipe.errors import ConfigError
from riskpipe.margin.model import Holding, SizeSlope, Tiered
from riskpipe.pricing.payoff import notional_usd


def coins_and_their_price(holding, valued_at):
    """Coins that the position is at the price where it is valued, and the USD that one of them is worth."""
    price = {"mark": holding.mark_price, "entry": holding.entry_price}[valued_at]
    if holding.is_inverse:
        return abs(holding.size) / price, holding.settlement_price
    return abs(holding.size), price * holding.quote_price


class TestTiered(PositionModelConformance):
    def models(self):
        return tiered_models()

    def edges(self, model, holding):
        one = replace(holding, size=1.0)
        return [floor / self.amount(model, one) for floor in model.floors[1:]]

    @staticmethod
    def amount(model, holding):
        coins, _ = coins_and_their_price(holding, model.valued_at)
        if model.unit == "coin":
            return coins
        price = holding.entry_price if model.valued_at == "entry" else holding.mark_price
        return coins * price * holding.quote_price

    def restated(self, model, holding):
        """Band by band, as venues explain tiers; amounts in coins or USD, then worth what they are worth now."""
        amount = self.amount(model, holding)
        tops = [*model.floors[1:], math.inf]
        maintenance = math.fsum(
            rate * max(0.0, min(amount, top) - floor)
            for rate, floor, top in zip(model.maintenance_rates, model.floors, tops, strict=True)
        )
        initial = (
            amount
            * [rate for rate, floor in zip(model.initial_rates, model.floors, strict=True) if floor <= amount][-1]
        )
        coins, coin_price = coins_and_their_price(holding, "mark")
        worth, closing = 1.0, coins * holding.mark_price * holding.quote_price
        if model.unit == "coin":
            worth, closing = coins_and_their_price(holding, model.valued_at)[1], coins * coin_price
        elif holding.is_inverse and model.valued_at == "entry":
            worth = holding.mark_price / holding.entry_price  # as many coins as at entry, at the mark
        fee = model.fee_rate * closing
        return maintenance * worth + fee, initial * worth + fee

    def in_other_units(self, model, usd, coin):
        factor = usd if model.unit == "usd" else coin
        floors = tuple(floor * factor for floor in model.floors)
        return replace(model, floors=floors, deductions=())

    @given(tiered_models(), holdings())
    def test_usd_tiers_at_the_mark_are_of_the_notional_that_payoffs_have(self, model, holding):
        model = replace(model, unit="usd", valued_at="mark", fee_rate=0.0, deductions=())
        notional = notional_usd(
            is_inverse=holding.is_inverse,
            quantity=holding.size,
            multiplier=1.0,
            mark_price=holding.mark_price,
            quote_price=holding.quote_price,
        )
        flat = replace(model, floors=(0.0,), initial_rates=(0.1,), maintenance_rates=(0.05,), deductions=())
        assert flat.maintenance_margin(holding) == pytest.approx(0.05 * notional, rel=1e-12)


class TestSizeSlope(PositionModelConformance):
    def models(self):
        return size_slopes()

    def restated(self, model, holding):
        coins, coin_price = coins_and_their_price(holding, model.valued_at)
        closed, closing_price = coins_and_their_price(holding, "mark")
        fee = closed * closing_price * model.fee_rate
        return (
            coins * coin_price * (model.maintenance_rate + model.maintenance_slope * coins) + fee,
            coins * coin_price * (model.initial_rate + model.initial_slope * coins) + fee,
        )

    def in_other_units(self, model, usd, coin):  # noqa: ARG002  rates know no money
        return replace(
            model, initial_slope=model.initial_slope / coin, maintenance_slope=model.maintenance_slope / coin
        )


@given(tiered_models(), holdings())
def test_where_nothing_moved_the_entry_and_the_mark_give_one_requirement(model, holding):
    unmoved = replace(holding, entry_price=holding.mark_price)
    at_mark, at_entry = (replace(model, valued_at=when) for when in ("mark", "entry"))
    assert at_mark.maintenance_margin(unmoved) == at_entry.maintenance_margin(unmoved)


@given(tiered_models(), holdings(), st.floats(0.2, 5.0))
def test_inverse_requirements_at_entry_are_a_constant_amount_of_coins(model, holding, factor):
    model = replace(model, valued_at="entry", fee_rate=0.0)
    if holding.is_inverse:
        moved = holding.at_mark(holding.mark_price * factor)
        coins = [model.maintenance_margin(h) / h.settlement_price for h in (holding, moved)]
        assert coins[0] == pytest.approx(coins[1], rel=1e-12)


@given(tiered_models())
def test_given_deductions_are_used_as_they_are(model):
    assert model.deductions[0] == 0.0
    assert all(low <= high for low, high in pairwise(model.deductions))
    shifted = replace(model, deductions=tuple(deduction + 1.0 for deduction in model.deductions), fee_rate=0.0)
    plain = replace(model, fee_rate=0.0)
    holding = Holding(
        size=1e4, is_inverse=False, entry_price=1.0, mark_price=1.0, quote_price=1.0, settlement_price=1.0
    )
    assert shifted.maintenance_margin(holding) == pytest.approx(plain.maintenance_margin(holding) - 1.0)
    assert shifted.initial_margin(holding) == plain.initial_margin(holding)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"floors": ()}, "0, 2, 2 and 0 entries"),
        ({"floors": (0.0, 0.0)}, "rising"),
        ({"floors": (1.0, 2.0)}, "0 first"),
        ({"floors": (0.0, math.nan)}, "rising"),
        ({"initial_rates": (0.1,)}, "2, 1, 2 and 0 entries"),
        ({"deductions": (0.0,)}, "2, 2, 2 and 1 entries"),
        ({"maintenance_rates": (0.02, 0.01)}, "none below the one before"),
        ({"maintenance_rates": (-0.01, 0.01)}, "none below 0 and"),
        ({"maintenance_rates": (0.01, 0.3)}, "none above initial_rates"),
        ({"fee_rate": 1.0}, "fee_rate 1.0"),
        (
            {"fee_rate": math.nan, "floors": (1.0, 2.0)},
            r"2 problem.s.\n.*0 first and then rising numbers\n.*fee_rate nan",
        ),
    ],
)
def test_tiers_that_are_none_are_refused_with_every_reason(changes, words):
    good = {"floors": (0.0, 1e4), "initial_rates": (0.1, 0.2), "maintenance_rates": (0.05, 0.1)}
    with pytest.raises(ConfigError, match=words):
        Tiered(**(good | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"maintenance_rate": 0.3}, "rates 0.3 .maintenance. and 0.02"),
        ({"maintenance_slope": 1e-4}, "slopes 0.0001 .maintenance. and 5e-05"),
        ({"maintenance_rate": -0.1}, "expected 0 <= maintenance"),
        ({"initial_rate": math.nan}, "rates"),
        ({"fee_rate": -0.1}, "fee_rate"),
    ],
)
def test_slopes_that_are_none_are_refused(changes, words):
    good = {"initial_rate": 0.02, "maintenance_rate": 0.01, "initial_slope": 5e-5, "maintenance_slope": 5e-5}
    with pytest.raises(ConfigError, match=words):
        SizeSlope(**(good | changes))
