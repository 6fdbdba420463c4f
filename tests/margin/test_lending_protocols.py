"""Compound v3, Maker and Morpho: their own worked figures, and what they conserve."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.margin.lending import bad_debt, is_liquidatable, weighted_collateral
from riskpipe.margin.lending_protocols import (
    absorb,
    is_vault_unsafe,
    liquidation_incentive_factor,
    morpho_liquidation,
    quote_collateral,
    vault_liquidation_price,
    vault_spot,
)

COMET = "https://github.com/compound-finance/comet/blob/d5a30b0a/test/"
MORPHO = "https://github.com/morpho-org/morpho-blue/blob/3085651a/src/Morpho.sol"
CLIP = "https://github.com/makerdao/dss/blob/fa4f6630/src/test/clip.t.sol"
VALUES = st.lists(st.tuples(st.floats(0.0, 1e7), st.floats(0.5, 1.0)), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("base", "price", "liquidation_factor", "store_front", "out"),
    [(200.0, 200.0, 0.6, 0.5, 1.25), (200.0, 200.0, 0.6, 0.0, 1.0), (810.0, 9.0, 0.8, 0.5, 100.0)],
)
def test_compound_sells_collateral_at_the_published_quote(base, price, liquidation_factor, store_front, out):
    found = quote_collateral(
        base,
        base_price=1.0,
        collateral_price=price,
        liquidation_factor=liquidation_factor,
        store_front_price_factor=store_front,
    )
    assert found == pytest.approx(out, abs=1e-9), COMET + "quote-collateral-test.ts"


@pytest.mark.parametrize(("collateral", "factor", "is_under"), [(1e5, 1.0, False), (95e3, 1.0, True), (1e5, 0.8, True)])
def test_compound_liquidates_below_zero_liquidity_only(collateral, factor, is_under):
    found = is_liquidatable(weighted_collateral([collateral], [factor]), 1e5)
    assert found == is_under, COMET + "is-liquidatable-test.ts"


def test_compound_absorbs_everything_and_gives_back_what_is_over():
    # WETH at liquidateCF 0.895 and factor 0.95: 1,000 of it against 900 of debt
    absorbed = absorb(900.0, [1_000.0], [0.95], store_front_price_factor=0.5)
    assert absorbed.repaid == 900.0
    assert absorbed.returned == pytest.approx(50.0)
    assert absorbed.reserves_loss == pytest.approx(900.0 + 50.0 - 975.0)
    under = absorb(1_000.0, [900.0], [0.95])
    assert (under.returned, under.reserves_loss) == (0.0, pytest.approx(1_000.0 - 855.0))
    assert math.isnan(absorb(math.nan, [1.0], [0.9]).returned)


@given(st.floats(0.0, 1e7), VALUES, st.floats(0.0, 1.0))
def test_what_reserves_pay_is_the_debt_and_what_they_return(debt, assets, store_front):
    values, factors = [value for value, _ in assets], [factor for _, factor in assets]
    absorbed = absorb(debt, values, factors, store_front)
    sold = sum(
        value
        / (
            quote_collateral(
                1.0,
                base_price=1.0,
                collateral_price=1.0,
                liquidation_factor=factor,
                store_front_price_factor=store_front,
            )
        )
        for value, factor in assets
    )
    scale = debt + sum(values) + 1.0
    assert absorbed.reserves_loss + sold == pytest.approx(absorbed.repaid + absorbed.returned, abs=1e-9 * scale)
    # sold at a discount no deeper than the penalty, reserves lose only on debt that was not covered
    covered = sum(value * factor for value, factor in assets)
    assert absorbed.reserves_loss <= max(0.0, debt - covered) + 1e-9 * scale


def test_a_maker_vault_is_unsafe_below_its_ratio_and_not_at_it():
    # 40 of collateral, 100 of debt, ratio 200%: spot 2.5 at a price of 5, 2 at 4
    assert vault_spot(5.0, 2.0) == 2.5, CLIP
    assert not is_vault_unsafe(40.0, vault_spot(5.0, 2.0), 100.0, 1.0), CLIP
    assert is_vault_unsafe(40.0, vault_spot(4.0, 2.0), 100.0, 1.0), CLIP
    assert is_vault_unsafe(40.0, 2.5, 100.0, 1.01)
    assert not is_vault_unsafe(40.0, 0.0, 100.0, 1.0), "a vault without a price is left alone"
    assert not is_vault_unsafe(40.0, math.nan, 100.0, 1.0)
    assert vault_liquidation_price(40.0, 100.0, 1.0, 2.0) == 5.0
    assert vault_liquidation_price(40.0, 100.0, 1.02, 1.5, par=1.01) == pytest.approx(100.0 * 1.02 * 1.5 * 1.01 / 40.0)
    assert math.isnan(vault_liquidation_price(0.0, 100.0, 1.0, 2.0))
    assert math.isnan(vault_liquidation_price(40.0, 0.0, 1.0, 2.0))


@pytest.mark.parametrize(
    ("lltv", "factor"),
    [
        (0.965, 1.010611419909045),
        (0.945, 1.0167768174885612),
        (0.915, 1.0261672652642382),
        (0.86, 1.0438413361169103),
        (0.8, 1.0638297872340425),
        (0.77, 1.0741138560687433),
        (0.385, 1.15),
    ],
)
def test_morpho_pays_the_published_incentive(lltv, factor):
    assert liquidation_incentive_factor(lltv) == pytest.approx(factor, rel=1e-12), MORPHO


def test_a_morpho_loan_at_its_lltv_is_left_alone_and_beyond_it_is_not():
    terms = {"seized": 10.0, "collateral": 100.0, "price": 1.0, "lltv": 0.8}
    assert morpho_liquidation(debt=80.0, **terms).seized == 0.0
    taken = morpho_liquidation(debt=80.0001, **terms)
    assert (taken.seized, taken.repaid) == pytest.approx((10.0, 10.0 / 1.0638297872340425))
    assert (taken.debt_left, taken.collateral_left) == pytest.approx((80.0001 - taken.repaid, 90.0))


def test_morphos_incentive_is_capped_and_knows_nan():
    assert liquidation_incentive_factor(0.385, largest=math.inf) == pytest.approx(1.2263, abs=1e-4)
    assert math.isnan(liquidation_incentive_factor(math.nan))


@given(
    st.floats(0.0, 2.0),
    st.floats(1.0, 1e6),
    st.floats(0.1, 1e5),
    st.sampled_from([0.385, 0.77, 0.86, 0.965]),
    st.floats(0.3, 1.4),
)
def test_a_morpho_liquidation_conserves_and_bad_debt_is_what_nothing_stands_behind(
    share, collateral, price, lltv, loan_to_value
):
    debt = collateral * price * loan_to_value
    terms = {"debt": debt, "collateral": collateral, "price": price, "lltv": lltv}
    end = morpho_liquidation(seized=share * collateral, **terms)
    assert end.repaid + end.debt_left + end.bad_debt == pytest.approx(debt)
    assert end.seized + end.collateral_left == pytest.approx(collateral)
    assert min(end.repaid, end.seized, end.debt_left, end.collateral_left, end.bad_debt) >= 0.0
    factor = liquidation_incentive_factor(lltv)
    assert end.seized * price <= end.repaid * factor * (1.0 + 1e-9)
    if not is_liquidatable(collateral * price * lltv, debt):
        assert (end.repaid, end.seized) == (0.0, 0.0)
    elif share >= 1.0 and loan_to_value > 1.0 / factor * (1.0 + 1e-9):
        # insolvent beyond 1 / LIF: all collateral goes and debt is left
        assert end.bad_debt == pytest.approx(bad_debt(debt, collateral * price, factor - 1.0))
        assert end.bad_debt > 0.0
    elif share >= 1.0 and loan_to_value < 1.0 / factor * (1.0 - 1e-9):
        assert end.debt_left == pytest.approx(0.0, abs=1e-9 * debt)
        assert end.bad_debt == 0.0
    assert math.isnan(morpho_liquidation(seized=math.nan, **terms).repaid)
