"""Laws of the kernel's output that need no second implementation."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import cases, random_case
from support.book_changes import first_tiers_only, scaled_money, take_accounts
from support.cascades import chain_case, deep_cases
from support.equality import differences, entities_differ, gross_notional, run

from riskpipe.domain.scenarios import block_bounds
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.reference import Reference

STAGES = ("fee_offset", "fund_used", "backstop_loss", "adl_loss", "socialised_loss", "residual")
anything = st.one_of(cases(), deep_cases())


def is_on_an_edge(case, width=1e-9):
    """Whether some scenario has another history a rounding error away."""
    model = Reference(case.book, case.market, case.rules, case.scenarios)
    return any(model.run(s).knife_edge < width for s in range(len(case.scenarios)))


@settings(max_examples=200)
@given(anything)
def test_losses_equal_their_sources_in_every_scenario_and_fund(case):
    values = run(case)
    shortfall = values["funds/shortfall"]
    total = sum(values[f"funds/{stage}"] for stage in STAGES)
    assert np.all(np.abs(shortfall - total) <= 4.0 * np.spacing(shortfall))
    for stage in ("shortfall", *STAGES, "adl_notional"):
        assert np.all(values[f"funds/{stage}"] >= 0.0), stage
    assert np.all(values["funds/fund_used"] <= values["funds/fund_balance"])


@settings(max_examples=150)
@given(anything)
def test_parts_add_up_to_the_system(case):
    values, scale = run(case), gross_notional(case)
    exposure = values["exposure/liquidated_notional_long"] + values["exposure/liquidated_notional_short"]
    assert values["system/liquidated_notional"] == pytest.approx(exposure.sum((1, 2)), rel=1e-12)
    assert np.all(values["system/first_round_notional"] <= values["system/liquidated_notional"] * (1.0 + 1e-12))
    assert np.all(np.abs(values["instruments/forced_flow"]).sum(1) <= values["system/liquidated_notional"] + 1e-9)
    assert np.all((values["system/rounds"] > 0.0) == (values["system/liquidated_accounts"] > 0.0))
    # of the ten largest each entity has its part of the fund's loss, in descending order
    entity = values["entities/entity_shortfall"]
    assert np.all(np.diff(entity, axis=-1) <= 0.0)
    assert np.all(entity.sum(-1) <= values["funds/shortfall"] + 1e-12 * scale)


def same_bits(mine, other):
    return all(mine[key].tobytes() == other[key].tobytes() for key in other)


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_any_cut_into_blocks_and_any_repetition_give_the_same_bits(seed):
    case = random_case(seed, n_accounts=20, n_scenarios=17)
    kernel = Kernel(case.book, case.market, case.rules)
    whole = kernel.run(case.scenarios)
    for size in (1, 7, 17):
        parts = [kernel.run(case.scenarios.slab(*bounds)) for bounds in block_bounds(17, size)]
        glued = {key: np.concatenate([part.values[key] for part in parts]) for key in whole.values}
        assert same_bits(glued, whole.values)
        hits, worst = np.zeros(20, int), np.zeros(20)
        for part in (item.part for item in parts):
            hits[part.account_ix] += part.liquidated_scenarios
            worst[part.account_ix] = np.maximum(worst[part.account_ix], part.shortfall_max)
        assert np.array_equal(np.flatnonzero(hits), whole.part.account_ix)
        assert np.array_equal(hits[hits > 0], whole.part.liquidated_scenarios)
        assert worst[hits > 0].tobytes() == whole.part.shortfall_max.tobytes()
    assert same_bits(run(case), whole.values)  # a kernel of its own, with fresh scratch


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_scenarios_does_not_matter(seed):
    case = random_case(seed, n_accounts=15, n_scenarios=9)
    order = np.random.default_rng(seed).permutation(9)
    arrays = ("index_shock", "basis_shock", "vol_shock", "depth_factor", "haircut_shock", "probability", "variant")
    shuffled = replace(case.scenarios, **{name: getattr(case.scenarios, name)[order] for name in arrays})
    mine, other = run(replace(case, scenarios=shuffled)), run(case)
    assert same_bits(mine, {key: value[order] for key, value in other.items()})


@settings(max_examples=80)
@given(anything, st.integers(0, 2**32 - 1))
def test_permuting_accounts_permutes_results(case, seed):
    assume(not is_on_an_edge(case))
    book, origin = take_accounts(case.book, np.random.default_rng(seed).permutation(case.book.n_accounts))
    mine, other, scale = run(replace(case, book=book)), run(case), gross_notional(case)
    index = mine["entities/entity"].astype(int)
    mine["entities/entity"] = np.where(index < 0, -1, origin[index])
    assert not differences(mine, other, scale, tolerance=1e-12)
    assert not entities_differ(mine, other, scale, tolerance=1e-12)


def test_permuting_accounts_permutes_their_parts():
    case = random_case(5, n_accounts=30, n_scenarios=12)
    order = np.random.default_rng(0).permutation(30)
    mine = Kernel(take_accounts(case.book, order)[0], case.market, case.rules).run(case.scenarios).part
    other = Kernel(case.book, case.market, case.rules).run(case.scenarios).part
    hits = dict(zip(other.account_ix, zip(other.liquidated_scenarios, other.shortfall_max, strict=True), strict=True))
    assert len(hits) > 10
    permuted = dict(
        zip(order[mine.account_ix], zip(mine.liquidated_scenarios, mine.shortfall_max, strict=True), strict=True)
    )
    assert permuted.keys() == hits.keys()
    for account, (count, worst) in hits.items():
        assert permuted[account] == (count, pytest.approx(worst, rel=1e-12))


@pytest.mark.parametrize("factor", [8.0, 3.0])
@settings(max_examples=60)
@given(case=anything)
def test_scaling_all_money_scales_money(factor, case):
    assume(not is_on_an_edge(case))
    mine, other = run(scaled_money(case, factor)), run(case)
    scale = gross_notional(case)
    expected = {}
    for key, value in other.items():
        is_money = key.startswith(("funds/", "exposure/liquidated_notional", "instruments/forced_flow")) or key in {
            "system/liquidated_notional",
            "system/first_round_notional",
            "system/broken_hedge_notional",
            "entities/entity_shortfall",
            "entities/entity_uncovered_loss",
        }
        expected[key] = value * factor if is_money else value
    if factor == 8.0:  # a power of two moves no rounding
        assert same_bits(mine, expected)
    else:
        assert not differences(mine, expected, scale * factor)
        assert not entities_differ(mine, expected, scale * factor)


@settings(max_examples=60)
@given(anything)
def test_two_halves_of_an_account_are_the_account(case):
    case = replace(case, book=first_tiers_only(case.book))
    assume(not is_on_an_edge(case))
    book, origin = take_accounts(case.book, np.repeat(np.arange(case.book.n_accounts), 2))
    entity = case.book.account_entity.repeat(2)  # both halves have one owner
    n_entities = len(case.book.entity_account_start) - 1
    book = replace(
        book,
        position_quantity=book.position_quantity / 2.0,
        slot_quantity=book.slot_quantity / 2.0,
        account_entity=entity,
        entity_account=np.argsort(entity, kind="stable").astype(np.int32),
        entity_account_start=np.concatenate(([0], np.cumsum(np.bincount(entity, minlength=n_entities)))),
    )
    mine, other, scale = run(replace(case, book=book)), run(case), gross_notional(case)
    for counted in ("exposure/liquidated_positions", "system/liquidated_accounts", "system/margin_call_accounts"):
        mine[counted] /= 2.0
    assert len(origin) >= n_entities
    assert not differences(mine, other, scale)
    assert not entities_differ(mine, other, scale)


@settings(max_examples=60)
@given(anything)
def test_a_weight_of_w_is_w_copies(case):
    weight = np.minimum(case.book.account_weight, 4.0)
    weighted = replace(case, book=replace(case.book, account_weight=weight))
    assume(not is_on_an_edge(weighted))
    book, _ = take_accounts(case.book, np.repeat(np.arange(case.book.n_accounts), weight.astype(int)))
    copies = replace(case, book=replace(book, account_weight=np.ones(book.n_accounts)))
    mine, other = run(copies), run(weighted)
    # a row of several owners stands in no list of the largest; its copies do
    keys = [key for key in other if not key.startswith("entities/")]
    assert not differences(mine, other, gross_notional(weighted), keys)


@settings(max_examples=60)
@given(anything)
def test_more_rounds_close_more_and_undo_nothing(case):
    def closed_after(allowed):
        venues = tuple(replace(venue, max_rounds=allowed) for venue in case.rules.venues)
        result = Kernel(case.book, case.market, replace(case.rules, venues=venues)).run(only)
        return set(result.part.account_ix.tolist()), result.values

    for s in range(min(2, len(case.scenarios))):
        only = replace(case.scenarios.slab(s, s + 1), variant=np.zeros(1, np.int32))
        before, values = closed_after(1)
        for allowed in range(2, 5):
            after, more = closed_after(allowed)
            assert before <= after
            assert more["system/rounds"][0] in {values["system/rounds"][0], values["system/rounds"][0] + 1.0}
            assert more["system/liquidated_notional"][0] >= values["system/liquidated_notional"][0]
            assert more["system/first_round_notional"][0] == values["system/first_round_notional"][0]
            assert (values["system/max_rounds_hit"][0] == 1.0) == (
                more["system/rounds"][0] > values["system/rounds"][0]
            )
            before, values = after, more


def test_the_ratchet_is_tried_by_chains_of_several_rounds():
    rounds = [run(chain_case(seed))["system/rounds"].max() for seed in range(20)]
    assert max(rounds) >= 5.0


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_no_shock_on_a_healthy_book_leaves_nothing_but_prices(seed):
    case = random_case(seed, n_accounts=12, n_scenarios=1, is_levered=False)
    still = replace(
        case.scenarios,
        index_shock=np.zeros(1),
        basis_shock=np.zeros(1),
        haircut_shock=np.zeros(1),
        depth_factor=np.ones(1),
    )
    case = replace(case, scenarios=still)
    model = Reference(case.book, case.market, case.rules, still)
    prices = model.shocked(0)
    is_healthy = [
        all(
            model.health(p, prices, 0.0).margin_excess > 0.0
            and model.health(p, prices, 0.0).equity >= model.health(p, prices, 0.0).initial_margin
            for p in range(*case.book.account_pool_start[[a, a + 1]])
            if len(model.slots(p)) > 0 and (len(model.positions(p)) > 0 or model.can_be_liquidated(p))
        )
        for a in range(case.book.n_accounts)
    ]
    assume(sum(is_healthy) > 2)
    values = run(replace(case, book=take_accounts(case.book, np.flatnonzero(is_healthy))[0]))
    not_nil = {key for key, value in values.items() if np.any(value != 0.0)}
    assert not_nil <= {"funds/fund_balance", "instruments/mark_price", "instruments/basis", "entities/entity"}
    assert np.all(values["entities/entity"] == -1.0)
    assert values["instruments/mark_price"][0] == pytest.approx(case.market.mark_price, rel=1e-14)


def test_slabs_run_in_several_threads_at_once_have_the_bits_of_one():
    """Compiled code runs without Python's lock, so that one kernel may not share its scratch between calls."""
    case = random_case(5, n_accounts=400, n_scenarios=64)
    kernel = Kernel(case.book, case.market, case.rules)
    bounds = block_bounds(len(case.scenarios), 2)
    alone = [kernel.run(case.scenarios.slab(*each)).values for each in bounds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: kernel.run(case.scenarios.slab(*each)).values, bounds))
    for first, second in zip(alone, together, strict=True):
        assert all(first[key].tobytes() == second[key].tobytes() for key in first)
