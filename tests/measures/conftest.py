import pytest
from strategies import random_case
from support.cubes import kernel_cube

from riskpipe.domain.scenarios import Variant
from riskpipe.measures.registry import take_measures
from riskpipe.scenarios.grid import scenario_set

AXES = {"index_shock": [-0.4, -0.2, 0.0, 0.2], "basis_shock": [-0.02, 0.0], "depth_factor": [1.0, 0.1]}
VARIANTS = tuple(Variant(gap_share=gap, law=law) for gap in (1.0, 0.0) for law in ("exponential", "linear"))


@pytest.fixture(scope="session")
def tree():
    scenarios = scenario_set(AXES, [("a bad day", {"index_shock": -0.5})], VARIANTS)
    return kernel_cube(random_case(3, n_accounts=60), scenarios)


@pytest.fixture(scope="session")
def measures(tree):
    return take_measures(tree)
