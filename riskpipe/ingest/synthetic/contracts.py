"""Listed instruments as arrays: what one contract is worth, what margin it needs, how small it can be traded."""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.ingest.synthetic.description import MarketDescription

_LOT_USD = 0.5  # small lots, so that the smallest accounts keep the leverage drawn for them


@dataclass(frozen=True)
class Contracts:
    """The market's instruments and prices as arrays (i instruments, c assets, v venues)."""

    venue: IntArray  # [i]
    underlying: IntArray  # [i] asset
    settlement: IntArray  # [i] asset
    multiplier: FloatArray  # [i]
    is_inverse: BoolArray  # [i]
    is_perpetual: BoolArray  # [i]
    mark_price: FloatArray  # [i] quote units
    contract_usd: FloatArray  # [i] USD notional of one contract at the mark
    lots_per_contract: FloatArray  # [i] a power of ten
    share: FloatArray  # [i] of all open interest, adding up to 1
    index_price: FloatArray  # [c] USD; NaN where only a venue's own price is known
    venue_price: FloatArray  # [v, c] USD, what a venue values collateral at
    assets: tuple[str, ...]
    tier_start: OffsetArray  # [i + 1]
    tier_floor: FloatArray
    tier_initial_rate: FloatArray
    tier_maintenance_rate: FloatArray
    tier_deduction: FloatArray

    def initial_rate(self, instrument: IntArray, notional: FloatArray) -> FloatArray:
        """Return the initial margin rate of positions [q] of USD notional [q], by the tier the notional falls in."""
        rate = np.empty(len(notional))
        for at, rows in self._positions_by_instrument(instrument):
            tiers = slice(self.tier_start[at], self.tier_start[at + 1])
            tier = np.searchsorted(self.tier_floor[tiers], notional[rows], side="right") - 1
            rate[rows] = self.tier_initial_rate[tiers][tier]
        return rate

    def maintenance_margin(self, instrument: IntArray, notional: FloatArray) -> FloatArray:
        """Return the USD maintenance margin of positions [q] of USD notional [q]: rate x notional - deduction."""
        margin = np.empty(len(notional))
        for at, rows in self._positions_by_instrument(instrument):
            tiers = slice(self.tier_start[at], self.tier_start[at + 1])
            tier = np.searchsorted(self.tier_floor[tiers], notional[rows], side="right") - 1
            margin[rows] = self.tier_maintenance_rate[tiers][tier] * notional[rows] - self.tier_deduction[tiers][tier]
        return margin

    def pnl(self, instrument: IntArray, quantity: FloatArray, entry_price: FloatArray) -> FloatArray:
        """Return the unrealised PnL of positions [q] at the mark, in units of their settlement asset."""
        mark, multiplier = self.mark_price[instrument], self.multiplier[instrument]
        return (
            quantity
            * multiplier
            * np.where(self.is_inverse[instrument], 1.0 / entry_price - 1.0 / mark, mark - entry_price)
        )

    def _positions_by_instrument(self, instrument: IntArray) -> list[tuple[int, OffsetArray]]:
        order = np.argsort(instrument, kind="stable")
        bounds = np.searchsorted(instrument[order], np.arange(len(self.venue) + 1))
        return [
            (at, order[bounds[at] : bounds[at + 1]]) for at in range(len(self.venue)) if bounds[at] < bounds[at + 1]
        ]


def contracts(market: MarketDescription) -> Contracts:
    """Return the market's instruments as arrays, in its own order."""
    listed = market.instruments
    numeraire = ("USD",) if "USD" not in market.assets else ()
    assets = (*market.assets, *numeraire)
    index_price = np.full(len(assets), np.nan)
    index_price[len(market.assets) :] = 1.0
    for price in market.prices:
        if price.venue is None:
            index_price[assets.index(price.asset)] = price.index_price
    venue_price = np.tile(index_price, (len(market.venues), 1))
    for price in market.prices:
        if price.venue in market.venues:
            venue_price[market.venues.index(price.venue), assets.index(price.asset)] = price.index_price
    multiplier = np.array([instrument.multiplier for instrument in listed])
    is_inverse = np.array([instrument.is_inverse for instrument in listed])
    mark = np.array([instrument.mark_price for instrument in listed])
    quote_usd = index_price[[assets.index(instrument.quote_asset) for instrument in listed]]
    contract_usd = multiplier * np.where(is_inverse, 1.0, mark) * quote_usd
    share = np.array([instrument.open_interest_share for instrument in listed])
    tiers = [
        sorted((tier for tier in market.tiers if tier.tier_schedule == instrument.tier_schedule), key=lambda t: t.floor)
        for instrument in listed
    ]
    return Contracts(
        venue=np.array([market.venues.index(instrument.venue) for instrument in listed], dtype=np.int32),
        underlying=np.array([assets.index(instrument.underlying) for instrument in listed], dtype=np.int32),
        settlement=np.array([assets.index(instrument.settlement_asset) for instrument in listed], dtype=np.int32),
        multiplier=multiplier,
        is_inverse=is_inverse,
        is_perpetual=np.array([instrument.kind == "perpetual" for instrument in listed]),
        mark_price=mark,
        contract_usd=contract_usd,
        lots_per_contract=10.0 ** np.maximum(0.0, np.ceil(np.log10(contract_usd / _LOT_USD))),
        share=share / share.sum(),
        index_price=index_price,
        venue_price=venue_price,
        assets=assets,
        tier_start=np.cumsum([0, *(len(rows) for rows in tiers)]),
        tier_floor=np.array([tier.floor for rows in tiers for tier in rows]),
        tier_initial_rate=np.array([tier.initial_rate for rows in tiers for tier in rows]),
        tier_maintenance_rate=np.array([tier.maintenance_rate for rows in tiers for tier in rows]),
        tier_deduction=np.concatenate([_deductions([(t.floor, t.maintenance_rate) for t in rows]) for rows in tiers]),
    )


def _deductions(rows: list[tuple[float, float]]) -> FloatArray:
    """Recompute the deductions of (floor, maintenance rate) tiers as every reader does."""
    floors, rates = np.array(rows).T
    return np.concatenate([[0.0], np.cumsum(floors[1:] * np.diff(rates))])
