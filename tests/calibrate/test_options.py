"""Options: the model at forward, volatility and time gives the mark, or a finding says how far it is off."""

from datetime import timedelta
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.books import AS_OF, book

from riskpipe.calibrate.options import option_inputs
from riskpipe.domain.book import InstrumentKind
from riskpipe.domain.findings import Findings, Reason
from riskpipe.pricing.black76 import option_value, vega

NAN = float("nan")
BTC, ETH, USDT, USD = range(4)
FUTURE, OPTION = InstrumentKind.FUTURE, InstrumentKind.OPTION


def expiry_us(years):
    return round((AS_OF + timedelta(days=years * 365.0)).timestamp() * 1e6)


def options_book(*options, futures=()):
    """Return a book of BTC futures (years, mark) and options (is_call, strike, years, mark, quoted, is in coin)."""
    n_futures = len(futures)
    kind = [FUTURE] * n_futures + [OPTION] * len(options)
    n = len(kind)
    years = [years for years, _ in futures] + [option[2] for option in options]
    in_coin = [True] * n_futures + [option[5] for option in options]
    nothing = [NAN] * n_futures
    return book(
        instruments=[f"F{at}" for at in range(n_futures)] + [f"O{at}" for at in range(len(options))],
        instrument_kind=np.array(kind, np.int32),
        instrument_underlying=np.full(n, BTC, np.int32),
        instrument_quote=np.full(n, USD, np.int32),
        instrument_settlement=np.where(in_coin, BTC, USD).astype(np.int32),
        instrument_expiry_us=np.array([expiry_us(span) for span in years], np.int64),
        instrument_is_call=np.array([False] * n_futures + [option[0] for option in options], bool),
        instrument_strike=np.array(nothing + [option[1] for option in options]),
        implied_vol=np.array(nothing + [option[4] for option in options]),
        mark_price=np.array([mark for _, mark in futures] + [option[3] for option in options]),
    )


def run(case):
    findings = Findings()
    return option_inputs(case, findings), {found.reason: found for found in findings}


def marked(forward, option, vol):
    """Return the mark of an option at a volatility."""
    is_call, strike, years, _, _, in_coin = option
    return option_value(is_call, forward, strike, years, vol, 1.0) / (forward if in_coin else 1.0)


OPTIONS = st.tuples(
    st.booleans(), st.floats(2e4, 1.5e5), st.floats(0.003, 2.0), st.just(NAN), st.just(NAN), st.booleans()
)


@given(st.lists(st.tuples(OPTIONS, st.floats(0.1, 2.5), st.floats(0.5, 2.0)), min_size=1, max_size=6))
def test_the_model_gives_every_mark_that_tells_a_volatility(drawn):
    forward = 50_000.0  # the index: there is no future
    options = []
    drawn = [some for some in drawn if marked(forward, some[0], some[1]) > 1e-9]  # as small as venues print
    for option, vol, off in drawn:
        options.append((*option[:3], marked(forward, option, vol), vol * off, option[5]))
    case = options_book(*options)
    inputs, findings = run(case)
    by_quote = 0
    for n, ((_, vol, off), option) in enumerate(zip(drawn, options, strict=True)):
        is_call, strike, _, mark, quoted, in_coin = option
        years = float(case.years_to_expiry[n])
        assert years == pytest.approx(option[2], abs=1e-12)
        assert inputs.forward[n] == forward
        value = option_value(is_call, forward, strike, years, float(inputs.vol[n]), 1.0)
        value /= forward if in_coin else 1.0
        if inputs.vol[n] != quoted or off == 1.0:
            assert value == pytest.approx(mark, rel=1e-9)
            continue
        by_quote += 1
        told = vega(forward, strike, years, vol, 1.0) * vol * 0.01
        assert told < 2e-6 * mark * (forward if in_coin else 1.0), "only a mark that tells no volatility is not solved"
    assert (findings[Reason.QUOTED_VOL].count if by_quote else 0) == by_quote
    assert (findings[Reason.INDEX_AS_FORWARD].count if options else 0) == len(options)


def test_the_forward_is_the_mark_of_the_future_of_the_same_market_and_expiry():
    option = (True, 5e4, 0.25, 0.1, NAN, True)
    case = options_book(option, futures=[(0.25, 51_000.0), (0.25, 52_000.0), (0.5, 53_000.0)])
    inputs, findings = run(case)
    np.testing.assert_array_equal(inputs.forward, [NAN, NAN, NAN, 51_000.0])
    assert Reason.INDEX_AS_FORWARD not in findings
    case.instrument_settlement[0] = USD  # of two futures, the one that pays what the option pays
    assert run(case)[0].forward[3] == 52_000.0
    for field, other in (
        ("instrument_underlying", ETH),
        ("instrument_quote", USDT),
        ("instrument_venue", 1),
        ("instrument_kind", InstrumentKind.PERPETUAL),
        ("instrument_expiry_us", 1),
    ):
        case = options_book(option, futures=[(0.25, 51_000.0)])
        getattr(case, field)[0] = other
        inputs, findings = run(case)
        assert inputs.forward[1] == 50_000.0, field
        assert findings[Reason.INDEX_AS_FORWARD].examples == ("O0",)
    case.instrument_quote[1] = USDT
    assert run(case)[0].forward[1] == 50_000.0 / 0.999


def test_nothing_but_options_has_inputs():
    inputs, findings = run(book())
    assert np.isnan([inputs.forward, inputs.vol]).all()
    assert not findings


OUTSIDE = {
    "below the intrinsic value": (True, 4e4, 0.25, 0.1999, 0.7, True),
    "at the intrinsic value": (True, 4e4, 0.25, 0.2, 0.7, True),
    "above the bound": (True, 4e4, 0.25, 1.01, 0.7, True),
    "deep in the money": (True, 1e4, 0.01, 0.8 + 1e-12, 0.7, True),
    "below the intrinsic value, in money": (False, 6e4, 0.25, 9_990.0, 0.7, False),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_mark_that_tells_no_volatility_takes_the_quoted_one_and_tells_the_gap(case):
    option = OUTSIDE[case]
    inputs, findings = run(options_book(option))
    assert inputs.vol[0] == 0.7
    gap = abs(marked(50_000.0, option, 0.7) / option[3] - 1.0)
    assert f"by up to {gap:.2%} of the mark" in findings[Reason.QUOTED_VOL].message
    assert findings[Reason.QUOTED_VOL].examples == (f"O0: {gap:.2%}",)
    inputs, findings = run(options_book((*option[:4], NAN, option[5])))
    assert inputs.vol[0] == 0.0
    gap = abs(marked(50_000.0, option, 0.0) / option[3] - 1.0)
    assert f"by up to {gap:.2%} of the mark" in findings[Reason.NO_VOL].message
    assert Reason.QUOTED_VOL not in findings


def test_a_quoted_volatility_far_from_the_solved_one_is_a_finding_with_the_worst_first():
    options = [
        (True, 5e4, 0.25, marked(5e4, (True, 5e4, 0.25, NAN, NAN, True), 0.6), 0.6 * off, True)
        for off in (1.0, 1.04, 1.2, 0.9, NAN)
    ]
    inputs, findings = run(options_book(*options))
    np.testing.assert_allclose(inputs.vol, 0.6, rtol=1e-9)
    assert findings.keys() == {Reason.VOL_DIFFERS, Reason.INDEX_AS_FORWARD}
    found = findings[Reason.VOL_DIFFERS]
    assert found.examples == ("O2: 20.00%", "O3: 10.00%")
    assert found.count == 2
    assert isnan(options[-1][4])
