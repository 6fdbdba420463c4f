"""Laws that every portfolio-margin model keeps, whatever its parameters."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scan_brute import brute_force
from support.scan_models import ALL, future, option, perpetual, span, spot

from riskpipe.margin.risk_unit import UnitHolding, UnitMarket, cell_change
from riskpipe.margin.scan import cell_profit, requirement
from riskpipe.margin.scan_parameters import scan_model

INDEX = 50_000.0
MODELS = {name: scan_model(parameters) for name, parameters in ALL.items()}
EXPIRIES = (2 / 365, 20 / 365, 90 / 365)

sizes = st.floats(-200.0, 200.0).filter(lambda size: abs(size) > 1e-3)


@st.composite
def holdings(draw, kinds=("spot", "perpetual", "future", "option"), signs=sizes):
    """One holding: sizes of some coins, linear or coin-settled, marks within 2% of the index."""
    kind, size = draw(st.sampled_from(kinds)), draw(signs)
    price, is_coin_settled = INDEX * draw(st.floats(0.98, 1.02)), draw(st.booleans())
    if kind == "spot":
        return spot(size, INDEX)
    in_quote = size * price if is_coin_settled else size
    years = draw(st.sampled_from(EXPIRIES))
    confidence = draw(st.sampled_from([1.0, 0.3]))
    if kind == "perpetual":
        return perpetual(in_quote, price, is_coin_settled=is_coin_settled, confidence=confidence)
    forward = INDEX * (1.0 + 0.1 * years)
    if kind == "future":
        return future(in_quote, forward, years, is_coin_settled=is_coin_settled)
    return option(
        size,
        forward,
        INDEX * draw(st.sampled_from([0.6, 0.9, 1.0, 1.1, 1.6])),
        years,
        draw(st.floats(0.2, 1.5)),
        draw(st.booleans()),
        is_coin_settled=is_coin_settled,
        confidence=confidence,
        rate=0.03,
    )


books = st.lists(holdings(), max_size=6)
markets = st.builds(UnitMarket, st.just(INDEX), st.sampled_from([1.0, 0.9]))


def gross(book):
    return INDEX * sum(abs(h.size) / (h.instrument.price if abs(h.size) > 1e3 else 1.0) for h in book) + 1.0


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=30)
@given(books, markets)
def test_requirements_equal_a_second_implementation(name, book, market):
    found = requirement(MODELS[name], book, market)
    maintenance, initial = brute_force(ALL[name], book, market)
    # the other one takes greeks by differences
    assert found.maintenance_margin == pytest.approx(maintenance, rel=1e-6, abs=1e-7 * gross(book))
    assert found.initial_margin == pytest.approx(initial, rel=1e-6, abs=1e-7 * gross(book))


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=30)
@given(books, markets)
def test_margins_are_ordered_and_no_figure_is_negative(name, book, market):
    found = requirement(MODELS[name], book, market)
    assert 0.0 <= found.maintenance_margin <= found.initial_margin
    assert min(found.groups.values()) >= 0.0
    assert set(found.groups) == set(MODELS[name].groups())
    assert len(found.changes) == len(MODELS[name].cells)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=30)
@given(books, markets, st.randoms(use_true_random=False))
def test_order_and_splitting_of_holdings_do_not_matter(name, book, market, random):
    found = requirement(MODELS[name], book, market)
    shuffled = [part for h in book for part in (replace(h, size=0.25 * h.size), replace(h, size=0.75 * h.size))]
    random.shuffle(shuffled)
    again = requirement(MODELS[name], shuffled, market)
    assert again.maintenance_margin == pytest.approx(found.maintenance_margin, abs=1e-11 * gross(book))
    assert again.initial_margin == pytest.approx(found.initial_margin, abs=1e-11 * gross(book))


@pytest.mark.parametrize("name", ["span double", "span triple", "pmrm", "dederi", "paradex", "deribit former"])
@settings(max_examples=30)
@given(books, markets, st.floats(0.01, 100.0))
def test_without_tiers_and_thresholds_requirements_scale_with_the_book(name, book, market, factor):
    found = requirement(MODELS[name], book, market)
    scaled = requirement(MODELS[name], [replace(h, size=factor * h.size) for h in book], market)
    assert scaled.maintenance_margin == pytest.approx(
        factor * found.maintenance_margin, rel=1e-9, abs=1e-11 * factor * gross(book)
    )


@pytest.mark.parametrize("name", ["span double", "span triple", "pmrm", "dederi"])
@settings(max_examples=30)
@given(books, books, markets)
def test_two_books_together_never_need_more_than_apart(name, first, second, market):
    model = MODELS[name]
    apart = [requirement(model, book, market).maintenance_margin for book in (first, second)]
    together = requirement(model, [*first, *second], market).maintenance_margin
    assert together <= sum(apart) + 1e-11 * gross([*first, *second])


@pytest.mark.parametrize("name", [name for name in ALL if name != "deribit former"])
@settings(max_examples=30)
@given(
    st.lists(holdings(kinds=("option",), signs=st.floats(-200.0, -1e-3)), min_size=1, max_size=4),
    st.floats(-50.0, -1.0),
    st.sampled_from(EXPIRIES),
    st.floats(0.2, 1.5),
    markets,
)
def test_selling_one_more_call_of_a_sold_book_never_frees_margin(name, book, size, years, volatility, market):
    calls = [replace(h, instrument=replace(h.instrument, is_call=True, is_coin_settled=False)) for h in book]
    more = [*calls, option(size, INDEX, 1.1 * INDEX, years, volatility)]
    before, after = (requirement(MODELS[name], book_, market).maintenance_margin for book_ in (calls, more))
    assert after >= before - 1e-9 * gross(more)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_book_and_expired_worthless_options_need_nothing(name):
    market = UnitMarket(INDEX)
    assert requirement(MODELS[name], [], market).initial_margin == 0.0
    worthless = [option(5.0, INDEX, 9.0 * INDEX, 0.0, 0.5), option(3.0, INDEX, 0.1 * INDEX, -0.01, 0.5, is_call=False)]
    assert requirement(MODELS[name], worthless, market).maintenance_margin == 0.0


@pytest.mark.parametrize("name", ALL)
def test_nan_in_is_nan_out(name):
    book = [
        spot(1.0, INDEX),
        perpetual(-2.0, INDEX),
        future(3.0, INDEX, 0.2),
        option(-1.0, INDEX, INDEX, 0.2, 0.6),
    ]
    market = UnitMarket(INDEX)
    assert not math.isnan(requirement(MODELS[name], book, market).initial_margin)
    for n, holding in enumerate(book):
        broken = [replace(holding, size=math.nan)]
        broken += [
            UnitHolding(replace(holding.instrument, **{field.name: math.nan}), holding.size)
            for field in fields(holding.instrument)
            if isinstance(getattr(holding.instrument, field.name), float)
        ]
        for one in broken:
            found = requirement(MODELS[name], [*book[:n], one, *book[n + 1 :]], market)
            assert math.isnan(found.maintenance_margin)
            assert math.isnan(found.initial_margin)
            assert all(math.isnan(figure) for figure in found.groups.values())
            assert len(found.changes) == len(MODELS[name].cells)
    assert math.isnan(requirement(MODELS[name], book, replace(market, index_price=math.nan)).maintenance_margin)
    assert math.isnan(requirement(MODELS[name], book, replace(market, peg_price=math.nan)).maintenance_margin)


@pytest.mark.parametrize("name", [name for name in ALL if name != "pmrm"])
@settings(max_examples=30)
@given(books, markets)
def test_a_cell_is_the_sum_of_sizes_times_changes_per_unit(name, book, market):
    """What a compiled form rests on: repricing per instrument, aggregation per pool."""
    model = MODELS[name]
    per_unit = np.array([[cell_change(model, cell, h.instrument, market) for cell in model.cells] for h in book])
    sizes_ = np.array([h.size for h in book])
    totals = sizes_ @ per_unit if book else np.zeros(len(model.cells))
    for k, cell in enumerate(model.cells):
        weighed = cell.weight * totals[k]
        found = cell_profit(replace(model, gain_share=1.0), replace(cell, relief_usd=0.0), book, market)
        assert found == pytest.approx(weighed, abs=1e-11 * gross(book))


def test_a_wider_cover_of_the_extreme_moves_never_needs_less():
    book = [option(-10.0, INDEX, 1.3 * INDEX, 0.05, 0.6), perpetual(2.0, INDEX)]
    needed = [
        requirement(scan_model(span(0.1, 0.2, 2, cover)), book, UnitMarket(INDEX)).maintenance_margin
        for cover in (0.0, 0.2, 0.35, 0.6, 1.0)
    ]
    assert needed == sorted(needed)
    assert needed[-1] > needed[0]
