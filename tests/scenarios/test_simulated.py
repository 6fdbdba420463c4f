"""Filtered historical simulation: whole hours drawn, each scenario by itself, volatility that goes on along a path."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskpipe.domain.innovations import Innovations
from riskpipe.domain.scenarios import Variant, block_bounds
from riskpipe.scenarios.grid import scenario_set
from riskpipe.scenarios.simulated import drawn_hours, hourly_moves, simulated_moves, with_simulated

BTC, ETH, BASIS = range(3)


def given_innovations(n_hours=600, *, decay=(0.94, 0.999), weight=(0.5, 0.5), pull=0.0, distance=0.0, seed=0):
    """Two coins that move together and the basis of one contract, heavy-tailed; now at 1%, 1.5% and 2 bp an hour."""
    rng = np.random.default_rng(seed)
    common = rng.standard_t(5, (n_hours, 1)) / np.sqrt(5 / 3)
    z = 0.9 * common + np.sqrt(1 - 0.81) * rng.standard_normal((n_hours, 3))
    k, variance = 3, np.array([1e-4, 2.25e-4, 4e-8])
    return Innovations(
        asset=np.array([0, 1, -1]),
        instrument=np.array([-1, -1, 1]),
        market=BTC,
        hour_us=np.arange(n_hours),
        z=z - z.mean(axis=0),
        decay=np.tile(decay, (k, 1)),
        weight=np.tile(weight, (k, 1)),
        component=np.repeat(variance[:, None], len(decay), axis=1),
        cap=np.full(k, 8.0),
        level_decay=np.ones((k, 1)),
        pull=np.array([[0.0], [0.0], [pull]]),
        distance=np.array([[0.0], [0.0], [distance]]),
        pull_cap=np.full(k, np.inf),
    )


@settings(max_examples=12)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 6), st.integers(0, 2**63))
def test_the_first_scenarios_of_many_are_those_of_few_to_the_bit(few, many, horizon, seed):
    innovations, (few, many) = given_innovations(), sorted((few, many))
    mine, other = (simulated_moves(innovations, n, horizon, seed) for n in (few, many))
    assert mine.tobytes() == other[:few].tobytes()


def test_seeds_and_scenarios_have_random_numbers_of_their_own():
    drawn = {tuple(drawn_hours(seed, s, 10**6, 24).tolist()) for seed in range(5) for s in range(200)}
    assert len(drawn) == 1000
    assert np.array_equal(drawn_hours(3, 7, 500, 24)[:8], drawn_hours(3, 7, 500, 24)[:8])


def test_an_hour_of_a_path_is_one_hour_of_the_history_for_every_series():
    innovations = given_innovations()
    moves = simulated_moves(innovations, 400, 1, 5)
    deviation = np.sqrt((innovations.weight * innovations.component).sum(axis=1))
    z = np.concatenate((np.log1p(moves[:, :BASIS]), moves[:, BASIS:]), axis=1) / deviation
    hours = [int(drawn_hours(5, s, len(innovations.z), 1)[0]) for s in range(400)]
    assert np.allclose(z, innovations.z[hours], rtol=1e-9, atol=1e-12)
    assert len(set(hours)) > 250


def test_the_set_of_one_hour_has_the_moments_tails_and_correlation_of_the_hours_it_is_drawn_from():
    innovations = given_innovations(2_000)
    moves = simulated_moves(innovations, 20_000, 1, 1)
    drawn = np.log1p(moves[:, BTC]) / 0.01
    past = innovations.z[:, BTC]
    assert abs(drawn.mean()) < 0.03
    assert drawn.std() == pytest.approx(past.std(), rel=0.03)
    for level in (0.005, 0.01, 0.05, 0.95, 0.99, 0.995):
        assert np.mean(drawn <= np.quantile(past, level)) == pytest.approx(level, abs=0.003)
    pair = np.corrcoef(np.log1p(moves[:, BTC]), np.log1p(moves[:, ETH]))[0, 1]
    assert pair == pytest.approx(np.corrcoef(past, innovations.z[:, ETH])[0, 1], abs=0.015)


def test_variance_neither_grows_nor_shrinks_by_drawing():
    innovations = given_innovations(2_000)
    day = simulated_moves(innovations, 20_000, 24, 2)
    scale = np.sqrt(24.0 * (innovations.z**2).mean(axis=0))
    assert np.log1p(day[:, BTC]).std() == pytest.approx(0.01 * scale[BTC], rel=0.04)
    assert day[:, BASIS].std() == pytest.approx(2e-4 * scale[BASIS], rel=0.04)
    twice = simulated_moves(replace(innovations, component=4.0 * innovations.component), 20_000, 24, 2)
    assert np.log1p(twice[:, BTC]).std() == pytest.approx(2.0 * np.log1p(day[:, BTC]).std(), rel=1e-9)


def test_hours_that_were_larger_than_forecast_do_not_make_the_next_ones_larger():
    given = given_innovations(2_000, decay=(0.0,), weight=(1.0,))
    wide = replace(given, z=2.0 * given.z)
    hours = [np.stack(list(hourly_moves(wide, first, 2, 6))) for first in range(0, 10_000, 256)]
    before, after = np.concatenate(hours, axis=1)[:, :, BTC].std(axis=1)
    assert after == pytest.approx(before, rel=0.15)


def clustering(innovations):
    """Autocorrelation of squared hourly moves along paths, at a distance of one hour, series by series."""
    paths = np.stack(list(hourly_moves(innovations, 0, 60, 4)))
    squares = np.minimum(paths**2, np.quantile(paths**2, 0.99, axis=(0, 1)))
    before, after = (part.reshape(-1, 3) for part in (squares[:-1], squares[1:]))
    return np.array([np.corrcoef(before[:, k], after[:, k])[0, 1] for k in range(3)])


def test_squared_moves_along_a_path_follow_each_other_where_volatility_does():
    assert np.all(clustering(given_innovations(2_000, decay=(0.9, 0.95))) > 0.05)
    assert np.all(np.abs(clustering(given_innovations(2_000, decay=(1.0, 1.0)))) < 0.02)


def test_a_basis_goes_back_to_its_level_and_spreads_no_further_than_that_lets_it():
    far = given_innovations(2_000, pull=0.2, distance=0.004)
    day = simulated_moves(far, 5_000, 24, 3)
    assert day[:, BASIS].mean() == pytest.approx(-0.004 * (1.0 - 0.8**24), rel=0.02)
    left = 0.8 ** np.arange(24)
    still = simulated_moves(given_innovations(2_000, decay=(1.0,), weight=(1.0,), pull=0.2), 20_000, 24, 3)
    expected = 2e-4 * far.z[:, BASIS].std() * np.sqrt((left * left).sum())
    assert still[:, BASIS].std() == pytest.approx(expected, rel=0.03)
    limited = replace(far, pull_cap=np.full(3, 1.0))
    assert -0.004 < simulated_moves(limited, 500, 1, 3)[:, BASIS].mean() == pytest.approx(-0.2 * 2e-4, rel=0.5)


def test_no_hour_to_draw_from_is_refused():
    empty = replace(given_innovations(), z=np.zeros((0, 3)))
    with pytest.raises(ValueError, match="nothing to draw from"):
        simulated_moves(empty, 10, 1, 1)


def test_a_set_takes_the_moves_of_its_simulated_scenarios_in_every_variant_and_of_no_other():
    variants = (Variant(gap_share=1.0), Variant(gap_share=0.0))
    planned = scenario_set({"index_shock": [-0.2, 0.0]}, [("crash", {"index_shock": -0.4})], variants, n_simulated=5)
    assert planned.sets == ("grid", "historical", "simulated")
    assert np.flatnonzero(np.isnan(planned.index_shock)).tolist() == [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]
    innovations = given_innovations()
    moves = simulated_moves(innovations, 5, 24, 1)
    made = with_simulated(planned, innovations, moves, np.array([0.8, 1.2, 1.5, 0.0]), 3)
    for first in (3, 11):
        rows = slice(first, first + 5)
        assert np.array_equal(made.asset_shock[rows, :2], moves[:, :2])
        assert np.array_equal(
            made.instrument_basis_shock[rows], np.stack([0 * moves[:, 0], moves[:, 2], 0 * moves[:, 0]], 1)
        )
        assert np.allclose(0.8 * made.index_shock[rows], moves[:, BTC], rtol=1e-15)
        assert made.probability[rows].sum() == pytest.approx(1.0)
        assert {made.sets[ix] for ix in made.set_index[rows]} == {"simulated"}
    assert np.all(np.isnan(made.asset_shock[:, 2:]))  # by their beta, beside the market
    others = [0, 1, 2, 8, 9, 10]
    assert np.all(np.isnan(made.asset_shock[others]))
    assert not made.instrument_basis_shock[others].any()
    assert np.all(np.isnan(made.probability[others]))
    assert made.index_shock[others].tolist() == [-0.2, 0.0, -0.4] * 2
    on_axes = replace(planned, instrument_basis_shock=np.full((16, 3), 0.01))
    both = with_simulated(on_axes, innovations, moves, np.array([0.8, 1.2, 1.5, 0.0]), 3)
    assert np.all(both.instrument_basis_shock[others] == 0.01)
    glued = np.concatenate([made.slab(*bounds).asset_shock for bounds in block_bounds(16, 3)])
    assert np.array_equal(glued, made.asset_shock, equal_nan=True)
