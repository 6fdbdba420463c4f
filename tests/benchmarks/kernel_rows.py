"""Rows of one process: the health pass over the bare loop, over the baselines, and the whole block over the pass."""

import time
from dataclasses import replace
from functools import partial

import numpy as np

from riskpipe.liquidation.kernel import Kernel

from .books import Inputs
from .job import Prices, lower, shocked_prices
from .plain_baselines import PandasBaseline, XarrayBaseline
from .polars_baseline import PolarsBaseline
from .settings import Figure, Measured
from .timing import best, best_in_turn
from .tuned_baselines import NumpyBaseline, ScipyBaseline
from .yardstick import Yardstick

MOST_KNIFE_EDGES = 2  # pools whose margin excess is 0 but for rounding


def health(inputs: Inputs) -> Measured:
    """Dense health pass over the bare loop, with tiers crossed inside the block and with none crossed."""
    scenarios = inputs.health_scenarios
    n, n_accounts = len(scenarios), inputs.sizes.dense_accounts
    kernels, details = {}, {"lanes": n, "accounts": n_accounts}
    for name, share in (("crossing", inputs.settings.tiers.crossing_share), ("none crossing", 0.0)):
        book, market, rules, prices = inputs.unprunable(n_accounts, crossing_share=share)
        kernels[name] = Kernel(book, market, rules)
        start = time.perf_counter()
        kernels[name].failing_pools(scenarios)
        details[f"seconds of a first pass, records made, {name}"] = time.perf_counter() - start
        details[f"share of positions crossing a tier, {name}"] = lower(book, market, prices).crossing_share
        details["positions"], details["pools"] = book.n_positions, book.n_pools
    bare = Yardstick(book, n)
    passes = {"bare": bare.run}
    passes |= {name: partial(kernel.failing_pools, scenarios) for name, kernel in kernels.items()}
    times = best_in_turn(passes, 6 * inputs.sizes.repeats)  # short ones: the machine is quiet in some of them
    for name, seconds in times.items():
        details[f"{name}: 1e9 position-scenarios a second"] = bare.work / seconds / 1e9
    return Measured(
        (
            Figure("health pass over bare loop, 16% crossing a tier", times["bare"] / times["crossing"], at_least=0.4),
            Figure("health pass over bare loop, none crossing", times["bare"] / times["none crossing"], at_least=0.7),
        ),
        details,
    )


def baselines(inputs: Inputs) -> Measured:
    """Dense health pass over numpy, scipy.sparse, Polars, pandas and xarray over dask, which must count the same.

    What a baseline does once for a book and a grid is not charged to it, nor are the kernel's records.
    """
    sizes, scenarios = inputs.sizes, inputs.health_scenarios
    share = inputs.settings.tiers.crossing_share
    rates: dict[str, float] = {}
    details: dict[str, object] = {"lanes": len(scenarios)}
    book, market, rules, prices = inputs.unprunable(sizes.baseline_accounts, crossing_share=share)
    details["accounts"], details["positions"] = book.n_accounts, book.n_positions
    kernel = Kernel(book, market, rules)
    start = time.perf_counter()
    counts = kernel.failing_pools(scenarios)
    details["kernel: seconds of a first pass, records made, not charged"] = time.perf_counter() - start
    tuned = {"numpy": NumpyBaseline, "scipy.sparse": ScipyBaseline, "Polars": PolarsBaseline}
    passes = {"kernel": partial(kernel.failing_pools, scenarios)}
    for name, kind in tuned.items():
        start = time.perf_counter()
        baseline = kind(lower(book, market, prices), prices)
        details[f"{name}: seconds before it starts, not charged"] = time.perf_counter() - start
        details[f"{name}: most pools counted otherwise"] = _compare(name, counts, baseline.run())
        passes[name] = baseline.run
    for name, seconds in best_in_turn(passes, max(1, sizes.repeats - 2)).items():
        rates[name] = book.n_positions * len(scenarios) / seconds
    few = slice(0, sizes.plain_scenarios)
    book, market, rules, prices = inputs.unprunable(sizes.plain_accounts, crossing_share=share)
    counts, job = Kernel(book, market, rules).failing_pools(scenarios), lower(book, market, prices)
    some = prices.columns(few.start, few.stop)
    for name, baseline, n in (
        ("pandas, larger book", PandasBaseline(*_larger(inputs, share)), sizes.plain_scenarios),
        ("pandas", PandasBaseline(job, some), sizes.plain_scenarios),
        ("xarray over dask.array", XarrayBaseline(job, prices), len(scenarios)),
    ):
        if name == "pandas, larger book":  # where merges are at their best; the smaller book checks the counts
            rates["pandas"] = len(baseline.positions) * n / best(baseline.run, 1)
            continue
        found = baseline.run()
        details[f"{name}: most pools counted otherwise"] = _compare(name, counts[: len(found)], found)
        rates[name] = max(rates.get(name, 0.0), book.n_positions * n / best(baseline.run, 1))
    for name, rate in rates.items():
        details[f"{name}: 1e6 position-scenarios a second"] = rate / 1e6
    fastest = max(tuned, key=lambda name: rates[name])
    plain = max(rates["pandas"], rates["xarray over dask.array"])
    details["fastest tuned baseline"] = fastest
    return Measured(
        (
            Figure("health pass over fastest of numpy, scipy.sparse, Polars", rates["kernel"] / rates[fastest], 3.0),
            Figure("health pass over faster of pandas, xarray/dask.array", rates["kernel"] / plain, 100.0),
        ),
        details,
    )


def _larger(inputs: Inputs, share: float):
    book, market, _, prices = inputs.unprunable(inputs.sizes.baseline_accounts, crossing_share=share)
    return lower(book, market, prices), prices.columns(0, inputs.sizes.plain_scenarios)


def _compare(name: str, counts: np.ndarray, found: np.ndarray) -> int:
    """Return the largest difference of counts; a baseline that does another job measures nothing."""
    most = int(np.abs(counts - found).max())
    if most > MOST_KNIFE_EDGES:
        s = int(np.abs(counts - found).argmax())
        raise AssertionError(f"{name} counts {found[s]} failing pools in scenario {s}, the kernel {counts[s]}")
    return most


def block(inputs: Inputs) -> Measured:
    """The default night's scenarios to their end, over one dense health pass of as many lanes on the same book."""
    n_accounts = inputs.sizes.snapshot_accounts
    book = inputs.book(n_accounts)
    market, rules, scenarios = inputs.world(book, n_accounts)
    kernel, dense_kernel = (Kernel(book, market, rules) for _ in range(2))  # each keeps records of its own
    lanes = inputs.health_scenarios
    values = kernel.run(scenarios).values
    times = best_in_turn(
        {"pass": partial(dense_kernel.failing_pools, lanes), "block": partial(kernel.run, scenarios)},
        max(1, inputs.sizes.repeats // 2),
    )
    dense = times["pass"] * len(scenarios) / len(lanes)
    rounds = values["system/rounds"]
    later, share = _later_passes(book, shocked_prices(book, market, scenarios), scenarios, values)
    return Measured(
        (Figure("whole block over one dense health pass", times["block"] / dense, at_most=2.0 + 1.2 * later),),
        {
            "accounts": book.n_accounts,
            "positions": book.n_positions,
            "scenarios": len(scenarios),
            "distinct scenarios": len(_distinct(scenarios)),
            "block, seconds": times["block"],
            "dense health pass, seconds": dense,
            "rounds, most": float(rounds.max()),
            "rounds, mean": float(rounds.mean()),
            "liquidated accounts, mean share": float(
                values["system/liquidated_accounts"].mean() / book.account_weight.sum()
            ),
            "share of positions in pools touched after round one, mean": share,
            "passes over pools touched in later rounds": later,
        },
    )


def _distinct(scenarios) -> np.ndarray:
    """First rows of scenarios that differ in more than volatility, which moves nothing here."""
    shocks = (scenarios.index_shock, scenarios.basis_shock, scenarios.depth_factor, scenarios.haircut_shock)
    return np.unique(np.stack(shocks), axis=1, return_index=True)[1]


def _later_passes(book, prices: Prices, scenarios, values) -> tuple[float, float]:
    """Dense passes' worth of positions in pools that can have changed after round one, all rounds of a block together;
    and the mean share of such positions in a scenario with rounds.

    A pool can have changed when it holds an instrument whose mark has moved. Alike scenarios count once.
    """
    shocked = _marks(book, prices)
    later, shares = 0.0, []
    n_positions = np.diff(book.pool_position_start)
    has_positions = n_positions > 0
    for s in _distinct(scenarios):
        moved = np.abs(values["instruments/mark_price"][s] / shocked[:, s] - 1.0) > 1e-12
        rounds = values["system/rounds"][s]
        if rounds == 0 or not moved.any():
            continue
        touched = np.zeros(book.n_pools, bool)
        holds = moved[book.position_instrument]
        touched[has_positions] = np.logical_or.reduceat(holds, book.pool_position_start[:-1][has_positions])
        shares.append(float(n_positions[touched].sum() / book.n_positions))
        later += rounds * shares[-1]
    return later / len(scenarios), float(np.mean(shares)) if shares else 0.0


def _marks(book, prices: Prices) -> np.ndarray:
    """Marks of every scenario before impact."""
    is_inverse = book.instrument_is_inverse[:, None]
    with np.errstate(divide="ignore"):
        return np.where(is_inverse, -1.0 / prices.payoff, prices.payoff)


def rounds(inputs: Inputs) -> Measured:
    """Cost of later rounds against the share of pools that can have changed in them.

    Impact reaches only some instruments, the most widely held last; all others are as deep as the sea. What a block
    costs above the block without any impact is set against the pool-rounds that impact makes possible.
    """
    book = inputs.book(inputs.sizes.dense_accounts)
    market, rules, scenarios = inputs.world(book, inputs.sizes.dense_accounts)
    rules = replace(rules, venues=tuple(replace(venue, kappa=0.0) for venue in rules.venues))
    sea = replace(market, depth_bid=np.full(book.n_instruments, 1e30), depth_ask=np.full(book.n_instruments, 1e30))
    prices = shocked_prices(book, market, scenarios)
    points, passes = [], {"none": partial(Kernel(book, sea, rules).run, scenarios)}
    for wanted in inputs.sizes.rounds_shares:
        reached, share = _reached(book, wanted)
        kernel = Kernel(
            book,
            replace(
                sea,
                depth_bid=np.where(reached, market.depth_bid, sea.depth_bid),
                depth_ask=np.where(reached, market.depth_ask, sea.depth_ask),
            ),
            rules,
        )
        later, _ = _later_passes(book, prices, scenarios, kernel.run(scenarios).values)
        points.append({"share of pools reached": share, "passes over pools touched": later})
        passes[str(wanted)] = partial(kernel.run, scenarios)
    times = best_in_turn(passes, max(1, inputs.sizes.repeats // 2))
    lanes = inputs.health_scenarios
    kernel = Kernel(book, market, rules)
    dense = best(partial(kernel.failing_pools, lanes), 1) * len(scenarios) / len(lanes)
    for wanted, point in zip(inputs.sizes.rounds_shares, points, strict=True):
        point["cost in dense passes"] = (times[str(wanted)] - times["none"]) / dense
    x = np.array([point["passes over pools touched"] for point in points])
    y = np.array([point["cost in dense passes"] for point in points])
    slope, fit = _through_origin(x, y)
    return Measured(
        (
            Figure("later rounds: cost of a pass over touched pools, in dense passes", slope),
            Figure("later rounds: fit of a proportional curve, R squared", fit),
        ),
        {"positions": book.n_positions, "block without impact, dense passes": times["none"] / dense, "curve": points},
    )


def _reached(book, wanted: float) -> tuple[np.ndarray, float]:
    """Instruments whose holders make up about the wanted share of pools with positions, and that share."""
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_position_start))
    holders = np.bincount(book.position_instrument, minlength=book.n_instruments)
    reached, best_share = np.zeros(book.n_instruments, bool), 0.0
    everyone = len(np.unique(pool))
    for i in np.argsort(holders, kind="stable"):
        if holders[i] == 0:
            continue
        trial = reached.copy()
        trial[i] = True
        share = len(np.unique(pool[trial[book.position_instrument]])) / everyone
        if best_share and abs(share - wanted) > abs(best_share - wanted):
            break
        reached, best_share = trial, share
    return reached, best_share


def _through_origin(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of y = slope x, and the share of y's variance it explains."""
    if not np.any(x):
        return 0.0, 0.0
    slope = float(x @ y / (x @ x))
    spread = float(np.sum((y - y.mean()) ** 2))
    return slope, 1.0 - float(np.sum((y - slope * x) ** 2)) / spread if spread else 1.0
