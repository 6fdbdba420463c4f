"""Baselines as a user would write them: pandas merges and groups, scenario by scenario; xarray over dask broadcasts."""

import numpy as np
import pandas as pd

from .job import Lowered, Prices


class PandasBaseline:
    """Tables as they come: positions, tiers, balances, collateral bands; merge, merge_asof, groupby."""

    def __init__(self, job: Lowered, prices: Prices) -> None:
        self.prices, self.n_pools = prices, job.n_pools
        self.positions = pd.DataFrame(
            {
                "pool": job.pool,
                "slot": job.slot,
                "instrument": job.instrument.astype(int),
                "size": job.size,
                "offset": job.offset,
            }
        )
        instrument, tier = np.nonzero(np.isfinite(job.tier_floor))
        self.tiers = pd.DataFrame(
            {
                "instrument": instrument,
                "floor": job.tier_floor[instrument, tier],
                "rate": job.tier_rate[instrument, tier],
                "deduction": job.tier_deduction[instrument, tier],
            }
        ).sort_values("floor")
        self.slots = pd.DataFrame(
            {
                "slot": np.arange(len(job.quantity)),
                "pool": job.slot_pool,
                "asset": job.slot_asset,
                "quantity": job.quantity,
                "ratio": job.venue_ratio,
                "debt_rate": job.debt_rate,
            }
        )
        slot, floor, step = job.band
        everyone = np.arange(len(job.quantity))
        self.bands = pd.DataFrame(
            {
                "slot": np.append(everyone, slot),
                "floor": np.append(np.zeros(len(everyone)), floor),
                "step": np.append(job.credit, step),
            }
        )

    def run(self) -> np.ndarray:
        """Count failing pools of each scenario."""
        return np.array([self._scenario(s) for s in range(self.prices.asset.shape[1])])

    def _scenario(self, s: int) -> int:
        prices = pd.DataFrame(
            {
                "instrument": np.arange(len(self.prices.payoff)),
                "payoff": self.prices.payoff[:, s],
                "unit": self.prices.notional[:, s],
            }
        )
        assets = pd.DataFrame({"asset": np.arange(len(self.prices.asset)), "price": self.prices.asset[:, s]})
        held = self.positions.merge(prices, on="instrument")
        held["pnl"] = held["size"] * held["payoff"] - held["offset"]
        held["notional"] = held["size"].abs() * held["unit"]
        held = pd.merge_asof(
            held.sort_values("notional"), self.tiers, left_on="notional", right_on="floor", by="instrument"
        )
        held["margin"] = held["rate"] * held["notional"] - held["deduction"]
        margin = held.groupby("pool")["margin"].sum()
        settled = held.groupby("slot")["pnl"].sum().rename("pnl")
        slots = self.slots.merge(settled, left_on="slot", right_index=True, how="left").fillna({"pnl": 0.0})
        slots = slots.merge(assets, on="asset")
        slots["value"] = (slots["quantity"] + slots["pnl"]) * slots["price"]
        bands = self.bands.merge(slots, on="slot")
        bands["credit"] = (bands["value"] * bands["ratio"] - bands["floor"]).clip(lower=0.0) * bands["step"]
        slots = slots.merge(bands.groupby("slot")["credit"].sum(), left_on="slot", right_index=True)
        owed = slots["debt_rate"] * slots["quantity"] * slots["price"]
        slots["equity"] = slots["credit"] + slots["value"].clip(upper=0.0) + owed
        equity = slots.groupby("pool")["equity"].sum()
        return int((equity.sub(margin, fill_value=0.0) < 0.0).sum())


class XarrayBaseline:
    """Position x scenario arrays over dask: prices broadcast by instrument, tiers along a dimension, segment sums.

    Sums by group are `np.add.reduceat` over blocks that hold whole pools: xarray's own groupby over so many groups is
    slower by orders of magnitude.
    """

    def __init__(self, job: Lowered, prices: Prices, *, pools: int = 500) -> None:
        self.job, self.prices, self.pools = job, prices, pools

    def run(self) -> np.ndarray:
        """Count failing pools of each scenario, on one thread."""
        import dask

        with dask.config.set(scheduler="synchronous"):
            return self._failing().to_numpy()

    def _failing(self):
        import dask.array as da
        import xarray as xr

        job = self.job
        cuts = np.append(np.arange(0, job.n_pools, self.pools), job.n_pools)

        def rows(values: np.ndarray, of_pool: np.ndarray, dim: str):
            """Put a column on dask in blocks of whole pools."""
            return xr.DataArray(da.from_array(values, (tuple(np.diff(np.searchsorted(of_pool, cuts))),)), dims=dim)

        payoff = xr.DataArray(self.prices.payoff, dims=("instrument", "scenario"))
        unit = xr.DataArray(self.prices.notional, dims=("instrument", "scenario"))
        asset = xr.DataArray(self.prices.asset, dims=("asset", "scenario"))
        size, offset = (rows(a, job.pool, "position") for a in (job.size, job.offset))
        instrument = rows(job.instrument, job.pool, "position")
        pnl = size * _looked_up(payoff, instrument) - offset
        notional = abs(size) * _looked_up(unit, instrument)
        step = np.diff(job.tier_rate, axis=1, prepend=0.0)
        floor = np.where(np.isfinite(job.tier_floor), job.tier_floor, 1e300)
        tiers = [xr.DataArray(a, dims=("instrument", "tier")) for a in (floor, step)]
        floors, steps = (_looked_up(a, instrument) for a in tiers)
        margin = ((notional - floors).clip(min=0.0) * steps).sum("tier")
        amount = rows(job.quantity, job.slot_pool, "slot") + self._summed(pnl, job.slot, job.slot_pool, "slot", cuts)
        asset_price = _looked_up(asset, rows(job.slot_asset, job.slot_pool, "slot"))
        value = amount * asset_price
        held = (value * rows(job.venue_ratio, job.slot_pool, "slot")).clip(min=0.0)
        credit = held * rows(job.credit, job.slot_pool, "slot")
        band_floor, band_step = self._padded_bands()
        for k in range(band_floor.shape[1]):
            start, share = (rows(a[:, k], job.slot_pool, "slot") for a in (band_floor, band_step))
            credit = credit + (held - start).clip(min=0.0) * share
        owed = rows(job.debt_rate * job.quantity, job.slot_pool, "slot") * asset_price
        equity = credit + value.clip(max=0.0) + owed
        everyone = np.arange(job.n_pools)
        excess = self._summed(equity, job.slot_pool, everyone, "pool", cuts) - self._summed(
            margin, job.pool, everyone, "pool", cuts
        )
        return (excess < 0.0).sum("pool")

    def _padded_bands(self) -> tuple[np.ndarray, np.ndarray]:
        slot, floor, step = self.job.band
        rank = np.arange(len(slot)) - np.searchsorted(slot, slot)
        shape = (len(self.job.quantity), int(rank.max(initial=-1)) + 1)
        floors, steps = np.full(shape, 1e300), np.zeros(shape)
        floors[slot, rank], steps[slot, rank] = floor, step
        return floors, steps

    @staticmethod
    def _summed(values, group: np.ndarray, of_pool: np.ndarray, dim: str, cuts: np.ndarray):
        """Sum rows by group; `of_pool` is the pool of every group, so that blocks in and out hold the same pools."""
        import dask.array as da
        import xarray as xr

        edges = np.searchsorted(of_pool, cuts)
        blocks = values.transpose(..., "scenario").data.to_delayed().ravel()
        n_scenarios = values.sizes["scenario"]

        def total(block: np.ndarray, low: int, high: int) -> np.ndarray:
            out = np.zeros((high - low, n_scenarios))
            here = group[(group >= low) & (group < high)]
            if len(here):
                found, at = np.unique(here, return_index=True)
                out[found - low] = np.add.reduceat(block, at, axis=0)
            return out

        import dask

        parts = [
            da.from_delayed(dask.delayed(total)(block, low, high), (high - low, n_scenarios), float)
            for block, low, high in zip(blocks, edges[:-1], edges[1:], strict=True)
        ]
        return xr.DataArray(da.concatenate(parts), dims=(dim, "scenario"))


def _looked_up(table, index):
    """Rows of a small table by a dask column of indices."""
    import dask.array as da
    import xarray as xr

    rows = da.map_blocks(
        lambda ix, values: values[ix],
        index.data,
        values=table.to_numpy(),
        new_axis=1,
        chunks=(index.data.chunks[0], (table.shape[1],)),
        dtype=float,
    )
    return xr.DataArray(rows, dims=(index.dims[0], table.dims[1]))
