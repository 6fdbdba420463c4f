"""From configuration to what a night's scenarios move, and through its store."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import AS_OF, market_of, random_book

from riskpipe.config import resolve
from riskpipe.cube.grid import as_grid
from riskpipe.cube.store import open_store
from riskpipe.cube.template import scenario_coordinates
from riskpipe.domain.book import InstrumentKind
from riskpipe.domain.findings import Reason
from riskpipe.domain.scenarios import block_bounds
from riskpipe.errors import ConfigError
from riskpipe.run.inputs import read_scenarios, write_scenarios
from riskpipe.run.preflight import computed_scenarios
from riskpipe.run.wiring import scenarios_of, stress_findings, with_moves

AXES = {"near": {"venues": ["alpha"], "multiples": [-2, 0]}, "dated": {"kinds": ["future"], "multiples": [0, 3]}}
DAY_US = 86_400_000_000


def config(**scenarios):
    given = {"grid": {"index_shock": [-0.2, 0.0]}} | scenarios
    return resolve({"snapshot": "x", "store": "y", "history": "z", "scenarios": given}, subject="test")


def book_and_market():
    """Perpetuals of two venues, the last two contracts futures fifteen days from expiry; i1 has no volatility."""
    book = random_book(np.random.default_rng(2), n_accounts=10)
    kind, expiry = book.instrument_kind.copy(), book.instrument_expiry_us.copy()
    kind[3:] = InstrumentKind.FUTURE
    expiry[3:] = round(AS_OF.timestamp() * 1e6) + 15 * DAY_US
    book = replace(book, instrument_kind=kind, instrument_expiry_us=expiry)
    fitted, realised = np.full((5, 4), np.nan), np.full((5, 4), np.nan)
    fitted[[0, 2, 3], 2] = [0.001, 0.002, 0.003]
    realised[[0, 4], 2] = [0.9, 0.004]
    return book, replace(market_of(book), basis_vol=fitted, basis_realised_vol=realised)


def test_basis_axes_move_contracts_of_their_venues_and_kinds_by_the_volatility_of_a_day():
    book, market = book_and_market()
    wanted = config(basis_axes=AXES)
    planned = scenarios_of(wanted)
    made, findings = with_moves(wanted, planned, book, market, None)
    volatility = np.array([0.001, 0.0, 0.002, 0.003 / 2, 0.004 / 2])
    is_near, is_dated = book.instrument_venue == 0, np.arange(5) >= 3
    near, dated = planned.on_axis("basis_axis_near")[:, None], planned.on_axis("basis_axis_dated")[:, None]
    assert made.instrument_basis_shock == pytest.approx(volatility * (near * is_near + dated * is_dated), rel=1e-12)
    told = [item for item in findings if item.reason is Reason.NOT_MOVED]
    names = {example for item in told for example in item.examples}
    assert names == ({"i1"} if is_near[1] else set())
    assert made.asset_shock is None


def test_an_axis_of_nothing_is_a_finding_and_of_an_unknown_venue_refused():
    book, market = book_and_market()
    only = replace(book, instrument_kind=np.zeros(5, np.int32))
    wanted = config(basis_axes={"dated": AXES["dated"]})
    made, findings = with_moves(wanted, scenarios_of(wanted), only, market, None)
    assert [item.reason for item in findings] == [Reason.NOT_MOVED]
    assert not made.instrument_basis_shock.any()
    wrong = config(basis_axes={"a": {"venues": ["alpah"], "multiples": [1]}})
    with pytest.raises(ConfigError, match="venue 'alpah' is not in the book, which has alpha, bravo"):
        with_moves(wrong, scenarios_of(wrong), book, market, None)


def test_asset_axes_move_single_assets_on_top_of_the_index_and_unknown_ones_are_refused():
    book, market = book_and_market()
    names = book.names("asset")
    wanted = config(asset_axes={"one": {"assets": [names[0]], "moves": [-0.5, 0]}})
    made, findings = with_moves(wanted, scenarios_of(wanted), book, market, None)
    assert not list(findings)
    own = made.on_axis("asset_axis_one")
    moved = (1.0 + market.index_beta[0] * made.index_shock) * (1.0 + own) - 1.0
    assert made.asset_shock[:, 0] == pytest.approx(np.where(own == 0.0, np.nan, moved), nan_ok=True, rel=1e-14)
    assert np.isnan(made.asset_shock[:, 1:]).all()
    wrong = config(asset_axes={"one": {"assets": ["DOGGE"], "moves": [-0.5]}})
    with pytest.raises(ConfigError, match="asset 'DOGGE' is not in the book"):
        with_moves(wrong, scenarios_of(wrong), book, market, None)
    with pytest.raises(ConfigError, match="moves"):
        config(asset_axes={"one": {"assets": ["SOL"], "moves": [-1.0]}})


def test_without_axes_and_simulation_the_set_is_the_planned_one():
    book, market = book_and_market()
    planned = scenarios_of(config())
    made, findings = with_moves(config(), planned, book, market, None)
    assert made is planned
    assert not list(findings)
    assert made.asset_shock is made.instrument_basis_shock is None


def test_the_plan_counts_simulated_scenarios_and_cells_of_basis_axes_before_anything_is_known_of_them():
    planned = scenarios_of(config(basis_axes=AXES, simulated={"n": 30}))
    assert len(planned) == 2 * 2 * 2 + 30
    assert computed_scenarios(planned, len(planned), has_options=False).tolist() == [38]
    assert np.isnan(planned.index_shock[8:]).all()
    still = scenarios_of(config(grid={"index_shock": [0.0]}, simulated={"n": 1}))
    assert not list(stress_findings(still))


def test_a_set_comes_back_from_the_store_as_it_was():
    book, market = book_and_market()
    wanted = config(basis_axes=AXES)
    made, _ = with_moves(wanted, scenarios_of(wanted), book, market, None)
    made = replace(made, asset_shock=np.full((len(made), book.n_assets), np.nan))
    store, run_id = open_store("memory://moves"), "2024-08-05T000000Z-0123456789abcdef"
    write_scenarios(store, run_id, made)
    plan = {"variants": [{}], "sets": list(made.sets), "own_axes": list(made.own_axes)}
    back = read_scenarios(store, run_id, plan)
    for name, value in vars(made).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(getattr(back, name), value, equal_nan=value.dtype.kind == "f"), name
    assert (back.sets, back.own_axes, back.variants) == (made.sets, made.own_axes, made.variants)
    slabs = [back.slab(*bounds) for bounds in block_bounds(len(back), 3)]
    assert np.array_equal(np.concatenate([slab.instrument_basis_shock for slab in slabs]), made.instrument_basis_shock)


def test_basis_axes_are_axes_of_the_grid_shown_in_many_dimensions():
    import xarray as xr

    planned = scenarios_of(config(basis_axes=AXES, simulated={"n": 3}))
    labels = {name: ("scenario", values) for name, values in scenario_coordinates(planned).items()}
    flat = xr.Dataset({"row": ("scenario", np.arange(len(planned)))}, {"scenario": np.arange(len(planned)), **labels})
    grid = as_grid(flat)["row"]
    assert dict(grid.sizes) == {
        "index_shock": 2, "basis_shock": 1, "vol_shock": 1, "depth_factor": 1,
        "basis_axis_dated": 2, "basis_axis_near": 2, "variant": 1,
    }  # fmt: skip
    one = grid.sel(index_shock=-0.2, basis_axis_near=-2.0, basis_axis_dated=3.0).item()
    assert (
        planned.index_shock[one],
        planned.on_axis("basis_axis_near")[one],
        planned.on_axis("basis_axis_dated")[one],
    ) == (-0.2, -2, 3)
