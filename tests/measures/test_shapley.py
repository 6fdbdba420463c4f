"""Shapley values: the axioms, on games of every kind."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.measures.shapley import shapley

PARTS = ("a", "b", "c", "d")
SUBSETS = [frozenset(some) for n in range(5) for some in combinations(PARTS, n)]
games = st.lists(st.floats(-1e9, 1e9), min_size=16, max_size=16).map(
    lambda numbers: {subset: np.array([number]) for subset, number in zip(SUBSETS, numbers, strict=True)}
)


@given(games)
def test_shares_add_up_to_the_change(game):
    total = sum(shapley(game, PARTS).values())
    assert total[0] == pytest.approx(game[frozenset(PARTS)][0] - game[frozenset()][0], rel=1e-12, abs=1e-3)


@given(games, st.permutations(PARTS))
def test_no_order_of_the_parts_changes_a_share(game, order):
    one, other = shapley(game, PARTS), shapley(game, order)
    for part in PARTS:
        assert one[part][0] == pytest.approx(other[part][0], rel=1e-9, abs=1e-3)


@given(games)
def test_a_part_that_changes_nothing_explains_exactly_nothing(game):
    idle = {subset: game[subset - {"b"}] for subset in SUBSETS}
    assert shapley(idle, PARTS)["b"][0] == 0.0


def test_what_two_parts_do_only_together_is_split_evenly():
    game = {subset: np.array([10.0 * ("a" in subset) + 6.0 * ({"b", "c"} <= subset)]) for subset in SUBSETS}
    shares = shapley(game, PARTS)
    assert [shares[part][0] for part in PARTS] == pytest.approx([10.0, 3.0, 3.0, 0.0])


def test_without_parts_nothing_is_explained():
    assert shapley({frozenset(): np.ones(3)}, ()) == {}
