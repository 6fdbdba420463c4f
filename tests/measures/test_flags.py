"""Flags of cells: each is raised by what it names, and by nothing else."""

import numpy as np
import pytest
from support.hand_made import hand_made

from riskpipe.measures.cells import cells_of
from riskpipe.measures.flags import FLAGS, cell_flags, differs_tenfold

AXES = {"index_shock": [-0.2, -0.1, 0.0, 0.1], "depth_factor": [1.0, 0.1]}
N = 8


def flags(**values):
    found = cell_flags(hand_made(AXES, {key.replace("__", "/"): value for key, value in values.items()}))
    return {str(name): found["is_flagged"].sel(flag=name).values.tolist() for name in FLAGS}


def at(*hit, value=1.0):
    return [value if row in hit else 0.0 for row in range(N)]


def test_a_quiet_grid_has_no_flag():
    assert {one for values in flags().values() for one in values} == {0.0}


@pytest.mark.parametrize(
    ("flag", "values", "hit"),
    [
        ("cut off", {"system__max_rounds_hit": at(3)}, {3}),
        ("price limit", {"system__price_limits_hit": at(1, 2, value=4.0)}, {1, 2}),
        ("beyond book", {"instruments__dislocation": [[one] for one in at(5, value=-0.11)]}, {5}),
        ("beyond book", {"instruments__dislocation": [[one] for one in at(5, value=-0.09)]}, set()),
        ("tenfold step", {"funds__shortfall": [[one] for one in (1.0, 1.0, 1.0, 9.0, 1.0, 0.0, 5.0, 60.0)]}, {7, 6, 5}),
    ],
)
def test_each_flag_is_raised_by_what_it_names_alone(flag, values, hit):
    found = flags(**values)
    if flag == "tenfold step":
        cells = cells_of(hand_made(AXES))
        losses = np.array(values["funds__shortfall"]).ravel()
        place = list(zip(cells.axes["index_shock"].tolist(), cells.axes["depth_factor"].tolist(), strict=True))
        steps = sorted(set(cells.axes["index_shock"].tolist()))
        hit = {
            a for a in range(N) for b in range(N)
            if a != b and min(losses[a], losses[b]) > 0 and max(losses[a], losses[b]) >= 10 * min(losses[a], losses[b])
            and (
                (place[a][1] == place[b][1] and abs(steps.index(place[a][0]) - steps.index(place[b][0])) == 1)
                or (place[a][0] == place[b][0] and place[a][1] != place[b][1])
            )
        }  # fmt: skip
        assert hit
    assert {row for row, is_flagged in enumerate(found[flag]) if is_flagged} == hit
    others = {name for name, rows in found.items() if any(rows)} - {flag}
    assert others == set()


def test_one_owner_is_flagged_above_half_of_the_shortfall():
    shortfall = [[10.0]] * N
    entity = [[[0.0, *([-1.0] * 9)]]] * N
    owed = [[[amount, *([0.0] * 9)]] for amount in (5.0, 5.1, 10.0, 0.0, 4.0, 6.0, 1.0, 2.0)]
    found = flags(funds__shortfall=shortfall, entities__entity=entity, entities__entity_shortfall=owed)
    assert found["one owner"] == [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_cells_outside_the_grid_have_no_neighbours():
    tree = hand_made({"index_shock": [-0.1, 0.0]}, {"funds/shortfall": [[50.0], [1.0]]})
    system = tree["system"].to_dataset()
    assert differs_tenfold(cells_of(tree), np.array([50.0, 1.0])).tolist() == [True, True]
    tree["system"] = system.assign_coords(set=("scenario", ["grid", "historical"]))
    found = cell_flags(tree)["is_flagged"].sel(flag="tenfold step").values
    assert found[0] == 0.0
    assert np.isnan(found[1])
