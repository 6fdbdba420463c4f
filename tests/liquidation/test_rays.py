"""Rays: where pools first fail on the way to many scenarios at once."""

import numba
import numpy as np
from strategies import with_own_moves
from support.hard_books import hard_case

from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.rays import BISECTION_WIDTH, SCAN_STEPS, make_rays, set_first_failures
from riskpipe.liquidation.records import make_draft
from riskpipe.liquidation.reference import Reference
from riskpipe.liquidation.shocks import cut_shocks, shocks_of

N_GROUPS = 70  # more than a word has bits


@numba.njit(cache=False)
def find(pools, terms, draft, rays, p, words, group_lanes):
    set_first_failures(pools, terms, draft, rays, p, words, group_lanes)


def group_words(wanted):
    """Return a word set with the wanted lanes, and lane g as the only one of group g."""
    lanes = np.zeros((len(wanted), -(-len(wanted) // 64)), dtype=np.uint64)
    for g in range(len(wanted)):
        lanes[g, g >> 6] = np.uint64(1) << np.uint64(g & 63)
    return np.bitwise_or.reduce(lanes[wanted], axis=0) if np.any(wanted) else np.zeros_like(lanes[0]), lanes


def test_first_failures_of_many_groups_are_the_references():
    n_found = n_start = n_never = n_edge = 0
    for seed in range(16):
        case = hard_case(seed, n_accounts=6, n_scenarios=N_GROUPS)
        case = with_own_moves(np.random.default_rng(seed), case) if seed % 4 > 1 else case
        scenarios = case.scenarios
        haircut = float(seed % 2 * 0.3)
        scenarios.haircut_shock[:] = haircut
        kernel = Kernel(case.book, case.market, case.rules)
        pools, terms = kernel.lowered(haircut)
        model = Reference(case.book, case.market, case.rules, scenarios)
        shocks = shocks_of(scenarios, np.arange(N_GROUPS))
        rays = make_rays(terms, shocks, haircut)
        alone = [make_rays(terms, cut_shocks(shocks, g, g + 1), haircut) for g in range(N_GROUPS)]
        draft = make_draft(pools, terms, max(N_GROUPS, SCAN_STEPS + 1))
        wanted = np.random.default_rng(seed).random(N_GROUPS) < 0.8
        words, lanes = group_words(wanted)
        for p in range(case.book.n_pools):
            if not model.can_be_liquidated(p):
                continue
            find(pools, terms, draft, rays, p, words, lanes)
            point = rays.point.copy()
            assert np.all(np.isnan(point[~wanted]))
            for g in np.flatnonzero(wanted):
                find(pools, terms, draft, alone[g], p, *group_words(np.ones(1, bool)))
                assert np.array_equal(alone[g].point, point[g : g + 1], equal_nan=True)
            for g in np.flatnonzero(wanted)[p % 5 :: 5]:
                expected, mine = model.first_failure(p, g), 1.0 if np.isnan(point[g]) else point[g]
                if abs(mine - expected) > BISECTION_WIDTH:
                    # a knife edge: the excess is nil, but for rounding, where one of them finds the pool failing
                    n_edge += 1
                    gross = model.gross_notional(p, model.shocked(g))
                    nearest = min(abs(model.ray_excess(p, g, at)) for at in (mine, expected))
                    assert nearest <= 1e-12 * gross, (seed, p, g, mine, expected)
                n_found += 0.0 < mine < 1.0
                n_start += mine == 0.0
                n_never += bool(np.isnan(point[g]))
    assert min(n_found, n_start, n_never) > 30, (n_found, n_start, n_never)
    assert n_edge <= 0.02 * n_found
