"""Books to measure on: generated snapshots, the same book with tiers and collateral that no screen can skip, tiles."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from riskpipe.calibrate.market import calibrate
from riskpipe.config import RunConfig, load
from riskpipe.cube.books import put_book
from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import book_prefix
from riskpipe.cube.store import open_store
from riskpipe.domain.book import Book
from riskpipe.domain.market import Market
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot
from riskpipe.run.synthesis import synthesise
from riskpipe.run.wiring import rules_of, scenarios_of
from riskpipe.scenarios.grid import scenario_set

from .job import Prices, lower, shocked_prices
from .settings import ROOT, Settings, Sizes, Tiers, read_settings
from .tuned_baselines import NumpyBaseline

N_NEAR = 16  # scenarios of which each pool is brought near the trigger of one
FAR_FLOOR = 1e18  # USD, beyond any position


class Inputs:
    """What the rows measure on, made once when first asked for; files lie under `folder`."""

    def __init__(self, settings: Settings, sizes: Sizes, folder: Path) -> None:
        self.settings, self.sizes, self.folder = settings, sizes, folder

    def arguments(self) -> list[str]:
        """What another process needs to make the same inputs; see `from_arguments`."""
        return [str(self.folder), self.sizes.model_dump_json()]

    @classmethod
    def from_arguments(cls, folder: str, sizes: str) -> Self:
        return cls(read_settings(), Sizes.model_validate_json(sizes), Path(folder))

    def snapshot(self, n_accounts: int) -> Path:
        """Folder of a generated snapshot and its price history."""
        directory = self.folder / f"synth-{n_accounts}"
        if not directory.exists():
            synthesise(directory, n_accounts=n_accounts, seed=self.settings.seed, profile=self.settings.profile)
        return directory

    def book(self, n_accounts: int) -> Book:
        return assemble([read_snapshot(str(self.snapshot(n_accounts) / "snapshot"))])[0]

    def stored_book(self, n_accounts: int) -> tuple[str, str]:
        """A store and the name of a generated book in it, for processes that map it."""
        store = str(self.folder / "books")
        return store, put_book(open_store(store), self.book(n_accounts))

    def night(self, n_accounts: int, store: Path, *overrides: str) -> RunConfig:
        """The default night on a generated snapshot: one variant, no presets, two local workers."""
        inputs = self.snapshot(n_accounts)
        given = (
            f"snapshot={inputs / 'snapshot'}",
            f"history={inputs / 'history.parquet'}",
            f"store={store}",
            "n_workers=2",
            "scenarios.presets=[]",
            "variants.gap_share=[1.0]",
        )
        return load(ROOT / self.settings.night, [*given, *overrides])

    def world(self, book: Book, n_accounts: int) -> tuple[Market, Rules, ScenarioSet]:
        """Market, rules and scenarios of the default night for a book."""
        config = self.night(n_accounts, self.folder / "unused")
        rules, _ = rules_of(config, book)
        market, _ = calibrate(book, rules, None, stable_assets=config.stable_assets)
        return market, rules, scenarios_of(config)

    @cached_property
    def health_scenarios(self) -> ScenarioSet:
        return scenario_set(self.settings.health_axes())

    def unprunable(self, n_accounts: int, *, crossing_share: float) -> tuple[Book, Market, Rules, Prices]:
        """A book whose pools all come near their trigger, with many tiers; and its prices on the health pass's grid."""
        book = self.book(n_accounts)
        book = replace(book, account_is_exempt=np.zeros(book.n_accounts, bool))
        market, rules, _ = self.world(book, n_accounts)
        prices = shocked_prices(book, market, self.health_scenarios)
        book = with_tiers(book, prices, self.settings.tiers, crossing_share)
        return near_their_trigger(book, market, prices), market, rules, prices


def with_tiers(book: Book, prices: Prices, tiers: Tiers, crossing_share: float) -> Book:
    """Give every instrument tiers of one shape, placed so that a share of positions has a floor inside the box.

    With a share of 0 every floor but the first lies beyond any position.
    """
    i = book.position_instrument
    size = np.abs(book.position_quantity * book.instrument_multiplier[i])
    low, high = prices.notional.min(axis=1), prices.notional.max(axis=1)
    notional = size * np.sqrt(low * high)[i]
    by_instrument = [np.sort(notional[i == n]) for n in range(book.n_instruments)]
    steps = tiers.growth ** np.arange(tiers.n - 1)

    def floors(level: float) -> np.ndarray:
        first = np.array([np.quantile(values, level) if len(values) else 1.0 for values in by_instrument])
        return first[:, None] * steps

    def share(level: float) -> float:
        inside = np.zeros(len(size), bool)
        for floor in floors(level).T:
            inside |= (size * low[i] < floor[i]) & (floor[i] <= size * high[i])
        return float(inside.mean())

    at = 1.0, 0.4  # of the largest position hardly any crosses, of the median many do
    for _ in range(25):
        middle = sum(at) / 2
        at = (middle, at[1]) if share(middle) < crossing_share else (at[0], middle)
    further = floors(at[0]) if crossing_share else np.tile(FAR_FLOOR * steps, (book.n_instruments, 1))
    floor = np.concatenate([np.zeros((book.n_instruments, 1)), further], axis=1)
    rate = np.geomspace(tiers.lowest_rate, tiers.highest_rate, tiers.n)
    deduction = np.cumsum(floor * np.diff(rate, prepend=0.0), axis=1)
    return replace(
        book,
        instrument_tier_start=np.arange(book.n_instruments + 1) * tiers.n,
        tier_floor=floor.ravel(),
        tier_maintenance_rate=np.tile(rate, book.n_instruments),
        tier_initial_rate=np.tile(np.minimum(2.0 * rate, 1.0), book.n_instruments),
        tier_deduction=deduction.ravel(),
    )


def near_their_trigger(book: Book, market: Market, prices: Prices) -> Book:
    """Move the largest holding of each pool with positions so that its margin excess is near 0 in some scenario.

    Near, not at: within 1% of its notional, so that rounding decides no pool.
    """
    rng = np.random.default_rng(2)
    columns = rng.permutation(prices.asset.shape[1])[:N_NEAR]
    few = Prices(*(np.ascontiguousarray(a[:, columns]) for a in (prices.payoff, prices.notional, prices.asset)))
    rank = rng.integers(0, max(1, len(columns) // 2), book.n_pools)  # among the worse half of its scenarios
    value = book.slot_quantity * market.index_price[book.slot_asset]
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_slot_start))
    main = np.lexsort((value, pool))[np.searchsorted(pool, np.arange(book.n_pools), side="right") - 1]
    has_positions = np.flatnonzero(np.diff(book.pool_position_start) > 0)
    i = book.position_instrument
    notional = np.abs(book.position_quantity * book.instrument_multiplier[i]) * prices.notional[i, 0]
    owner = np.repeat(np.arange(book.n_pools), np.diff(book.pool_position_start))
    left = rng.uniform(-0.01, 0.01, book.n_pools) * np.bincount(owner, notional, minlength=book.n_pools)
    column = None
    for _ in range(6):  # each step leaves the haircut's share of the miss
        excess = NumpyBaseline(lower(book, market, few), few).excess(0, book.n_pools, few)
        if column is None:
            column = np.argsort(excess, axis=1)[np.arange(book.n_pools), rank]
        miss = (excess[np.arange(book.n_pools), column] - left)[has_positions]
        slot = main[has_positions]
        quantity = book.slot_quantity.copy()
        quantity[slot] -= miss / few.asset[book.slot_asset[slot], column[has_positions]]
        book = replace(book, slot_quantity=quantity)
    return book


# ---- tiles ----------------------------------------------------------------------------------------------------------

_SHIFTED = {  # arrays that grow with accounts and hold indices, and what a tile adds to them
    "account_entity": "entity",
    "entity_account": "account",
    "pool_account": "account",
}
_STARTS = {
    "account_pool_start": "pool",
    "entity_account_start": "account",
    "pool_position_start": "position",
    "pool_slot_start": "slot",
}
_PLAIN = (
    "account_venue", "account_has_entity", "account_segment", "account_weight", "account_is_exempt",
    "account_reported_equity", "account_reported_maintenance_margin", "account_is_lending", "account_is_portfolio",
    "pool_is_isolated", "position_instrument", "position_quantity", "position_entry_price", "position_slot",
    "slot_asset", "slot_quantity", "slot_threshold",
)  # fmt: skip


def tiles(book: Book, name: str, n: int) -> Iterator[np.ndarray]:
    """Yield an array of the book's accounts, n times over, a tile at a time; other arrays once."""
    array = getattr(book, name)
    counts = {
        "account": book.n_accounts,
        "entity": len(book.entity_account_start) - 1,
        "pool": book.n_pools,
        "position": book.n_positions,
        "slot": len(book.slot_asset),
    }
    if name in _STARTS:
        yield array[:1]
    for k in range(n if name in _SHIFTED or name in _STARTS or name in _PLAIN else 1):
        if name in _STARTS:
            yield array[1:] + k * counts[_STARTS[name]]
        elif name in _SHIFTED:
            yield array + np.int32(k * counts[_SHIFTED[name]])
        else:
            yield array


def tiled(book: Book, n: int) -> Book:
    """Return the book with every account n times; labels stay those of one tile."""
    return replace(book, **{name: np.concatenate(list(tiles(book, name, n))) for name in book.arrays()})


def deeper(market: Market, factor: float) -> Market:
    """Return the market with every depth multiplied, so that a larger book moves prices as the smaller one did."""
    depths = ("index_depth", "depth_bid", "depth_ask")
    return replace(market, **{name: getattr(market, name) * factor for name in depths})


def taken(book: Book, n_accounts: int) -> Book:
    """Return the first accounts of a book, each its own entity; labels stay."""
    n_pools = int(book.account_pool_start[n_accounts])
    cut = {
        "account": n_accounts,
        "pool": n_pools,
        "position": int(book.pool_position_start[n_pools]),
        "slot": int(book.pool_slot_start[n_pools]),
    }
    arrays = {name: getattr(book, name)[: cut[name.split("_")[0]]] for name in (*_PLAIN, "pool_account")}
    arrays |= {name: getattr(book, name)[: cut[name.split("_")[0]] + 1] for name in _STARTS if "entity" not in name}
    everyone = np.arange(n_accounts + 1)
    return replace(
        book,
        **arrays,
        account_entity=everyone[:-1].astype(np.int32),
        entity_account=everyone[:-1].astype(np.int32),
        entity_account_start=everyone.astype(np.int64),
    )


def store_tiled(store_uri: str, book: Book, n: int) -> str:
    """Store the book with every account n times, as `put_book` does but without ever holding it; return its name."""
    store = open_store(store_uri)
    prefix = book_prefix(put_book(store, book))
    content = json.loads(store.read(f"{prefix}/book.json"))
    source = Path(store.local_path(f"{prefix}/book.json")).parent
    target = Path(tempfile.mkdtemp(dir=source.parent))
    for path in source.iterdir():
        if path.suffix == ".arrow":
            (target / path.name).hardlink_to(path)
    for name, array in book.arrays().items():
        length = sum(len(tile) for tile in tiles(book, name, n))
        file = target / f"{name}.npy"
        with file.open("wb") as out:
            np.lib.format.write_array_header_1_0(
                out,
                {
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": (length, *array.shape[1:]),
                },
            )
            for tile in tiles(book, name, n):
                out.write(np.ascontiguousarray(tile).data)
        with file.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        content["arrays"][name] = [str(array.dtype), [length, *array.shape[1:]]]
        content["files"][file.name] = {"sha256": digest, "size": file.stat().st_size}
    data = canonical_json(content)
    (target / "book.json").write_bytes(data)
    sha = hashlib.sha256(data).hexdigest()
    target.rename(source.parent / sha)
    return sha
