"""The Polars baseline, tuned as if it were ours, one thread."""

import numpy as np

from .job import Lowered, Prices


class PolarsBaseline:
    """Sorted frames, a column for each scenario of a batch: join prices on, sum by slot, then by pool."""

    def __init__(self, job: Lowered, prices: Prices, *, lanes: int = 32) -> None:
        import polars as pl  # POLARS_MAX_THREADS is read when it is imported

        self.pl, self.prices, self.lanes, self.n_scenarios = pl, prices, lanes, prices.asset.shape[1]
        size = np.abs(job.size)
        position, floor, step = job.ramp
        i32 = np.int32
        self.positions = pl.DataFrame(
            {"slot": job.slot.astype(i32), "instrument": job.instrument.astype(i32), "size": job.size}
        )
        self.margins = pl.DataFrame(
            {"pool": job.pool.astype(i32), "instrument": job.instrument.astype(i32), "slope": job.base_rate * size}
        )
        self.ramps = pl.DataFrame(
            {
                "pool": job.pool[position].astype(i32),
                "instrument": job.instrument[position].astype(i32),
                "size": size[position],
                "floor": floor,
                "step": step,
            }
        )
        n_k = len(job.quantity)
        self.slots = pl.DataFrame(
            {
                "slot": np.arange(n_k, dtype=i32),
                "pool": job.slot_pool.astype(i32),
                "asset": job.slot_asset.astype(i32),
                "constant": job.quantity - np.bincount(job.slot, job.offset, minlength=n_k),
                "ratio": job.venue_ratio,
                "credit": job.credit * job.venue_ratio,
                "owed": job.debt_rate * job.quantity,
                **self._band_columns(job, n_k),
            }
        )
        self.n_bands = sum(name.startswith("floor") for name in self.slots.columns)
        self.pools = pl.DataFrame(
            {
                "pool": np.arange(job.n_pools, dtype=i32),
                "deduction": np.bincount(job.pool, job.base_deduction, minlength=job.n_pools),
            }
        )

    @staticmethod
    def _band_columns(job: Lowered, n_k: int) -> dict[str, np.ndarray]:
        """Further bands side by side: few slots have any, so a step of 0 for the others costs least."""
        slot, floor, step = job.band
        rank = np.arange(len(slot)) - np.searchsorted(slot, slot)
        columns = {}
        for k in range(int(rank.max(initial=-1)) + 1):
            at = rank == k
            columns[f"floor{k}"], columns[f"step{k}"] = np.full(n_k, 1e300), np.zeros(n_k)
            columns[f"floor{k}"][slot[at]], columns[f"step{k}"][slot[at]] = floor[at], step[at]
        return columns

    def run(self) -> np.ndarray:
        """Count failing pools of each scenario."""
        batches = range(0, self.n_scenarios, self.lanes)
        return np.concatenate([self._batch(s, min(s + self.lanes, self.n_scenarios)) for s in batches])

    def _batch(self, start: int, stop: int) -> np.ndarray:
        pl, lanes = self.pl, range(stop - start)
        prices = self.prices.columns(start, stop)

        def frame(key: str, rows: np.ndarray):
            return pl.DataFrame({key: np.arange(len(rows), dtype=np.int32)} | {f"p{s}": rows[:, s] for s in lanes})

        payoff, notional = frame("instrument", prices.payoff).lazy(), frame("instrument", prices.notional).lazy()
        price = [pl.col(f"p{s}") for s in lanes]
        amount = [pl.col(f"g{s}").fill_null(0.0) + pl.col("constant") for s in lanes]
        gains = (
            self.positions.lazy().join(payoff, on="instrument", how="left").group_by("slot")
            .agg([(pl.col("size") * price[s]).sum().alias(f"g{s}") for s in lanes])
        )  # fmt: skip
        base = (
            self.margins.lazy().join(notional, on="instrument", how="left").group_by("pool")
            .agg([(pl.col("slope") * price[s]).sum().alias(f"m{s}") for s in lanes])
        )  # fmt: skip
        over = (
            self.ramps.lazy().join(notional, on="instrument", how="left").group_by("pool")
            .agg(
                [
                    ((pl.col("size") * price[s] - pl.col("floor")).clip(0.0) * pl.col("step")).sum().alias(f"r{s}")
                    for s in lanes
                ]
            )
        )  # fmt: skip
        values = (
            self.slots.lazy().join(gains, on="slot", how="left")
            .join(frame("asset", prices.asset).lazy(), on="asset", how="left")
            .with_columns([(amount[s] * price[s]).alias(f"g{s}") for s in lanes])
            .group_by("pool").agg([self._equity(s).sum().alias(f"e{s}") for s in lanes])
        )  # fmt: skip
        excess = self.pools.lazy()
        for part in (values, base, over):
            excess = excess.join(part, on="pool", how="left")
        counts = excess.select(
            [
                (
                    pl.col(f"e{s}").fill_null(0.0) + pl.col("deduction")
                    < pl.col(f"m{s}").fill_null(0.0) + pl.col(f"r{s}").fill_null(0.0)
                ).sum().alias(f"n{s}")
                for s in lanes
            ]
        ).collect()  # fmt: skip
        return counts.to_numpy()[0].astype(np.int64)

    def _equity(self, s: int):
        pl = self.pl
        value = pl.col(f"g{s}")
        equity = value.clip(0.0) * pl.col("credit") + value.clip(upper_bound=0.0) + pl.col("owed") * pl.col(f"p{s}")
        for k in range(self.n_bands):
            equity = equity + (value * pl.col("ratio") - pl.col(f"floor{k}")).clip(0.0) * pl.col(f"step{k}")
        return equity
