"""Portfolio-margin parameters as a venue file holds them: conveniences, and what is refused."""

import pytest
from support.scan_models import ALL, DERIBIT_BTC_2024, OKX_2025, span

from riskpipe.errors import ConfigError
from riskpipe.margin.scan_model import Cell, ExpiryCharge, Multiplier, ScanModel, SizeCharge, VolShock
from riskpipe.margin.scan_parameters import scan_model


def test_grids_are_products_of_moves_before_the_cells_listed():
    model = scan_model(
        {
            "grids": [{"price_moves": [-0.1, 0], "vol_moves": [1, -1], "weight": 0.5, "group": "a"}],
            "cells": [{"price_move": 0.3, "group": "b", "settled_at": 0.1}],
            "largest": ["a", "b"],
        }
    )
    moves = [(cell.price_move, cell.vol_move) for cell in model.cells]
    assert moves == [(-0.1, 1.0), (-0.1, -1.0), (0.0, 1.0), (0.0, -1.0), (0.3, 0.0)]
    assert {cell.weight for cell in model.cells[:4]} == {0.5}
    assert model.cells[4] == Cell(0.3, group="b", settled_at=0.1)
    assert model.groups() == ("a", "b")


def test_every_published_grid_has_its_number_of_cells():
    counts = {name: len(scan_model(parameters).cells) for name, parameters in ALL.items()}
    assert counts["span double"] == counts["span triple"] == 16
    assert counts["okx 2024"] == counts["okx 2025"] == 7 * 3 + 1 + 2
    assert counts["deribit btc"] == 9 * 3 + 8
    assert counts["pmrm"] == 21
    assert counts["dederi"] == 33
    assert counts["paradex"] == 24


def test_values_become_the_parts_they_describe():
    model = scan_model(OKX_2025)
    assert ExpiryCharge("MR4", 0.05, 0.006, counted="offsetting") in model.charges
    assert SizeCharge("MR7", 0.0045, ("perpetual", "future"), priced_at="mark") in model.charges
    assert model.multipliers[0].tiers[1] == (250_000.0, 2.0)
    assert isinstance(model.multipliers[0], Multiplier)
    assert scan_model(DERIBIT_BTC_2024).vol_shock("vol") == VolShock("vol", 0.5, 0.25, 0.3, 0.13, least_raised=0.5)
    assert scan_model(span(0.1, 0.2, 2, 0.35)) == scan_model(span(0.1, 0.2, 2, 0.35))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chargess": []}, "unknown key chargess; did you mean charges?"),
        ({"cells": [{"price_mov": 0.1}]}, "unknown key cells[0].price_mov; did you mean price_move?"),
        ({"cells": [{"vol_move": 1}]}, "cells[0]: price_move is missing"),
        ({"cells": [{"price_move": "0.1"}]}, "cells[0].price_move: expected a float, got '0.1'"),
        ({"cells": [{"price_move": True}]}, "cells[0].price_move: expected a float, got True"),
        ({"cells": {"price_move": 1.0}}, "cells: expected a list of mappings, got {'price_move': 1.0}"),
        ({"grids": [{"moves": [1]}]}, "grids[0]: expected price_moves, a list"),
        ({"grids": [{"price_moves": [0.1, "x"]}]}, "grids[0].price_moves[1]: expected a float, got 'x'"),
        ({"grids": [{"price_moves": [0.1], "wait": 1}]}, "unknown key grids[0].wait; did you mean weight?"),
        ({"grids": {"price_moves": [0.1]}}, "grids: expected a list of mappings"),
        ({"charges": [{"group": "scan", "rate": 1.0}]}, "charges[0]: expected a mapping with charge: one of size,"),
        ({"charges": [{"charge": "size", "group": "scan"}]}, "charges[0]: rate is missing"),
        ({"charges": [{"charge": "size", "group": "scan", "rate": 1, "side": "up"}]}, "expected one of both, long,"),
        ({"valued_in": "eur"}, "valued_in: expected one of usd, settlement, got 'eur'"),
        ({"vol_shocks": [{"curve": [[0, 1]]}]}, "vol_shocks[0].curve[0]: expected a list of 3, got [0, 1]"),
        ({"long_value": 0.9}, "long_value: expected a mapping, got 0.9"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_place(change, message):
    with pytest.raises(ConfigError) as refused:
        scan_model({"cells": [{"price_move": 0.1}]} | change)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"largest": ["scan", "other"]}, "largest: no cell, scan or charge is of group 'other'; known are scan"),
        ({"largest": []}, "group 'scan' is in none of largest, added, at_least, added_to_initial"),
        ({"cells": [], "largest": []}, "no cell, scan or charge: every requirement would be 0"),
        ({"cells": [{"price_move": -1}]}, "prices cannot fall by 100% or more"),
        ({"cells": [{"price_move": 0.1, "weight": -1}]}, "expected to be >= 0"),
        ({"cells": [{"price_move": 0.1, "vol_shock": "points"}]}, "no volatility shock is named 'points'"),
        ({"vol_shocks": [{"floor_days": 0}]}, "expected to be > 0"),
        ({"vol_shocks": [{"curve": [[5, 1, 1], [5, 2, 2]]}]}, "the days of the curve are expected to rise"),
        ({"multipliers": [{"group": "scan", "tiers": [[1, 1]]}]}, "floors that rise from 0"),
        ({"multipliers": [{"group": "else", "tiers": [[0, 1]]}]}, "expected a known group"),
        ({"expiry_scans": [{"group": "scan", "cells": []}]}, "expiry scan of group 'scan': it has no cells"),
        ({"maintenance_factor": 2.0}, "expected 0 <= maintenance_factor <= initial_factor, got 2.0 and 1.0"),
        ({"gain_share": 1.5}, "gain_share in [0, 1], got 0.0 and 1.5"),
    ],
)
def test_a_model_that_cannot_be_meant_is_refused(change, message):
    with pytest.raises(ConfigError) as refused:
        scan_model({"cells": [{"price_move": 0.1}]} | change)
    assert message in str(refused.value)


def test_every_problem_is_listed():
    with pytest.raises(ConfigError, match="3 problem"):
        scan_model({"grids": [{"price_moves": [1, 2], "weight": "x"}], "initial_faktor": 1, "valued_in": 3})
    with pytest.raises(ConfigError, match="2 problem"):
        ScanModel((Cell(-2.0), Cell(0.1, weight=-1.0)))
