"""What one unit of an instrument gains in a cell: volatility laws, time, coins, forwards that are settling."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.margin.risk_unit import (
    UnitInstrument,
    UnitMarket,
    cell_change,
    moved_volatility,
    unit_delta,
    unit_value,
    unit_vega,
    vol_range,
)
from riskpipe.margin.scan_model import Cell, ScanModel, VolShock
from riskpipe.pricing.black76 import inverse_option_value, option_value

PMRM_LIB = "github.com/derivexyz/v2-core testAndVerifyScenarios.json, VolShockUp and VolShockDown"
FORMER = "https://www.deribit.com/pages/docs/portfoliomargin: (30 / days)^0.30 x 38%"
USD, COIN = ScanModel((Cell(0.1),)), ScanModel((Cell(0.1),), valued_in="settlement")
MARKET = UnitMarket(100.0)
DAY = 1 / 365


@pytest.mark.parametrize(
    ("seconds", "up", "down"),
    [
        (900, 2.2483860016024813, 0.16774266559834583),  # under the floor of a day
        (500_400, 1.7370684514926746, 0.508621032338217),
        (1_191_600, 1.5681511166375728, 0.6212325889082848),
        (2_487_600, 1.4555844040146944, 0.6962770639902038),
        (7_758_000, 1.3902272493224166, 0.7398485004517223),  # the long power
    ],
)
def test_volatility_moves_by_the_published_factors(seconds, up, down):
    shock = VolShock(up=0.45, down=0.3, short_power=0.3, long_power=0.13)
    years = seconds / 86_400 * DAY
    assert moved_volatility(shock, 1.0, 1.0, years) == pytest.approx(up, rel=1e-12), PMRM_LIB
    assert moved_volatility(shock, -1.0, 1.0, years) == pytest.approx(down, rel=1e-12), PMRM_LIB
    assert moved_volatility(shock, 0.0, 0.7, years) == 0.7


def test_ranges_are_those_of_the_published_examples():
    shock = VolShock(up=0.38, down=0.38, short_power=0.3, long_power=0.3)
    assert vol_range(shock, 1.0, 30 * DAY) == pytest.approx(0.38), FORMER
    assert vol_range(shock, -1.0, 15 * DAY) == pytest.approx(-0.38 * 2**0.3), FORMER
    squared = VolShock(up=0.4, down=0.4, short_power=0.5, long_power=0.5)
    assert vol_range(squared, 1.0, 15 * DAY) == pytest.approx(0.566, abs=5e-4)  # the rule before: 56.6% at 15 days


def test_volatility_has_floors_and_curves():
    raised = VolShock(up=0.5, down=0.25, least_raised=0.5)
    assert moved_volatility(raised, 1.0, 0.2, 1.0) == 0.5
    assert moved_volatility(raised, 1.0, 0.6, 1.0) == pytest.approx(0.9)
    assert moved_volatility(raised, -1.0, 0.2, 1.0) == pytest.approx(0.15)
    assert moved_volatility(raised, 0.0, 0.2, 1.0) == 0.2
    points = VolShock(up=0.3, down=0.3, is_relative=False)
    assert moved_volatility(points, 1.0, 0.2, 1.0) == pytest.approx(0.5)
    assert moved_volatility(points, -1.0, 0.2, 1.0) == 0.0
    curve = VolShock(curve=((0.0, 0.4, 0.3), (30.0, 0.2, 0.2), (60.0, 0.1, 0.05)))
    found = [vol_range(curve, 1.0, days * DAY) for days in (0.0, 15.0, 30.0, 45.0, 60.0, 900.0)]
    assert found == pytest.approx([0.4, 0.3, 0.2, 0.15, 0.1, 0.1])
    assert vol_range(curve, -1.0, 45.0 * DAY) == pytest.approx(-0.125)
    assert vol_range(VolShock(curve=((7.0, 0.4, 0.3),)), 1.0, 0.0) == 0.4


@given(st.floats(-0.9, 5.0), st.floats(50.0, 200.0))
def test_contracts_gain_what_their_payoff_says(move, mark):
    cell = Cell(move)
    linear = UnitInstrument("perpetual", mark)
    inverse = UnitInstrument("perpetual", mark, is_coin_settled=True)
    gained_coins = 1.0 / mark - 1.0 / (mark * (1.0 + move))
    assert cell_change(USD, cell, linear, MARKET) == pytest.approx(mark * move)
    assert cell_change(COIN, cell, inverse, MARKET) == pytest.approx(gained_coins * 100.0, abs=1e-12)
    assert cell_change(USD, cell, inverse, MARKET) == pytest.approx(gained_coins * 100.0 * (1.0 + move), abs=1e-12)
    # one long linear contract and the coins of one short inverse at its mark cancel at the moved prices
    hedge = mark * cell_change(USD, cell, inverse, UnitMarket(mark))
    assert cell_change(USD, cell, linear, UnitMarket(mark)) == pytest.approx(hedge, abs=1e-9)
    spot = UnitInstrument("spot", 100.0)
    assert cell_change(USD, cell, spot, MARKET) == pytest.approx(100.0 * move)
    assert cell_change(COIN, cell, spot, MARKET) == 0.0
    # an amount in another quote currency
    assert cell_change(USD, cell, UnitInstrument("future", mark, quote_price=0.9), MARKET) == pytest.approx(
        0.9 * mark * move
    )


def test_options_are_repriced_on_the_moved_forward():
    call = UnitInstrument("option", 105.0, years=0.25, strike=110.0, volatility=0.6)
    now = option_value(True, 105.0, 110.0, 0.25, 0.6, 1.0)
    then = option_value(True, 105.0 * 1.2, 110.0, 0.25, 0.6, 1.0)
    assert unit_value(call, MARKET) == now
    assert cell_change(USD, Cell(0.2), call, MARKET) == pytest.approx(then - now)
    coin = UnitInstrument("option", 105.0, is_coin_settled=True, years=0.25, strike=110.0, volatility=0.6)
    marks = [inverse_option_value(True, 105.0 * (1.0 + x), 110.0, 0.25, 0.6) for x in (0.0, 0.2)]
    assert unit_value(coin, MARKET) == pytest.approx(100.0 * marks[0])
    assert cell_change(COIN, Cell(0.2), coin, MARKET) == pytest.approx(100.0 * (marks[1] - marks[0]))
    assert cell_change(USD, Cell(0.2), coin, MARKET) == pytest.approx(120.0 * marks[1] - 100.0 * marks[0])
    # where the coins are counted at another price than the one they were made at
    edge = Cell(0.2, settled_at=0.1)
    assert cell_change(COIN, edge, coin, MARKET) == pytest.approx(100.0 * (marks[1] - marks[0]) * 1.2 / 1.1)


def test_time_passes_and_what_is_settled_does_not_move():
    put = UnitInstrument("option", 100.0, years=10 * DAY, strike=95.0, is_call=False, volatility=0.8)
    now, tomorrow = (option_value(False, 100.0, 95.0, days * DAY, 0.8, 1.0) for days in (10, 9))
    assert cell_change(USD, Cell(0.0, days=1.0), put, MARKET) == pytest.approx(tomorrow - now)
    assert cell_change(USD, Cell(0.0, days=30.0), put, MARKET) == pytest.approx(-now)
    settling = UnitInstrument("option", 100.0, years=DAY / 96, strike=100.0, volatility=0.8, fixed_price=75.0)
    moved = option_value(True, 75.0 + 25.0 * 1.2, 100.0, DAY / 96, 0.8, 1.0)
    assert cell_change(USD, Cell(0.2), settling, MARKET) == pytest.approx(
        moved - option_value(True, 100.0, 100.0, DAY / 96, 0.8, 1.0)
    )


@given(st.sampled_from(["spot", "perpetual", "future", "option"]), st.booleans(), st.booleans(), st.floats(60.0, 160.0))
def test_deltas_and_vegas_are_slopes_of_the_cells(kind, is_coin_settled, in_coins, strike):
    model = COIN if in_coins else USD
    instrument = UnitInstrument(kind, 100.0, is_coin_settled=is_coin_settled, years=0.2, strike=strike, volatility=0.7)
    step = 1e-6
    slope = (
        cell_change(model, Cell(step), instrument, MARKET) - cell_change(model, Cell(-step), instrument, MARKET)
    ) / (2.0 * step)
    assert unit_delta(model, instrument, MARKET) * 100.0 == pytest.approx(slope, abs=1e-5)
    tilt = ScanModel((Cell(0.0),), vol_shocks=(VolShock(up=step, down=step, is_relative=False),))
    change = cell_change(tilt, Cell(0.0, 1.0), instrument, MARKET) / step
    assert unit_vega(instrument, MARKET) == pytest.approx(change, abs=1e-3)


def test_nan_prices_give_nan_changes():
    for kind in ("perpetual", "future", "option"):
        broken = UnitInstrument(kind, math.nan, years=0.1, strike=100.0, volatility=0.5)
        assert math.isnan(cell_change(USD, Cell(0.1), broken, MARKET))
    for field in ("years", "strike", "volatility"):
        whole = {"years": 0.1, "strike": 100.0, "volatility": 0.5}
        broken = UnitInstrument("option", 100.0, **{**whole, field: math.nan})
        assert math.isnan(cell_change(USD, Cell(0.1, 1.0), broken, MARKET))
    assert math.isnan(cell_change(USD, Cell(0.1), UnitInstrument("spot", 100.0), UnitMarket(math.nan)))
