"""Lanes: many distinct scenarios side by side, on books that lean on every turn, have the reference's values and the
bits of one scenario alone."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import with_own_moves
from support.books import AS_OF
from support.cascades import chain_case
from support.equality import KNIFE_EDGE, compared, run_both
from support.hard_books import hard_case, taken
from support.worlds import Account, Contract, shocks, world

from riskpipe.domain.book import Book
from riskpipe.domain.scenarios import block_bounds
from riskpipe.liquidation import footprint
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.lanes import cut_lanes, distinct_lanes
from riskpipe.liquidation.reference import Reference

seeds = st.integers(0, 2**32 - 1)


def kernel_of(case):
    return Kernel(case.book, case.market, case.rules)


def same_bits(mine, other):
    return all(np.array_equal(mine[key], other[key]) for key in other)


def compare(case, rows, tally, values=None):
    """Compare some scenarios with the reference, as `test_kernel_equals_reference` does all."""
    values = kernel_of(case).run(case.scenarios).values if values is None else values
    for outcome in compared(case, values, rows, tally):
        tally["closed"] += int(outcome.values["system/liquidated_accounts"] > 0.0)
        tally["short"] += int(outcome.values["funds/shortfall"].sum() > 0.0)
        tally["later rounds"] += int(outcome.values["system/rounds"] > 1.0)
        tally["cut off"] += int(outcome.values["system/max_rounds_hit"])


@pytest.mark.parametrize(("leverage", "n_accounts"), [(1.0, 12), (0.2, 12), (30.0, 8), (3.0, 1)])
def test_hard_books_equal_the_reference(leverage, n_accounts):
    tally = Counter()

    @settings(max_examples=50)
    @given(seeds)
    def compare_one(seed):
        compare(hard_case(seed, n_accounts=n_accounts, leverage=leverage), range(6), tally)

    compare_one()
    assert tally["knife edges"] < 0.02 * tally["scenarios"]
    assert min(tally[name] for name in ("closed", "short")) > 30, tally
    if n_accounts > 1:  # else nobody is left for a second round
        assert min(tally["later rounds"], tally["cut off"]) >= 3, tally


def test_a_slab_that_crosses_words_and_pieces_of_lanes_equals_the_reference():
    tally = Counter()
    for seed in range(6):
        case = hard_case(seed, n_scenarios=1400, n_accounts=10)
        lanes = [each for v in range(4) for each in distinct_lanes(case.scenarios, v, has_options=False)[0].values()]
        assert sum(len(each.row) for each in lanes) == 1400
        rows = [0, 1399, *np.random.default_rng(seed).choice(1400, 12, replace=False).tolist()]
        compare(case, rows, tally)
    case = hard_case(99, n_scenarios=700, n_accounts=10)
    one = replace(case.scenarios, variant=np.zeros(700, np.int32), haircut_shock=np.zeros(700))
    assert len(distinct_lanes(one, 0, has_options=False)[0][0.0].row) == 700 > 2 * footprint.MOST_LANES
    compare(replace(case, scenarios=one), range(0, 700, 50), tally)
    assert tally["knife edges"] <= 2
    assert tally["later rounds"] > 10


@settings(max_examples=12)
@given(seeds)
def test_lanes_have_the_bits_of_blocks_of_any_size(seed):
    case = hard_case(seed, n_scenarios=75, n_accounts=25)
    kernel = kernel_of(case)
    whole = kernel.run(case.scenarios).values
    for size in (1, 3, 7):
        parts = [kernel.run(case.scenarios.slab(*bounds)).values for bounds in block_bounds(75, size)]
        assert same_bits({key: np.concatenate([part[key] for part in parts]) for key in whole}, whole)
    order = np.random.default_rng(seed).permutation(75)
    shuffled = kernel.run(taken(case.scenarios, order)).values
    assert same_bits(shuffled, {key: value[order] for key, value in whole.items()})


@settings(max_examples=8)
@given(seeds)
def test_lanes_with_moves_of_their_own_have_the_bits_of_blocks_of_any_size(seed):
    case = with_own_moves(np.random.default_rng(seed), hard_case(seed, n_scenarios=75, n_accounts=25))
    twice = np.arange(75) % 60  # fifteen of them stand there twice
    scenarios = taken(case.scenarios, twice)
    kernel = kernel_of(case)
    whole, failing = kernel.run(scenarios).values, kernel.failing_pools(scenarios)
    for size in (1, 7, 32):
        slabs = [scenarios.slab(*bounds) for bounds in block_bounds(75, size)]
        parts = [kernel.run(slab).values for slab in slabs]
        assert same_bits({key: np.concatenate([part[key] for part in parts]) for key in whole}, whole)
        assert np.array_equal(np.concatenate([kernel.failing_pools(slab) for slab in slabs]), failing)
    order = np.random.default_rng(seed).permutation(75)
    assert same_bits(kernel.run(taken(scenarios, order)).values, {key: value[order] for key, value in whole.items()})


def test_moves_that_say_what_the_index_says_change_no_bit():
    for seed in range(4):
        case = hard_case(seed, n_scenarios=40, n_accounts=20)
        plain, (n, book) = case.scenarios, (40, case.book)
        silent = replace(
            plain,
            asset_shock=np.full((n, book.n_assets), np.nan),
            instrument_basis_shock=np.zeros((n, book.n_instruments)),
        )
        beta = case.market.index_beta
        spelled = replace(silent, asset_shock=beta * plain.index_shock[:, None])
        by_instrument = replace(
            plain,
            basis_shock=np.zeros(n),
            instrument_basis_shock=np.tile(plain.basis_shock[:, None], (1, book.n_instruments)),
        )
        kernel = kernel_of(case)
        whole = kernel.run(plain).values
        for same in (silent, by_instrument):
            assert same_bits(kernel.run(same).values, whole)
        jump = np.flatnonzero(plain.variant == 0)  # on the way, beta x (index x share) rounds otherwise
        said = kernel.run(spelled).values
        assert same_bits({key: value[jump] for key, value in said.items()}, {k: v[jump] for k, v in whole.items()})


def test_moves_of_another_books_assets_are_refused():
    case = hard_case(1)
    wrong = replace(case.scenarios, asset_shock=np.zeros((6, case.book.n_assets + 1)))
    with pytest.raises(ValueError, match="asset_shock has shape"):
        kernel_of(case).run(wrong)


@pytest.mark.parametrize("changed", [{"MOST_LANES": 32}, {"MOST_LANES": 1024}, {"STATE_BYTES": 1}])
def test_bits_do_not_depend_on_how_many_lanes_fit_memory(monkeypatch, changed):
    for seed in range(6):
        case = hard_case(seed, n_scenarios=300, n_accounts=25)
        # one variant and two haircuts, so that there are pieces of many lanes
        scenarios = replace(case.scenarios, variant=np.zeros(300, np.int32), set_index=np.zeros(300, np.int32))
        whole = kernel_of(case).run(scenarios)
        with monkeypatch.context() as patch:
            for name, value in changed.items():
                patch.setattr(footprint, name, value)
            cut = kernel_of(case).run(scenarios)
        assert same_bits(cut.values, whole.values)
        assert same_bits(vars(cut.part), vars(whole.part))


def test_one_market_under_three_hundred_depths_is_one_group_of_lanes_cut_where_it_is_too_large():
    later = 0
    for seed in range(8):
        case = chain_case(seed) if seed % 2 else hard_case(seed, n_accounts=20)
        n = 300
        scenarios = taken(case.scenarios, np.zeros(n, int))
        scenarios = replace(scenarios, depth_factor=np.linspace(0.05, 2.0, n), haircut_shock=np.zeros(n))
        lanes = distinct_lanes(scenarios, int(scenarios.variant[0]), has_options=False)[0][0.0]
        assert (len(lanes.row), len(lanes.shocks.index_shock)) == (n, 1)
        assert [len(piece.row) for piece in cut_lanes(lanes, footprint.MOST_LANES)] == [256, 44]
        whole = kernel_of(case).run(scenarios).values
        alone = [kernel_of(case).run(scenarios.slab(s, s + 1)).values for s in range(0, n, 23)]
        assert same_bits({key: np.concatenate([part[key] for part in alone]) for key in whole}, {
            key: value[::23] for key, value in whole.items()
        })  # fmt: skip
        compare(replace(case, scenarios=scenarios), range(0, n, 60), tally := Counter(), whole)
        later += tally["later rounds"]
    assert later > 5


def test_two_threads_on_one_kernel_have_the_bits_of_one():
    case = hard_case(7, n_scenarios=300, n_accounts=60)
    kernel = kernel_of(case)
    alone = kernel.run(case.scenarios).values
    with ThreadPoolExecutor(2) as pool:
        for together in pool.map(lambda _: kernel.run(case.scenarios).values, range(4)):
            assert same_bits(together, alone)


def test_a_balance_above_the_band_that_still_counts_keeps_what_it_counted():
    """10 BTC at 90 to 100 USD of which 500 USD count: in every lane all of the last band counts for nothing."""
    case = world(
        [Contract("BTCUSDT")],
        [Account("long", balances={"BTC": 10.0}, positions=(("BTCUSDT", 50.0, 100.0),))],
        bands={("alpha", "BTC"): ((0.0, 0.0), (500.0, 1.0))},
        scenarios=shocks(-0.01, -0.04, -0.06, -0.09),
    )
    # 500 + 50 m - 5000 against 0.05 of 50 m: fails below 94.74
    assert run_both(case)["system/liquidated_accounts"].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_failing_pools_are_those_of_negative_excess_at_shocked_prices():
    n_failing = 0
    for seed in range(12):
        case = hard_case(seed, n_scenarios=70, n_accounts=12)
        found = kernel_of(case).failing_pools(case.scenarios)
        model = Reference(case.book, case.market, case.rules, case.scenarios)
        pools = [p for p in range(case.book.n_pools) if model.can_be_liquidated(p)]
        for s in range(0, 70, 7):
            prices, haircut = model.shocked(s), float(case.scenarios.haircut_shock[s])
            excess = [model.health(p, prices, haircut).margin_excess for p in pools]
            gross = [model.gross_notional(p, prices) for p in pools]
            assert all(abs(e) > KNIFE_EDGE * g for e, g in zip(excess, gross, strict=True)), "a knife edge"
            assert found[s] == sum(e < 0.0 for e in excess)
            n_failing += found[s]
    assert n_failing > 100


def test_failing_pools_of_one_scenario_are_those_of_it_among_many():
    case = hard_case(3, n_scenarios=90, n_accounts=40)
    kernel = kernel_of(case)
    whole = kernel.failing_pools(case.scenarios)
    assert whole.tolist() == [kernel.failing_pools(case.scenarios.slab(s, s + 1))[0] for s in range(90)]


def million(rng, n=1_000_000):
    """Return a world of one contract without impact in which n accounts hold a position each."""
    case = world([Contract("BTCUSDT")], [Account("a", positions=(("BTCUSDT", 1.0, 100.0),))])
    one, book = np.arange(n + 1, dtype=np.int64), case.book
    ix = one[:n].astype(np.int32)
    zero, nan = np.zeros(n, np.int32), np.full(n, np.nan)
    arrays = book.arrays() | {
        "account_venue": zero,
        "account_entity": ix,
        "account_has_entity": np.zeros(n, bool),
        "account_segment": np.full(n, -1, np.int32),
        "account_weight": np.ones(n),
        "account_is_exempt": np.zeros(n, bool),
        "account_reported_equity": nan,
        "account_reported_maintenance_margin": nan,
        "account_pool_start": one,
        "entity_account_start": one,
        "entity_account": ix,
        "pool_account": ix,
        "pool_is_isolated": np.zeros(n, bool),
        "pool_position_start": one,
        "pool_slot_start": one,
        "position_instrument": zero,
        "position_quantity": rng.normal(0.0, 3.0, n),
        "position_entry_price": rng.uniform(80.0, 120.0, n),
        "position_slot": zero,
        "slot_asset": np.full(n, 2, np.int32),
        "slot_quantity": rng.uniform(0.0, 200.0, n),
    }
    arrays |= dict.fromkeys(("account_is_lending", "account_is_portfolio", "slot_threshold"))
    return replace(case, book=Book(as_of=AS_OF, numeraire="USD", labels=book.labels, **arrays))


def test_a_million_positions_on_one_instrument_add_up():
    case = million(np.random.default_rng(0))
    book, shocks_ = case.book, (-0.3, -0.05, 0.0, 0.04, 0.25)
    scenarios = shocks(*shocks_)
    kernel = kernel_of(case)
    values, failing = kernel.run(scenarios).values, kernel.failing_pools(scenarios)
    for s, x in enumerate(shocks_):
        mark, size = 100.0 * (1.0 + x), book.position_quantity
        equity = book.slot_quantity + size * (mark - book.position_entry_price)
        is_closed = equity < 0.05 * np.abs(size) * mark
        closed = size[is_closed] * mark
        assert failing[s] == values["system/liquidated_accounts"][s] == np.count_nonzero(is_closed) > 10_000
        near = {"rel": 1e-9}
        assert values["exposure/liquidated_positions"][s, 0, 0] == np.count_nonzero(is_closed)
        longs, shorts = closed[closed > 0.0].sum(), -closed[closed < 0.0].sum()
        assert values["exposure/liquidated_notional_long"][s, 0, 0] == pytest.approx(longs, **near)
        assert values["exposure/liquidated_notional_short"][s, 0, 0] == pytest.approx(shorts, **near)
        assert values["instruments/forced_flow"][s, 0] == pytest.approx(shorts - longs, **near)
        assert values["funds/shortfall"][s, 0] == pytest.approx(np.maximum(0.0, -equity[is_closed]).sum(), **near)
        largest = np.sort(np.maximum(0.0, -equity[is_closed]))[::-1][:10]
        assert values["entities/entity_shortfall"][s, 0] == pytest.approx(largest, **near)
        assert values["instruments/mark_price"][s, 0] == pytest.approx(mark, **near)
        open_ = ~is_closed & (equity < 0.1 * np.abs(size) * mark)
        assert values["system/margin_call_accounts"][s] == np.count_nonzero(open_)
        assert values["system/rounds"][s] == 1.0
