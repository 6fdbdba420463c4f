"""Preflight: how blocks are cut, what is forecast, and what is refused before anything is computed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.books import book

from riskpipe.config import LimitsConfig, RunConfig
from riskpipe.domain.scenarios import Variant, block_bounds
from riskpipe.errors import ConfigError
from riskpipe.run import preflight
from riskpipe.run.plan import dimension_sizes
from riskpipe.run.preflight import (
    check_limits,
    choose_block_size,
    computed_scenarios,
    expected_workers,
    forecast,
    memory_warning,
    worker_memory_limit,
)
from riskpipe.scenarios.grid import scenario_set

NIGHT = {
    "index_shock": [-0.5, -0.35, -0.2, -0.1, 0.0, 0.1, 0.2, 0.35],
    "basis_shock": [-0.03, -0.01, 0.0, 0.01],
    "vol_shock": [0.0, 0.25, 0.5, 1.0],
    "depth_factor": [1.0, 0.5, 0.25, 0.1],
}


def config(**changes):
    return RunConfig.model_validate({"snapshot": "s", "store": "t", "executor": "serial"} | changes)


def book_of(n_positions):
    return book(position_instrument=np.broadcast_to(np.int32(0), n_positions))


def chosen(n_positions, scenarios, **changes):
    portfolio = book_of(n_positions)
    size = choose_block_size(config(**changes), portfolio, scenarios, dimension_sizes(portfolio, scenarios))
    return size, forecast(portfolio, scenarios, dimension_sizes(portfolio, scenarios), size)


def predicted(n_positions=50_000, block_size=64, scenarios=None):
    portfolio, scenarios = book_of(n_positions), scenarios or scenario_set(NIGHT)
    return forecast(portfolio, scenarios, dimension_sizes(portfolio, scenarios), block_size)


@given(st.integers(1, 130), st.sampled_from([(Variant(),), (Variant(gap_share=1.0), Variant(gap_share=0.0))]))
def test_a_block_computes_scenarios_that_differ_in_volatility_alone_once(block_size, variants):
    scenarios = scenario_set(NIGHT, [("crash", {"index_shock": -0.5})], variants)
    counted = []
    for start, stop in block_bounds(len(scenarios), block_size):
        slab = scenarios.slab(start, stop)
        axes = (slab.variant, slab.set_index, slab.index_shock, slab.basis_shock, slab.depth_factor)
        counted.append(len(set(zip(*(axis.tolist() for axis in axes), strict=True))))
    assert computed_scenarios(scenarios, block_size, has_options=False).tolist() == counted
    # the crash is in a set of its own: with options every scenario is computed
    alone = [stop - start for start, stop in block_bounds(len(scenarios), block_size)]
    assert computed_scenarios(scenarios, block_size, has_options=True).tolist() == alone


def test_every_worker_holds_the_moves_of_a_simulated_set_whole_whatever_the_blocks():
    n = 10_000
    grid, simulated = scenario_set({}), scenario_set({}, n_simulated=n)
    portfolio = book_of(100)
    few, many = (
        forecast(portfolio, scenarios, dimension_sizes(portfolio, scenarios), 16).worker_bytes_by_part["scenarios"]
        for scenarios in (grid, simulated)
    )
    moves = 8 * n * (portfolio.n_assets + portfolio.n_instruments)
    assert few < 1_000
    assert 2 * moves < many < 2 * (moves + 80 * (n + 1)), "twice: the arrays, and the file they are read from"
    larger = forecast(portfolio, simulated, dimension_sizes(portfolio, simulated), 4_000).worker_bytes_by_part
    assert larger["scenarios"] == many


@given(st.integers(1, 40_000_000), st.integers(1, 64), st.integers(1, 300))
def test_auto_leaves_no_worker_idle_and_wastes_no_time_on_small_blocks(n_positions, workers, n_shocks):
    scenarios = scenario_set({"index_shock": np.linspace(-0.5, 0.5, n_shocks).tolist(), "vol_shock": [0.0, 0.5]})
    size, found = chosen(n_positions, scenarios, executor="local", n_workers=workers)
    n = len(scenarios)
    assert found.blocks == -(-n // size)
    assert size <= -(-n // workers), "a worker without a block, when each could have one"
    fixed = preflight._fixed_seconds(n_positions)
    is_divided_further = size < -(-n // workers)
    work = (size // 2) * n_positions * preflight.SECONDS_PER_POSITION_SCENARIO  # two alike scenarios are one
    if is_divided_further:
        assert fixed <= preflight.LARGEST_FIXED_SHARE * (
            fixed + work + 2 * n_positions * preflight.SECONDS_PER_POSITION_SCENARIO
        )
    if found.block_seconds > preflight.TARGET_BLOCK_SECONDS and size > 2:
        smaller = forecast(book_of(n_positions), scenarios, dimension_sizes(book_of(n_positions), scenarios), size - 2)
        share = fixed / smaller.block_seconds
        assert share > preflight.LARGEST_FIXED_SHARE, "a smaller block would be nearer the target at no loss"


def test_a_configured_block_size_is_obeyed_and_auto_stays_within_limits_where_it_can():
    scenarios = scenario_set(NIGHT)
    assert chosen(50_000, scenarios, block_size=7)[0] == 7
    assert chosen(50_000, scenarios, block_size=10_000)[0] == len(scenarios)
    free = chosen(10**9, scenarios)[1]
    assert free.blocks > 1
    assert chosen(10**9, scenarios, limits={"blocks": 1})[1].blocks == 1
    wide = scenario_set({"index_shock": np.linspace(-0.5, 0.5, 4000).tolist()})
    unlimited, least = chosen(50_000, wide)[1], chosen(50_000, wide, block_size=1)[1]
    allowed = (unlimited.worker_bytes + least.worker_bytes) // 2
    assert least.worker_bytes < allowed < unlimited.worker_bytes
    assert chosen(50_000, wide, limits={"worker_memory_bytes": allowed})[1].worker_bytes <= allowed


def test_positions_under_portfolio_margin_take_longer():
    def seconds(is_portfolio):
        account = np.zeros(1, np.int32)
        of = book(
            position_instrument=np.zeros(1000, np.int32),
            account_is_portfolio=np.array([is_portfolio]),
            pool_account=account,
            pool_is_isolated=np.array([False]),
            pool_position_start=np.array([0, 1000]),
        )
        return preflight.scenario_seconds(of)

    assert seconds(is_portfolio=True) == pytest.approx(1000 * preflight.SECONDS_PER_SCANNED_SCENARIO)
    assert seconds(is_portfolio=False) == pytest.approx(1000 * preflight.SECONDS_PER_POSITION_SCENARIO)


def test_the_forecast_grows_with_what_makes_a_run_large():
    ten_times = scenario_set(NIGHT | {"index_shock": np.linspace(-0.5, 0.5, 80).tolist()})
    small, more_positions, more_scenarios = predicted(), predicted(n_positions=500_000), predicted(scenarios=ten_times)
    by_size = [run.core_seconds - run.blocks * preflight.SECONDS_PER_BLOCK for run in (small, more_positions)]
    assert by_size[1] == pytest.approx(10 * by_size[0])
    assert by_size[0] > 0
    assert more_scenarios.core_seconds == pytest.approx(10 * small.core_seconds)
    assert more_scenarios.store_bytes > small.store_bytes
    assert predicted(block_size=512).worker_bytes > small.worker_bytes
    assert sum(small.worker_bytes_by_part.values()) == small.worker_bytes
    assert small.store_bytes < small.uncompressed_bytes
    assert small.wall_seconds(1) == pytest.approx(small.core_seconds)
    assert small.wall_seconds(3) == pytest.approx(small.core_seconds * 3 / 8), "8 blocks on 3 workers: 3 after another"
    assert small.wall_seconds(100) == pytest.approx(small.core_seconds / small.blocks)


def test_every_limit_that_is_exceeded_is_named_with_both_values_and_what_to_do():
    run = predicted()
    just = {
        "blocks": run.blocks,
        "core_hours": run.core_seconds / 3600,
        "wall_seconds": run.wall_seconds(2),
        "worker_memory_bytes": run.worker_bytes,
        "store_bytes": run.store_bytes,
    }
    assert set(just) == set(LimitsConfig.model_fields), "a limit that nothing checks"
    check_limits(run, LimitsConfig(), 2)
    check_limits(run, LimitsConfig(**just), 2)
    less = {name: type(value)(value * 0.9) for name, value in just.items()}
    with pytest.raises(ConfigError) as refused:
        check_limits(run, LimitsConfig(**less), 2)
    lines = str(refused.value).splitlines()
    assert len(lines) == 1 + len(just)
    for name, line in zip(just, lines[1:], strict=True):
        assert f"limits.{name}: " in line
        assert "predicted" in line
        assert "allowed: " in line
        with pytest.raises(ConfigError, match=f"limits.{name}"):
            check_limits(run, LimitsConfig(**{name: less[name]}), 2)
    assert "8 blocks predicted, 7 allowed: set a larger block_size" in str(refused.value)


def test_limits_are_no_part_of_a_runs_identity():
    assert config(limits={"blocks": 3}).keyed() == config().keyed()


def test_workers_are_those_of_the_configuration():
    assert expected_workers(config(n_workers=5)) == 1, "serial is one, whatever is asked for"
    assert expected_workers(config(executor="local", n_workers=5)) == 5
    cluster = {"class": "distributed.LocalCluster", "kwargs": {"n_workers": 3}}
    assert expected_workers(config(executor=cluster)) == 3


def test_memory_beyond_the_machines_is_warned_of():
    run = predicted()
    assert memory_warning(run, 4, available=4 * run.worker_bytes) is None
    said = memory_warning(run, 4, available=4 * run.worker_bytes - 1)
    assert said is not None
    assert "4 workers" in said


def test_a_local_worker_has_a_memory_limit_only_when_one_is_set_and_never_below_its_forecast():
    run = predicted()
    assert worker_memory_limit(run, LimitsConfig()) is None
    tight = worker_memory_limit(run, LimitsConfig(worker_memory_bytes=run.worker_bytes))
    assert tight >= 1.5 * run.worker_bytes + run.mapped_bytes
    wide = worker_memory_limit(run, LimitsConfig(worker_memory_bytes=10 * run.worker_bytes))
    assert wide >= 10 * run.worker_bytes + run.mapped_bytes
