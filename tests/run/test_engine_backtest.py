"""The engine's own back-test: a path is what prices did, accounts are closed once, reported rows add up as they say."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from strategies import random_case

from riskpipe.calibrate.history import HistoryRows
from riskpipe.domain.engine_backtest import EngineBacktest
from riskpipe.domain.findings import Findings
from riskpipe.domain.tables import HISTORY, REALISED_LIQUIDATIONS
from riskpipe.errors import InputRefused
from riskpipe.ingest.cast import arrow_schema
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.engine_backtest import DEEP, engine_backtest, predicted_over
from riskpipe.run.observed_path import ObservedPath, observed_path

NAMES = ("exposure/liquidated_notional_long", "exposure/liquidated_notional_short")


def run_of(case, run_id="r0", hours=0):
    """A finished run of a case; some hours later the same book again."""
    book = replace(case.book, as_of=case.book.as_of + timedelta(hours=hours))
    return SimpleNamespace(run_id=run_id, as_of=book.as_of, book=book, market=case.market, rules=case.rules,
                           scenarios=case.scenarios)  # fmt: skip


def history_of(case, factors):
    """Index of every asset times a factor by hour, from the night's instant on; bases stand still."""
    book, market = case.book, case.market
    rows = []
    for h, factor in enumerate(factors):
        ts = book.as_of + timedelta(hours=h)
        for c, name in enumerate(book.names("asset")):
            rows.append({"ts": ts, "asset": name, "index_price": market.index_price[c] * factor})
        for i, name in enumerate(book.names("instrument")):
            ratio = market.index_price[book.instrument_underlying[i]] / market.index_price[book.instrument_quote[i]]
            index = ratio * factor
            rows.append({"ts": ts, "instrument_id": name, "index_price": index,
                         "mark_price": index * (1.0 + market.basis[i])})  # fmt: skip
    schema = arrow_schema(HISTORY)
    table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    return HistoryRows(table, book.as_of + timedelta(hours=len(factors) - 1), 90.0, "0", Findings())


def flat_path(case, moves):
    moves = np.array(moves, dtype=float)[:, None]
    n_i = case.book.n_instruments
    return ObservedPath(np.repeat(moves, case.book.n_assets, axis=1), np.zeros((len(moves), n_i)), ())


@pytest.fixture(scope="module")
def case():
    return random_case(3, n_accounts=16, n_instruments=5)


def test_a_path_is_what_prices_did_since_the_night(case):
    path = observed_path(
        case.book, case.market, history_of(case, [1.0, 0.9, 0.8, 1.1]), case.book.as_of + timedelta(hours=3)
    )
    assert path.n_hours == 3
    assert path.asset_move == pytest.approx(np.repeat([[-0.1], [-0.2], [0.1]], case.book.n_assets, axis=1), abs=1e-12)
    assert np.abs(path.basis_move).max() == pytest.approx(0.0, abs=1e-9)
    assert path.still == ()
    shorter = observed_path(
        case.book, case.market, history_of(case, [1.0, 0.9, 0.8]), case.book.as_of + timedelta(hours=1)
    )
    assert shorter.n_hours == 1


def test_an_hour_without_a_price_repeats_the_one_before_and_an_asset_without_any_stands_still(case):
    history = history_of(case, [1.0, 0.9, 0.8])
    rows = history.table.to_pylist()
    later = case.book.as_of + timedelta(hours=2)
    gone = case.book.names("asset")[int(case.book.instrument_underlying[0])]
    on_it = {
        name
        for i, name in enumerate(case.book.names("instrument"))
        if case.book.names("asset")[int(case.book.instrument_underlying[i])] == gone
    }
    hole = [row for row in rows if row["ts"] != later or (row["asset"] != gone and row["instrument_id"] not in on_it)]
    path = observed_path(
        case.book, case.market, replace(history, table=pa.Table.from_pylist(hole, history.table.schema)), later
    )
    c = case.book.names("asset").index(gone)
    assert path.asset_move[:, c] == pytest.approx([-0.1, -0.1], abs=1e-12)
    none = [row for row in rows if row["asset"] != gone and row["instrument_id"] not in on_it]
    path = observed_path(
        case.book, case.market, replace(history, table=pa.Table.from_pylist(none, history.table.schema)), later
    )
    assert not path.asset_move[:, c].any()
    assert (gone in path.still) == (case.market.index_beta[c] != 0.0)


def test_one_hour_is_one_scenario_of_the_engine(case):
    path = flat_path(case, [-0.3])
    found = predicted_over(run_of(case), path, 1.0)
    kernel = Kernel(case.book, case.market, case.rules)
    values = kernel.run(path.scenario(0, case.scenarios.variants[0], 1.0)).values
    assert found.notional[:, :, 0] == pytest.approx(values[NAMES[0]][0])
    assert found.notional.sum() > 0.0
    assert found.shortfall == pytest.approx(values["funds/shortfall"][0])


@pytest.mark.parametrize("depth_factor", [1.0, DEEP])
def test_an_account_is_closed_once_however_long_the_fall_lasts(case, depth_factor):
    one, three = (predicted_over(run_of(case), flat_path(case, [-0.3] * n), depth_factor) for n in (1, 3))
    assert one.notional.sum() > 0.0
    for name in ("notional", "shortfall", "fund_used"):
        assert getattr(three, name) == pytest.approx(getattr(one, name), rel=1e-9), name


def test_funds_never_pay_more_over_a_path_than_they_hold(case):
    run = run_of(case)
    found = predicted_over(run, flat_path(case, [-0.2, -0.3, -0.4, 0.3]), 1.0)
    worth = case.book.fund_balance * case.market.index_price[case.book.fund_asset]
    assert np.all(found.fund_used <= worth * 1.3 + 1e-6)  # a fund kept in a coin is worth more where that rises
    assert found.shortfall.sum() >= found.fund_used.sum()


def realised_of(rows):
    schema = arrow_schema(REALISED_LIQUIDATIONS)
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def test_reported_rows_add_up_by_market_side_and_fund_and_what_cannot_be_used_is_counted(case):
    book = case.book
    i = int(np.flatnonzero(~book.instrument_is_inverse & ~book.is_option)[0])
    label, multiplier = book.names("instrument")[i], float(book.instrument_multiplier[i])
    quote, settlement = (
        float(book.index_price[getattr(book, f"instrument_{name}")[i]]) for name in ("quote", "settlement")
    )
    ts = book.as_of + timedelta(hours=1)
    row = {"ts": ts, "instrument_id": label, "side": "long", "quantity": 2.0, "fill_price": 90.0}
    rows = [
        row | {"bankruptcy_price": 95.0, "fund_pnl": -10.0},
        row | {"bankruptcy_price": 80.0, "fund_pnl": 4.0},
        row | {"side": "short", "quantity": 1.0, "bankruptcy_price": 85.0},
        row | {"ts": book.as_of},
        row | {"instrument_id": "nothing"},
        row | {"side": "both"},
        row | {"quantity": -1.0},
        row | {"fill_price": None},
    ]
    history = history_of(case, [1.0, 0.8, 0.7])
    found = engine_backtest(run_of(case), run_of(case, "r1", 2), realised_of(rows), history)
    venue, asset = book.names("venue")[book.instrument_venue[i]], book.names("asset")[book.instrument_underlying[i]]
    actual = {one.side: one.actual for one in found.exposures if (one.venue, one.underlying) == (venue, asset)}
    assert actual["long"] == pytest.approx(4.0 * multiplier * 90.0 * quote)
    assert actual["short"] == pytest.approx(1.0 * multiplier * 90.0 * quote)
    fund = next(one for one in found.funds if one.fund == book.names("fund")[book.instrument_fund[i]])
    assert fund.shortfall == pytest.approx((2.0 * 5.0 + 1.0 * 5.0) * multiplier * settlement)
    assert fund.fund_change == pytest.approx(-6.0)
    assert (found.n_rows, found.hours) == (8, 2)
    assert found.unusable == {
        "the time is not between the nights": 1,
        "the instrument is in neither night": 1,
        "the side is neither long nor short": 1,
        "quantity or fill price is no positive number": 2,
    }
    assert any(sum(one.predicted) > 0.0 for one in found.exposures)
    assert EngineBacktest.from_json(found.as_json()).as_json() == found.as_json()


def test_nothing_reported_is_nothing_actual_and_no_figure_of_a_fund(case):
    found = engine_backtest(run_of(case), run_of(case, "r1", 1), realised_of([]), history_of(case, [1.0, 0.6]))
    assert found.exposures
    assert all(one.actual == 0.0 for one in found.exposures)
    assert all(np.isnan(one.fund_change) for one in found.funds)
    again = EngineBacktest.from_json(found.as_json())
    assert np.isnan(again.funds[0].shortfall) if again.funds else True


def test_without_prices_between_the_nights_nothing_is_tested(case):
    for history in (None, history_of(case, [1.0])):
        with pytest.raises(InputRefused, match="engine back-test"):
            engine_backtest(run_of(case), run_of(case, "r1", 5), realised_of([]), history)
