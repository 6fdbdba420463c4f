"""Baselines tuned as if they were ours: vectorised numpy and scipy.sparse (Polars has a file of its own).

All use what the kernel uses: a line per position where no tier starts inside the box, ramps where one does.
"""

import itertools

import numpy as np

from .job import Lowered, Prices


def _starts(group: np.ndarray, n: int) -> np.ndarray:
    return np.searchsorted(group, np.arange(n + 1))


class NumpyBaseline:
    """Chunks of pools and scenarios small enough for the second-level cache; `np.add.reduceat` over sorted rows."""

    def __init__(self, job: Lowered, prices: Prices, *, pools: int = 250, lanes: int = 128) -> None:
        self.job, self.lanes, self.n_scenarios = job, lanes, prices.asset.shape[1]
        self.prices = [prices.columns(s, min(s + lanes, self.n_scenarios)) for s in range(0, self.n_scenarios, lanes)]
        n, p = len(job.quantity), job.n_pools
        edges = np.append(np.arange(0, p, pools), p)
        self.cuts = [(int(low), int(high)) for low, high in itertools.pairwise(edges) if high > low]
        self.position_start = _starts(job.pool, p)
        self.slot_start = _starts(job.slot_pool, p)
        self.ramp_start = _starts(job.ramp[0], len(job.size))
        self.band_start = _starts(job.band[0], n)

    def run(self) -> np.ndarray:
        """Count failing pools of each scenario."""
        counts = np.zeros(self.n_scenarios, np.int64)
        for n, prices in enumerate(self.prices):
            first = n * self.lanes
            for low, high in self.cuts:
                failing = np.count_nonzero(self.excess(low, high, prices) < 0.0, axis=0)
                counts[first : first + len(failing)] += failing
        return counts

    def excess(self, low: int, high: int, prices: Prices) -> np.ndarray:
        """Margin excess of pools low to high at every price column."""
        job = self.job
        k0, k1 = self.slot_start[low], self.slot_start[high]
        q0, q1 = self.position_start[low], self.position_start[high]
        lanes = prices.asset.shape[1]
        excess = np.zeros((high - low, lanes))
        amount = np.repeat(job.quantity[k0:k1, None], lanes, axis=1)
        instrument = job.instrument[q0:q1]
        if q1 > q0:
            slots, at = np.unique(job.slot[q0:q1], return_index=True)
            gain = np.take(prices.payoff, instrument, axis=0)
            gain *= job.size[q0:q1, None]
            gain -= job.offset[q0:q1, None]
            amount[slots - k0] += np.add.reduceat(gain, at, axis=0)
            size = np.abs(job.size[q0:q1])
            margin = np.take(prices.notional, instrument, axis=0, out=gain)
            margin *= (job.base_rate[q0:q1] * size)[:, None]
            margin -= job.base_deduction[q0:q1, None]
            r0, r1 = self.ramp_start[q0], self.ramp_start[q1]
            if r1 > r0:
                position, floor, step = (part[r0:r1] for part in job.ramp)
                over = np.take(prices.notional, job.instrument[position], axis=0)
                over *= np.abs(job.size[position])[:, None]
                over -= floor[:, None]
                np.maximum(over, 0.0, out=over)
                over *= step[:, None]
                crossing, at = np.unique(position, return_index=True)
                margin[crossing - q0] += np.add.reduceat(over, at, axis=0)
            pools, at = np.unique(job.pool[q0:q1], return_index=True)
            excess[pools - low] -= np.add.reduceat(margin, at, axis=0)
        if k1 > k0:
            equity = self._equity(k0, k1, amount, prices)
            pools, at = np.unique(job.slot_pool[k0:k1], return_index=True)
            excess[pools - low] += np.add.reduceat(equity, at, axis=0)
        return excess

    def _equity(self, k0: int, k1: int, amount: np.ndarray, prices: Prices) -> np.ndarray:
        job = self.job
        price = np.take(prices.asset, job.slot_asset[k0:k1], axis=0)
        value = np.multiply(amount, price, out=amount)
        equity = np.minimum(value, 0.0)
        held = np.maximum(value, 0.0, out=value)
        held *= job.venue_ratio[k0:k1, None]
        b0, b1 = self.band_start[k0], self.band_start[k1]
        if b1 > b0:
            slot, floor, step = (part[b0:b1] for part in job.band)
            np.add.at(equity, slot - k0, np.maximum(held[slot - k0] - floor[:, None], 0.0) * step[:, None])
        held *= job.credit[k0:k1, None]
        equity += held
        owing = np.flatnonzero(job.debt_rate[k0:k1])
        equity[owing] += price[owing] * (job.debt_rate * job.quantity)[k0:k1][owing, None]
        return equity


class ScipyBaseline:
    """Sparse matrices times dense prices, in chunks of pools small enough for the second-level cache.

    Whatever is linear over the whole box is one row of coefficients a pool: margin lines, debts, and every slot that
    keeps its sign or has no haircut. Only the other slots and the ramps are evaluated one by one.
    """

    def __init__(self, job: Lowered, prices: Prices, *, pools: int = 150) -> None:
        self.job, self.n_scenarios = job, prices.asset.shape[1]
        self.n_i = len(prices.payoff)
        settlement = np.zeros(self.n_i, int)
        settlement[job.instrument] = job.slot_asset[job.slot]
        # one column each: USD notional, USD payoff, an asset's price, one
        self.prices = np.vstack(
            [
                prices.notional,
                prices.payoff * prices.asset[settlement],
                prices.asset,
                np.ones((1, self.n_scenarios)),
            ]
        )
        self.n_columns = len(self.prices)
        is_alike = np.all(np.isclose(self.prices[: self.n_i], self.prices[self.n_i : 2 * self.n_i], rtol=1e-15), axis=1)
        self.gain_column = np.where(is_alike, 0, self.n_i) + np.arange(self.n_i)  # linear contracts need one column
        self.asset_column = 2 * self.n_i
        self.ramp_pool = job.pool[job.ramp[0]]
        self.band_pool = job.slot_pool[job.band[0]]
        value, credit = self._values(), job.credit * job.venue_ratio
        lowest, highest = self._extremes(value)
        share = np.where(highest <= 0.0, 1.0, credit)
        is_linear = ((lowest >= 0.0) | (highest <= 0.0) | (credit == 1.0)) & ~np.isin(
            np.arange(len(credit)), job.band[0]
        )
        self.bent = np.flatnonzero(~is_linear)
        self.bent_share = float(np.mean(~is_linear))
        linear = self._linear(value, np.where(is_linear, share, 0.0))
        bent = value[self.bent]
        pool_of_bent = job.slot_pool[self.bent]
        self.chunks = [
            self._chunk(low, min(low + pools, job.n_pools), linear, bent, pool_of_bent, credit)
            for low in range(0, job.n_pools, pools)
        ]

    def _sparse(self, value, row, column, shape):
        from scipy import sparse

        return sparse.csr_array((value, (row, column)), shape=shape)

    def _values(self):
        """USD value of every slot as coefficients."""
        job, n_k = self.job, len(self.job.quantity)
        constant = job.quantity - np.bincount(job.slot, job.offset, minlength=n_k)
        return self._sparse(
            np.append(job.size, constant),
            np.append(job.slot, np.arange(n_k)),
            np.append(self.gain_column[job.instrument], self.asset_column + job.slot_asset),
            (n_k, self.n_columns),
        )

    def _extremes(self, value):
        low, high = np.zeros(value.shape[0]), np.zeros(value.shape[0])
        for start in range(0, value.shape[0], 5000):
            dense = value[start : start + 5000] @ self.prices
            low[start : start + 5000], high[start : start + 5000] = dense.min(axis=1), dense.max(axis=1)
        return low, high

    def _linear(self, value, share):
        """Coefficients of every pool's margin excess but for bent slots and ramps."""
        job, n_k = self.job, len(self.job.quantity)
        owing = np.flatnonzero(job.debt_rate)
        to_pool = self._sparse(share, job.slot_pool, np.arange(n_k), (job.n_pools, n_k))
        rest = self._sparse(
            np.concatenate(
                [-job.base_rate * np.abs(job.size), job.base_deduction, (job.debt_rate * job.quantity)[owing]]
            ),
            np.concatenate([job.pool, job.pool, job.slot_pool[owing]]),
            np.concatenate(
                [job.instrument, np.full(len(job.size), self.n_columns - 1), self.asset_column + job.slot_asset[owing]]
            ),
            (job.n_pools, self.n_columns),
        )
        total = to_pool @ value + rest
        total.eliminate_zeros()
        return total.tocsr()

    def _chunk(self, low, high, linear, bent, pool_of_bent, credit):
        job = self.job
        k = slice(*np.searchsorted(pool_of_bent, [low, high]))
        r = slice(*np.searchsorted(self.ramp_pool, [low, high]))
        b = slice(*np.searchsorted(self.band_pool, [low, high]))
        position, slot = job.ramp[0][r], job.band[0][b]
        n = high - low

        def to_pool(weight, pool):
            return self._sparse(weight, pool - low, np.arange(len(pool)), (n, len(pool)))

        bent_share = credit[self.bent[k], None]
        bent_part = (linear[low:high], bent[k], to_pool(np.ones(len(bent_share)), pool_of_bent[k]), bent_share)
        size = np.abs(job.size[position])[:, None]
        ramps = (to_pool(-job.ramp[2][r], self.ramp_pool[r]), job.instrument[position], size, job.ramp[1][r, None])
        place, ratio = np.searchsorted(self.bent[k], slot), job.venue_ratio[slot, None]
        return bent_part, ramps, (to_pool(job.band[2][b], self.band_pool[b]), place, ratio, job.band[1][b, None])

    def run(self) -> np.ndarray:
        """Count failing pools of each scenario."""
        counts = np.zeros(self.n_scenarios, np.int64)
        for (linear, bent, bent_to_pool, credit), ramps, bands in self.chunks:
            excess = linear @ self.prices
            if bent.shape[0]:
                value = bent @ self.prices
                to_pool, slot, ratio, floor = bands
                if len(slot):
                    excess += to_pool @ np.maximum(value[slot] * ratio - floor, 0.0)
                credited = value * credit
                if credit.max() <= 1.0:  # then what counts is the lesser of the two, whatever the sign
                    np.minimum(credited, value, out=credited)
                else:
                    np.copyto(credited, value, where=value < 0.0)
                excess += bent_to_pool @ credited
            to_pool, instrument, size, floor = ramps
            if len(instrument):
                over = np.take(self.prices, instrument, axis=0)
                over *= size
                over -= floor
                np.maximum(over, 0.0, out=over)
                excess += to_pool @ over
            counts += np.count_nonzero(excess < 0.0, axis=0)
        return counts
