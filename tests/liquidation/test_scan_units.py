"""The compiled portfolio margin equals its scalar definition, and what venues publish."""

from dataclasses import astuple

import numba
import numpy as np
import pytest
from support.scan_models import (
    ALL,
    DEDERI,
    DERIBIT_BTC_2024,
    DERIBIT_ETH_2026,
    OKX_2024,
    PARADEX,
    PMRM,
    future,
    option,
    perpetual,
    span,
    spot,
)
from support.venue_files import DATED, venue_file

from riskpipe.liquidation.scan_models import FUTURE, OPTION, columns, lower_scans
from riskpipe.liquidation.scan_pools import make_unit_scratch, unit_requirement
from riskpipe.liquidation.scan_units import UnitRows, make_unit_table, set_unit_rows
from riskpipe.margin.risk_unit import (
    UnitHolding,
    UnitInstrument,
    UnitMarket,
    cell_change,
    unit_delta,
    unit_value,
    unit_vega,
)
from riskpipe.margin.scan import requirement
from riskpipe.margin.scan_charges import coins
from riskpipe.margin.scan_model import KINDS
from riskpipe.margin.scan_parameters import scan_model

CLOSE = 1e-12
EXPIRIES = (0.0, 0.4 / 365, 5 / 365, 29 / 365, 90 / 365, 1.1)


def shipped():
    """Return every portfolio rule of the venue files, by file, date and unit."""
    return {
        f"{name} {rule.effective_from} {unit}": scan_model(config.parameters())
        for name in DATED
        for rule in venue_file(name).rules
        for unit, config in rule.margin.portfolio.items()
    }


def random_parameters(rng):
    """Return a model of every feature at once, its numbers drawn."""

    def pick(*choices):
        return choices[rng.integers(0, len(choices))]

    def cell(**more):
        return {
            "price_move": rng.uniform(-0.8, 2.0),
            "vol_move": pick(-1, 0, 1),
            "vol_shock": pick("points", "curve", "powers"),
            "weight": pick(1.0, rng.uniform(0.0, 1.0)),
            "days": pick(0.0, rng.uniform(0.0, 20.0)),
            "relief_usd": pick(0.0, rng.uniform(0.0, 2e6)),
            **({"settled_at": rng.uniform(-0.5, 0.5)} if rng.random() < 0.5 else {}),
            **more,
        }

    def kinds():
        return [kind for kind in KINDS if rng.random() < 0.7]

    groups = ["a", "b", "c", "d", "e"]
    charges = [
        *({"charge": "size", "rate": 0.01, "side": side, "priced_at": pick("index", "mark"), "kinds": kinds()}
          for side in ("both", "long", "short")),
        {"charge": "naked_short", "rate": 0.02},
        *({"charge": "expiry", "annual_move": 0.1, "least_move": pick(0.0, 0.01), "exposure": exposure,
           "counted": counted, "kinds": kinds()}
          for exposure in ("delta", "vega") for counted in ("every", "offsetting")),
        {"charge": "delta", "net_rate": 0.02, "hedged_rate": 0.01, "kinds": kinds()},
        {"charge": "liquidity", "threshold_usd": 1e6, "slope": 1e-4, "largest_rate": pick(0.01, 0.1)},
        {"charge": "confidence", "threshold": 0.6, "factor": 0.5},
    ]  # fmt: skip
    share = pick(0.2, 0.7)
    kept = [charge for charge in charges if rng.random() < share]
    return {
        "cells": [cell(group=group) for group in groups for _ in range(rng.integers(1, 4))],
        "expiry_scans": [
            {
                "group": pick(*groups),
                "cells": [cell() for _ in range(rng.integers(1, 4))],
                "factor": rng.uniform(0.0, 1.0),
                "annual_factor": rng.uniform(0.0, 1.0),
            }
            for _ in range(rng.integers(0, 3))
        ],
        "charges": [{**charge, "group": pick(*groups)} for charge in kept],
        "largest": pick([], ["a"], ["a", "b"]),
        "added": pick(["a", "b", "c"], ["c", "c"], []),
        "at_least": pick([], ["c"], ["d", "a"]),
        "added_to_initial": ["a", "b", "c", "d", "e"],
        "vol_shocks": [
            {"name": "points", "up": 0.3, "down": 0.2, "is_relative": False, "least_raised": 0.7},
            {"name": "curve", "curve": [[1.0, 0.9, 0.4], [30.0, 0.5, 0.3], [100.0, 0.2, 0.2]]},
            {"name": "powers", "up": 0.5, "down": 0.25, "short_power": 0.3, "long_power": 0.13, "least_raised": 0.5},
        ],
        "multipliers": [
            {"group": pick(*groups), "tiers": [[0.0, 1.0], [1e5, 2.0], [1e6, 4.0]]} for _ in range(rng.integers(0, 3))
        ],
        "long_value": pick(None, {"factor": 0.95, "rate_multiple": 4.0, "rate_addition": 0.05}),
        "valued_in": pick("usd", "settlement"),
        "spot_use": pick("all", "hedge"),
        "maintenance_factor": 0.8,
        "initial_factor": 1.3,
        "peg_threshold": 0.98,
        "peg_factor": pick(0.0, 2.0),
        "gain_share": pick(0.0, 0.6, 1.0),
    }


MODELS = [scan_model(parameters) for parameters in ALL.values()]
MODELS += shipped().values()
MODELS += [scan_model(random_parameters(np.random.default_rng(seed))) for seed in range(60)]


# what only compiled code may call needs a caller that is compiled
@numba.njit(cache=False)
def margins_of(scans, table, m, rows, sizes, n, scratch):
    return unit_requirement(scans, table, m, rows, sizes, n, scratch)


def instruments_of(rng, index):
    """Return a market's instruments of every kind, settlement, expiry, side of the strike and state of the feed."""
    found = [UnitInstrument("spot", index), UnitInstrument("spot", index, confidence=0.4)]
    for settled in (False, True):
        quote = rng.uniform(0.9, 1.1)
        for years in EXPIRIES:
            price, confidence = index * rng.uniform(0.97, 1.03), rng.choice([1.0, 0.8, 0.3])
            found.append(UnitInstrument("perpetual", price, settled, quote_price=quote, confidence=confidence))
            found.append(UnitInstrument("future", price, settled, years=years, quote_price=quote))
            for strike in index * rng.choice([0.3, 0.8, 1.0, 1.0, 1.3, 4.0], 3):
                fixed = 0.5 * price if rng.random() < 0.2 else 0.0
                volatility = rng.uniform(0.1, 2.0)
                found += [
                    UnitInstrument(
                        "option", price, settled, years, strike, is_call, volatility, quote, fixed, 0.03, confidence
                    )
                    for is_call in (True, False)
                ]
    return found


def table_of(models, instruments, markets):
    """Return scans and a table of rows (model, instrument), each in its model's market."""
    scans = lower_scans(models)
    model_ix = np.array([m for m, _ in instruments], dtype=np.int32)
    rows = [instrument for _, instrument in instruments]

    def column(name):
        return np.array([getattr(row, name) for row in rows])

    kind = np.array([KINDS.index(row.kind) for row in rows], dtype=np.int32)
    names = ("is_coin_settled", "is_call", "years", "strike", "fixed_price", "rate", "confidence")
    units = UnitRows(model_ix, kind, *map(column, names))
    units.years[kind < FUTURE] = np.nan  # as in a book: nothing that expires, nothing that is exercised
    units.strike[kind != OPTION] = np.nan
    table = make_unit_table(models, scans, units)
    for name in ("price", "volatility", "quote_price"):
        getattr(table, name)[:] = column(name)
    table.index_price[:] = [markets[m].index_price for m in model_ix]
    table.peg_price[:] = [markets[m].peg_price for m in model_ix]
    return scans, table


def margins(parameters, holdings, market):
    """Return maintenance and initial margin as compiled, of one unit under one model."""
    model = scan_model(parameters)
    scans, table = table_of([model], [(0, holding.instrument) for holding in holdings], [market])
    set_unit_rows(scans, table, 0, len(holdings))
    sizes = np.array([holding.size for holding in holdings])
    scratch = make_unit_scratch(scans, table, len(holdings))
    return margins_of(scans, table, 0, np.arange(len(holdings), dtype=np.int32), sizes, len(holdings), scratch)


def random_world(seed):
    """Return every model in a market of its own, with all instruments, computed."""
    rng = np.random.default_rng(seed)
    markets = [UnitMarket(rng.choice([1.5, 2e3, 6e4]), rng.choice([1.0, 0.93])) for _ in MODELS]
    instruments = [(m, row) for m, market in enumerate(markets) for row in instruments_of(rng, market.index_price)]
    order = rng.permutation(len(instruments))  # rows of a model need not stand together
    instruments = [instruments[r] for r in order]
    scans, table = table_of(MODELS, instruments, markets)
    set_unit_rows(scans, table, 0, len(instruments))
    return rng, markets, instruments, scans, table


def random_pool(rng, instruments, m, market, n):
    """Return rows and signed sizes of some million USD, some of them 0."""
    own = np.flatnonzero([model_ix == m for model_ix, _ in instruments])
    rows = rng.choice(own, n).astype(np.int32)
    sizes = rng.normal(0.0, rng.choice([1e3, 1e6, 1e8]), n) * (rng.random(n) > 0.1)
    is_in_quote = [
        instruments[r][1].is_coin_settled and instruments[r][1].kind in {"perpetual", "future"} for r in rows
    ]
    return rows, np.where(is_in_quote, sizes, sizes / market.index_price)


def test_rows_have_the_bits_of_the_scalar_definition():
    _, markets, instruments, scans, table = random_world(1)
    seen = set()
    for r, (m, instrument) in enumerate(instruments):
        model, market = MODELS[m], markets[m]
        changes = [cell_change(model, cell, instrument, market) for cell in columns(model)]
        assert table.gain[r, : len(changes)].tolist() == changes
        assert not table.gain[r, len(changes) :].any()
        is_option = instrument.kind == "option"
        if scans.has_delta[m] or not is_option:
            assert table.delta[r] == unit_delta(model, instrument, market)
        if scans.has_vega[m]:
            assert table.vega[r] == unit_vega(instrument, market)
        assert table.value[r] == unit_value(instrument, market)
        seen.add((instrument.kind, instrument.is_coin_settled, model.valued_in))
    assert len(seen) == 14


@pytest.mark.parametrize("n", [0, 1, 2, 7, 40])
def test_requirements_equal_the_scalar_definition(n):
    rng, markets, instruments, scans, table = random_world(n)
    scratch = make_unit_scratch(scans, table, 40)
    n_positive = 0
    for m, model in enumerate(MODELS):
        for _ in range(6 if n < 40 else 3):
            rows, sizes = random_pool(rng, instruments, m, markets[m], n)
            holdings = [UnitHolding(instruments[r][1], size) for r, size in zip(rows, sizes.tolist(), strict=True)]
            is_pegged = any(h.instrument.kind != "spot" and not h.instrument.is_coin_settled for h in holdings)
            market = UnitMarket(markets[m].index_price, markets[m].peg_price if is_pegged else 1.0)
            expected = requirement(model, holdings, market)
            found = margins_of(scans, table, m, rows, sizes, n, scratch)
            gross = float(np.abs(sizes) @ (np.abs(table.gain[rows]).max(axis=1) + np.abs(table.value[rows])))
            gross += market.index_price * sum(map(coins, holdings))
            off = np.abs(np.subtract(found, (expected.maintenance_margin, expected.initial_margin)))
            assert off.max() <= CLOSE * gross, (m, model, holdings)
            n_positive += expected.maintenance_margin > 0.0
    assert n_positive > len(MODELS) if n > 0 else n_positive == 0


def test_a_pool_has_the_same_bits_whatever_was_computed_before():
    rng, markets, instruments, scans, table = random_world(3)
    pools = []
    for m in range(len(MODELS)):
        pools += [(m, *random_pool(rng, instruments, m, markets[m], n)) for n in (1, 5, 30)]
    scratch = make_unit_scratch(scans, table, 30)
    first = [margins_of(scans, table, m, rows, sizes, len(rows), scratch) for m, rows, sizes in pools]
    for name in ("by_expiry", "by_strike", "is_done"):
        assert not getattr(scratch, name).any(), name
    set_unit_rows(scans, table, 0, len(instruments))
    for (m, rows, sizes), before in reversed(list(zip(pools, first, strict=True))):
        fresh = make_unit_scratch(scans, table, 30)
        more = np.append(rows, rows[:1]), np.append(sizes, 7.0)  # beyond n nothing is read
        assert margins_of(scans, table, m, rows, sizes, len(rows), scratch) == before
        assert margins_of(scans, table, m, *more, len(rows), fresh) == before


def test_rows_of_a_model_net_where_their_expiries_and_strikes_are_the_same():
    instruments = [(m, row) for m in (0, 1) for row in instruments_of(np.random.default_rng(m), 100.0)]
    _, table = table_of([scan_model(PMRM), scan_model(OKX_2024)], instruments, [UnitMarket(100.0)] * 2)
    for r, (m, row) in enumerate(instruments):
        for other, (other_m, other_row) in enumerate(instruments):
            if other_m != m:
                continue
            kinds = {row.kind, other_row.kind}
            nets = row.years == other_row.years if kinds <= {"future", "option"} else len(kinds) == 1
            assert (table.expiry[r] == table.expiry[other]) == nets
            if kinds == {"option"}:
                is_same = (row.years, row.strike) == (other_row.years, other_row.strike)
                assert (table.strike_key[r] == table.strike_key[other]) == is_same


def test_lowered_models_cannot_be_written_to():
    scans, table = table_of([scan_model(PMRM)], [(0, UnitInstrument("spot", 1.0))], [UnitMarket(1.0)])
    assert not any(array.flags.writeable for array in scans)
    assert not table.vol_range.flags.writeable


def test_a_book_without_portfolio_margin_has_empty_tables():
    scans, table = table_of([], [], [])
    assert scans.cell_start.tolist() == [0]
    assert {array.size for array in table} == {0}
    assert {array.size for array in make_unit_scratch(scans, table, 0)} == {0}
    set_unit_rows(scans, table, 0, 0)


# -------------------------------------------------------------------------------------- published figures
ETH = perpetual(-0.999487053 * 1949.49, 1949.49, is_coin_settled=True)
BTC = (
    perpetual(0.314538364 * 65_910.57, 65_910.57, is_coin_settled=True),
    future(-0.001187534 * 67_371.75, 67_371.75, 11 / 365, is_coin_settled=True),
)
HEDGED = (spot(10.0, 67_111.0), perpetual(-10.0, 67_111.0))


@pytest.mark.parametrize(
    ("parameters", "holdings", "index", "maintenance", "initial", "within"),
    [
        # docs.deribit.com private/pme/simulate: coins x index; the venue rounds the worst case to 9 digits
        (DERIBIT_ETH_2026, [ETH], 1949.34, 0.125969249812 * 1949.34, 0.157461562265 * 1949.34, 1e-6),
        (DERIBIT_BTC_2024, BTC, 65_666.19, 0.050274504784 * 65_666.19, 0.06284313098 * 65_666.19, 4e-5),
        # aws.okx.com/it/help/okx-to-enhance-new-features-in-portfolio-margin-mode
        (OKX_2024, HEDGED, 67_111.0, 8_053.32, 1.3 * 8_053.32, 1e-2),
        # wiki.dederi.io/RiskControlRules/portfolio_margin: 3,380 and 134.6
        (DEDERI, [future(10.0, 2_253.2, 0.1)], 2_243.3, 3_379.8 + 134.598, 3_379.8 + 134.598, 0.5),
        # docs.paradex.trade/risk/portfolio-margin: 1% of the hedged delta, maintenance a half
        (PARADEX, [perpetual(-10.0, 5e4), spot(10.0, 5e4)], 5e4, 2_500.0, 5_000.0, 1e-9),
        # McMillan, Options as a Strategic Investment, chapter 34
        (span(0.05, 0.2, 2, 0.35), [future(500.0, 400.0, 0.2)], 400.0, 10_000.0, 10_000.0, 1e-9),
    ],
)  # fmt: skip
def test_margins_are_the_published_ones(parameters, holdings, index, maintenance, initial, within):
    found = margins(parameters, holdings, UnitMarket(index))
    assert found == pytest.approx((maintenance, initial), abs=within)


def test_the_first_holding_that_settles_in_money_tells_the_peg():
    coin, money = future(-1e5, 1e3, 0.1, is_coin_settled=True), future(-100.0, 1e3, 0.1)
    at_par, off_peg = UnitMarket(1e3), UnitMarket(1e3, 0.9)
    for holdings, moves in (([coin], False), ([spot(1.0, 1e3), coin], False), ([coin, money], True)):
        assert (margins(PMRM, holdings, off_peg) != margins(PMRM, holdings, at_par)) == moves
        expected = requirement(scan_model(PMRM), holdings, off_peg if moves else at_par)
        assert margins(PMRM, holdings, off_peg) == pytest.approx(astuple(expected)[:2], rel=CLOSE)


def test_options_of_one_strike_offset_before_they_are_naked():
    """Deribit's former contingency, 0.01 a net short option (deribit.com/pages/docs/portfoliomargin)."""
    rule = {"cells": [], "largest": ["n"], "charges": [{"charge": "naked_short", "group": "n", "rate": 0.01}]}
    call = option(10.0, 1e4, 1e4, 0.1, 0.8)
    for years, sold in ((0.1, 10.0), (0.2, 20.0)):
        put = option(-20.0, 1e4, 1e4, years, 0.8, is_call=False)
        assert margins(rule, [call, put], UnitMarket(1e4)) == pytest.approx((sold * 100.0,) * 2)
