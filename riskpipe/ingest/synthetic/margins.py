"""Equity and maintenance margin at the snapshot's own prices, and the top-up that keeps every pool above its margin.

The same definitions as the liquidation model's, written for whole columns at one set of prices: equity is the haircut
value of each asset's balance plus the PnL settled in it, maintenance margin is tiered, borrowed assets add their rate.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import FloatArray, IntArray
from riskpipe.ingest.synthetic.collateral import Balances
from riskpipe.ingest.synthetic.contracts import Contracts
from riskpipe.ingest.synthetic.description import MarketDescription
from riskpipe.ingest.synthetic.sums import sum_by
from riskpipe.ingest.synthetic.trading import Positions


@dataclass(frozen=True)
class CollateralRules:
    """A venue's bands and borrow rates by asset: (floors, haircuts) or nothing where an asset earns no credit."""

    bands: dict[tuple[int, int], tuple[FloatArray, FloatArray]]
    borrow_rate: FloatArray  # [v, c]


@dataclass(frozen=True)
class Health:
    """USD equity and maintenance margin of cross pools [accounts] and isolated positions [positions, NaN if cross]."""

    cross_equity: FloatArray
    cross_maintenance: FloatArray
    isolated_equity: FloatArray
    isolated_maintenance: FloatArray

    def by_account(self, account: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return (equity, maintenance margin) of all pools of each account; `account` owns the positions."""
        n_accounts = len(self.cross_equity)
        return (
            self.cross_equity + sum_by(account, np.nan_to_num(self.isolated_equity), n_accounts),
            self.cross_maintenance + sum_by(account, np.nan_to_num(self.isolated_maintenance), n_accounts),
        )


def collateral_rules(market: MarketDescription, listed: Contracts) -> CollateralRules:
    """Return the market's collateral rows by (venue, asset) index."""
    rows: dict[tuple[int, int], list[tuple[float, float]]] = {}
    borrow_rate = np.zeros((len(market.venues), len(listed.assets)))
    for band in market.collateral:
        if band.venue in market.venues and band.asset in listed.assets:
            key = (market.venues.index(band.venue), listed.assets.index(band.asset))
            rows.setdefault(key, []).append((band.floor_usd, band.haircut))
            borrow_rate[key] = band.borrow_maintenance_rate
    bands = {key: (np.array(pairs).T[0], np.array(pairs).T[1]) for key, pairs in rows.items()}
    return CollateralRules(bands, borrow_rate)


def credit(
    venue: IntArray, asset: IntArray, quantity: FloatArray, rules: CollateralRules, listed: Contracts
) -> FloatArray:
    """Return the USD margin credit of quantities [n] of assets [n] at venues [n].

    Positive quantities are haircut band by band at the venue's price, negative ones count in full at the index price.
    """
    value = quantity * listed.index_price[asset]
    held = np.maximum(quantity, 0.0) * listed.venue_price[venue, asset]
    total = np.where(quantity < 0.0, value, 0.0)
    for (at_venue, at_asset), (floors, haircuts) in rules.bands.items():
        rows = np.flatnonzero((venue == at_venue) & (asset == at_asset) & (quantity > 0.0))
        ceilings = np.append(floors[1:], np.inf)
        for floor, ceiling, haircut in zip(floors, ceilings, haircuts, strict=True):
            total[rows] += (1.0 - haircut) * np.clip(held[rows] - floor, 0.0, ceiling - floor)
    return total


def health(
    venue: IntArray,
    positions: Positions,
    entry_price: FloatArray,
    isolated_margin: FloatArray,
    balances: Balances,
    *,
    rules: CollateralRules,
    listed: Contracts,
) -> Health:
    """Return equity and maintenance margin of every pool.

    venue [n accounts]; isolated_margin [n positions] in settlement units, NaN for cross positions.
    """
    n_accounts, n_assets = len(venue), len(listed.assets)
    settlement = listed.settlement[positions.instrument]
    pnl = listed.pnl(positions.instrument, positions.quantity(listed), entry_price)
    margin = listed.maintenance_margin(positions.instrument, positions.notional(listed))
    cross = ~positions.is_isolated
    owner = positions.account
    # One slot for each asset an account holds, owes or settles in.
    slot_key = np.concatenate([
        balances.account.astype(np.int64) * n_assets + balances.asset,
        owner[cross].astype(np.int64) * n_assets + settlement[cross],
    ])  # fmt: skip
    keys, slot = np.unique(slot_key, return_inverse=True)
    quantity = sum_by(slot, np.concatenate([balances.quantity, pnl[cross]]), len(keys))
    slot_account, slot_asset = (keys // n_assets).astype(np.int32), (keys % n_assets).astype(np.int32)
    cross_equity = sum_by(slot_account, credit(venue[slot_account], slot_asset, quantity, rules, listed), n_accounts)
    balance = sum_by(slot[: len(balances)], balances.quantity, len(keys))
    debt = np.maximum(-balance, 0.0) * listed.index_price[slot_asset]
    borrow = rules.borrow_rate[venue[slot_account], slot_asset] * debt
    cross_maintenance = sum_by(slot_account, borrow, n_accounts) + sum_by(owner[cross], margin[cross], n_accounts)
    apart = positions.is_isolated
    isolated_equity = np.full(len(positions), np.nan)
    isolated_equity[apart] = credit(
        venue[owner[apart]], settlement[apart], isolated_margin[apart] + pnl[apart], rules, listed
    )
    return Health(cross_equity, cross_maintenance, isolated_equity, np.where(apart, margin, np.nan))


def missing_usd(equity: FloatArray, maintenance: FloatArray) -> FloatArray:
    """Return the USD that lifts each pool to 3% above its maintenance margin; 0 for those at least 1% above it."""
    needs = (maintenance > 0.0) & (equity < 1.01 * maintenance)
    return np.where(needs, 1.03 * maintenance - equity + 0.01, 0.0)
