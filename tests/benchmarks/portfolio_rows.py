"""Row of portfolio margin: scans of pools with options, against the bare loop."""

from functools import partial

import numpy as np
from strategies import random_case
from support.random_portfolios import with_portfolios

from riskpipe.liquidation.kernel import Kernel

from .books import Inputs
from .settings import Figure, Measured
from .timing import best_in_turn
from .yardstick import Yardstick


def scans(inputs: Inputs) -> Measured:
    """Every account a portfolio, dense: what a cell of a position costs against one multiply-add of the bare loop."""
    n = inputs.sizes.portfolio_scenarios
    case = random_case(inputs.settings.seed, n_accounts=inputs.sizes.portfolio_accounts, n_scenarios=n)
    case = with_portfolios(np.random.default_rng(inputs.settings.seed), case, share=1.0)
    kernel = Kernel(case.book, case.market, case.rules)
    bare = Yardstick(case.book, 512)
    times = best_in_turn(
        {"bare": bare.run, "dense": partial(kernel.failing_pools, case.scenarios)}, inputs.sizes.repeats
    )
    units, models = kernel.units, kernel.unit_models
    cells = np.array([len(model.cells) for model in models])
    held = np.diff(units.holding_start)
    work = float((held * cells[units.unit_model]).sum()) * n
    ratio = (work / times["dense"]) / (bare.work / times["bare"])
    return Measured(
        (Figure("cells of portfolio scans over bare loop", ratio),),
        {
            "pools": len(units.pool),
            "holdings": len(units.holding_row),
            "rows repriced in every lane": len(units.row_asset),
            "lanes": n,
            "microseconds a pool and lane": 1e6 * times["dense"] / (len(units.pool) * n),
            "1e9 cells of holdings a second": work / times["dense"] / 1e9,
        },
    )
