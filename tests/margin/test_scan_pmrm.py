"""Derive's portfolio margin (PMRM) from parameters alone, against the cases its own tests publish.

Source: github.com/derivexyz/v2-core @740ef294, test/risk-managers/unit-tests/PMRM/testAndVerifyScenarios.json (spot at
1,500, perpetual at 1,505, years of 365 days). A balance there is mark-to-market less requirement.
"""

from dataclasses import replace

import pytest
from support.scan_models import PMRM, option, perpetual, spot

from riskpipe.margin.risk_unit import UnitMarket, unit_value
from riskpipe.margin.scan import requirement
from riskpipe.margin.scan_parameters import scan_model

YEAR = 365 * 86_400
SPOT, PERPETUAL = 1_500.0, 1_505.0
# seconds to expiry: forward, part of it that is settled, interest rate
EXPIRIES = {
    900: (1101.6666666666667 + 375.00037457210494, 1101.6666666666667, 0.01),
    500_400: (1500.8332793109938, 0.0, 0.03),
    1_191_600: (1501.9850451871958, 0.0, 0.05),
    2_487_600: (1504.1469890856878, 0.0, 0.04),
    7_758_000: (1512.9710007874096, 0.0, 0.1),
}
WEEK, ATM = 500_400, (1_500, True, 1.0478844940849862)

# (seconds, strike, is call, amount, volatility)
LARGE_BOOK = [
    (1_191_600, 1_600, True, -3, 1.081048412239005),
    (500_400, 4_800, True, -3, 1.6243612478218634),
    (7_758_000, 4_400, False, 1, 1.5844057208064353),
    (900, 2_300, True, 1, 1.2839254389914291),
    (900, 4_800, True, -1, 1.6245913801402355),
    (7_758_000, 1_200, False, 1, 1.1445617749653085),
    (500_400, 1_600, True, 5, 1.0814822163176013),
    (900, 2_900, False, -1, 1.4000430820702919),
    (900, 1_200, False, -3, 1.1385520609538919),
    (7_758_000, 3_700, False, 1, 1.5088843533977132),
    (7_758_000, 1_600, True, -1, 1.0769468822753195),
    (900, 3_900, True, 5, 1.5360021730365512),
    (900, 2_700, False, 5, 1.3652640788593871),
    (900, 5_000, False, -3, 1.6414495400304064),
    (7_758_000, 1_000, False, -1, 1.2672214364849283),
    (2_487_600, 1_400, False, 5, 1.0416592418543835),
    (900, 3_500, False, -3, 1.4877630029489454),
    (2_487_600, 4_400, True, -3, 1.5868929832599629),
    (2_487_600, 1_600, False, 5, 1.0802360195628215),
    (500_400, 1_200, True, 5, 1.1389393988282975),
    (2_487_600, 5_000, True, 1, 1.640315242477901),
    (500_400, 4_600, True, -20, 1.6065958280472968),
    (500_400, 3_100, True, -20, 1.4314960240437396),
    (500_400, 5_000, True, 5, 1.6412217578106276),
    (500_400, 5_000, False, -1, 1.6412217578106276),
    (1_191_600, 3_300, True, -20, 1.460263628725004),
    (900, 1_400, False, 1, 1.0407104735183625),
    (7_758_000, 3_900, True, -20, 1.5322194300531023),
    (1_191_600, 2_900, False, -3, 1.399407566479994),
    (2_487_600, 2_500, True, 1, 1.3254208995661381),
]
TWO_EXPIRIES = [
    (WEEK, 1, True, 1, 3.603538277664962),
    (WEEK, 1_500, True, -1, 1.0478844940849862),
    (WEEK, 1_500, False, 1, 1.0478844940849862),
    (WEEK, 2_700, True, 1, 1.3649908996604728),
    (WEEK, 2_700, False, -1, 1.3649908996604728),
    (1_191_600, 2_950, False, 1, 1.407606763626378),
    (1_191_600, 1_500, True, -1, 1.0475548094157236),
    (1_191_600, 1_500, False, 1, 1.0475548094157236),
    (1_191_600, 2_700, True, 1, 1.364612791185948),
    (1_191_600, 2_700, False, -1, 1.364612791185948),
]
BOX = [
    (WEEK, 1_500, True, -1, 1.0478844940849862),
    (WEEK, 1_500, False, 1, 1.0478844940849862),
    (WEEK, 2_500, True, 1, 1.32653865803086),
    (WEEK, 2_500, False, -1, 1.32653865803086),
]
SPREAD = [(WEEK, 500, True, 1, 1.653152366370104), (WEEK, 900, True, -1, 1.328657463897111)]
SYNTHETIC = [(WEEK, 1_500, True, 1, 1.0478844940849862), (WEEK, 1_500, False, -1, 1.0478844940849862)]

# name: options, perpetuals, base, confidence, peg, extra money; value, maintenance and initial balance,
# static contingency, basis contingency
CASES = {
    "1 short call": (
        *([(WEEK, *ATM[:2], -1, ATM[2])], 0, 0, 1.0, 1.0, 0),
        *(-79.37158518905994, -301.7685348603643, -368.48761976175565, 15.0, 11.275911269415125),
    ),
    "2 call in the money": (
        *([(WEEK, 1_200, True, 1, 1.1389393988282975)], 0, 0, 1.0, 1.0, 0),
        *(305.7473344492957, 81.32974228075892, 14.004464630197844, 0.0, 17.381590857176697),
    ),
    "3 call spread": (
        *(SPREAD, 0, 0, 1.0, 1.0, 0),
        *(399.93915923629834, 347.94306633057403, 332.34423845885673, 15.0, 0.027442547681155032),
    ),
    "4 feed at half confidence": (
        *([(WEEK, *ATM[:2], 1, ATM[2])], 0, 0, 0.5, 1.0, 0),
        *(79.37158518905994, 0.23045318766777712, -398.51188641274986, 0.0, 8.47730089020888),
    ),
    "6 feed above the threshold": (
        *([(WEEK, *ATM[:2], 1, ATM[2])], 0, 0, 0.8, 1.0, 0),
        *(79.37158518905994, 0.23045318766777712, -23.511886412749873, 0.0, 8.47730089020888),
    ),
    "12 stablecoin at 0.90": (
        *([(WEEK, *ATM[:2], 1, ATM[2])], 0, 0, 1.0, 0.9, 0),
        *(79.37158518905994, 0.23045318766777712, -36.174467532972614, 0.0, 8.47730089020888),
    ),
    "13 two expiries, basis worst": (
        *(TWO_EXPIRIES, 0, 0, 1.0, 1.0, 0),
        *(549.1162590260969, 511.77825387467243, 500.57685232924504, 0.0, 37.33800515142453),
    ),
    "14 covered call": (
        *([(WEEK, *ATM[:2], -1, ATM[2])], 0, 1, 1.0, 1.0, 0),
        *(1420.62841481094, 1185.3347995844503, 1114.7467150165035, 45.0, 11.275911269415125),
    ),
    "15 synthetic forward": (
        *(SYNTHETIC, 0, 0, 1.0, 1.0, 0),
        *(0.8332793109939302, -224.2917125856552, -291.82921015464994, 0.0, 18.77232328738198),
    ),
    "16 perpetual": ([], 1, 0, 1.0, 1.0, 0, 0.0, -255.75, -332.475, 30.0, 0.0),
    "17 perpetual, cash and profit": ([], 1, 0, 1.0, 1.0, 1_065, 1_065.0, 809.25, 732.525, 30.0, 0.0),
    "18 settling forward": (
        *([(900, 1_500, True, -1, 1.0481245668157331)], 0, 0, 1.0, 1.0, 0),
        *(-0.006343786253127703, -48.24607738893246, -62.71799746973627, 15.0, 0.38381281225306688),
    ),
    "19 large book": (
        *(LARGE_BOOK, 420, 69, 1.0, 1.0, 12_100),
        *(102480.8985559039, -25539.348818813012, -63945.42303122807, 16_245.0, 369.5226651246897),
    ),
    "20 short box": (BOX, 0, 0, 1.0, 1.0, 0, -1_000.0, -1_000.0, -1_000.0, 0.0, 0.0),
    "21 long box": (
        *([(s, k, c, -a, v) for s, k, c, a, v in BOX], 0, 0, 1.0, 1.0, 0),
        *(1_000.0, 947.4408390502718, 931.6730907653533, 0.0, 0.0),
    ),
}


def holdings_of(options, perpetuals, base, confidence):
    found = []
    for seconds, strike, is_call, amount, volatility in options:
        forward, fixed, rate = EXPIRIES[seconds]
        found.append(
            option(
                float(amount),
                forward,
                float(strike),
                seconds / YEAR,
                volatility,
                is_call,
                fixed_price=fixed,
                rate=rate,
                confidence=confidence,
            )
        )
    found += [perpetual(float(perpetuals), PERPETUAL)] if perpetuals else []
    return found + ([spot(float(base), SPOT)] if base else [])


@pytest.mark.parametrize("name", CASES)
def test_balances_are_the_published_ones(name):
    options, perpetuals, base, confidence, peg, money, value, maintenance, initial, static, basis = CASES[name]
    holdings, market = holdings_of(options, perpetuals, base, confidence), UnitMarket(SPOT, peg)
    result = requirement(scan_model(PMRM), holdings, market)
    gross = sum(abs(holding.size) * SPOT for holding in holdings)
    worth = money + base * SPOT + sum(h.size * unit_value(h.instrument, market) for h in holdings)
    assert worth == pytest.approx(value, abs=1e-12 * gross)
    assert worth - result.maintenance_margin == pytest.approx(maintenance, abs=1e-12 * gross)
    assert worth - result.initial_margin == pytest.approx(initial, abs=1e-12 * gross)
    assert result.groups["static"] == pytest.approx(static, abs=1e-12 * gross)
    assert result.groups["basis"] == pytest.approx(basis, abs=1e-12 * gross)


def test_worst_cells_are_where_the_risk_is():
    model = scan_model(PMRM)

    def worst(options, perpetuals=0):
        cell = model.cells[
            requirement(model, holdings_of(options, perpetuals, 0, 1.0), UnitMarket(SPOT)).worst_cells["scan"]
        ]
        return cell.price_move, cell.vol_move

    assert worst([(WEEK, 1_500, True, -1, 1.0)]) == (0.15, 1)
    assert worst([(WEEK, 1_500, True, 1, 1.0)]) == (-0.15, -1)
    assert worst([], 1)[0] == -0.15
    assert worst([], -1)[0] == 0.15


def test_confidence_counts_holding_by_holding_and_initially_only():
    model, market = scan_model(PMRM), UnitMarket(SPOT)
    book = holdings_of([(WEEK, *ATM[:2], -1, ATM[2]), (7_758_000, 4_000, True, 2, 1.0)], 3, 0, 1.0)
    doubtful = [replace(book[0], instrument=replace(book[0].instrument, confidence=0.4)), *book[1:]]
    sure, unsure = requirement(model, book, market), requirement(model, doubtful, market)
    assert unsure.maintenance_margin == sure.maintenance_margin
    assert unsure.initial_margin - sure.initial_margin == pytest.approx(0.6 * 0.5 * 1.0 * SPOT)
