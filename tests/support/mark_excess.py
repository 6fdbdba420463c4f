"""What a pool has over what it must hold as one contract's mark moves, in the words of the margin models."""

from dataclasses import replace

import numpy as np
from support.worlds import shocks

from riskpipe.liquidation.reference import Reference
from riskpipe.margin.model import Holding
from riskpipe.margin.tiered import collateral_credit


class Snapshot:
    """A case at its own prices, in the words of the margin models."""

    def __init__(self, case):
        self.book = case.book
        self.model = Reference(case.book, case.market, case.rules, shocks(0.0))
        self.prices = self.model.shocked(0)
        self.names = case.book.names("instrument")
        self.rules = case.rules.contracts

    def main(self, account):
        """Pool and contract of the largest position and whether it is long; None where there is none."""
        largest, found = 0.0, None
        for p in range(*self.book.account_pool_start[[account, account + 1]]):
            for q in self.model.positions(p):
                i = int(self.book.position_instrument[q])
                notional = self.model.position_notional(q, self.prices.mark[i], self.prices.asset)
                if notional > largest:
                    largest, found = notional, (p, i, bool(self.book.position_quantity[q] > 0.0))
        return found

    def holding(self, q, mark, asset):
        book, i = self.book, int(self.book.position_instrument[q])
        return Holding(
            size=float(book.position_quantity[q] * book.instrument_multiplier[i]),
            is_inverse=bool(book.instrument_is_inverse[i]),
            entry_price=float(book.position_entry_price[q]),
            mark_price=mark,
            quote_price=self.prices.asset[book.instrument_quote[i]],
            settlement_price=asset[book.instrument_settlement[i]],
        )

    def required(self, q, holding, asset):
        """Maintenance and initial margin; at entry what is quoted in the coin that moves is worth what the coin is."""
        i = int(self.book.position_instrument[q])
        model = self.model.margin_models[i]
        if model.valued_at == "mark" or holding.is_inverse:
            return np.array([model.maintenance_margin(holding), model.initial_margin(holding)])
        moved = replace(holding, quote_price=asset[self.book.instrument_quote[i]])
        bare = replace(model, fee_rate=0.0)
        fee = model.maintenance_margin(holding) - bare.maintenance_margin(holding)
        return np.array([bare.maintenance_margin(moved), bare.initial_margin(moved)]) + fee

    def excess(self, p, i, mark):
        """What pool p has over maintenance, over initial margin and over nothing with contract i at a mark; a scale."""
        book, model, prices = self.book, self.model, self.prices
        venue = int(book.account_venue[book.pool_account[p]])
        asset = list(prices.asset)
        if book.instrument_is_inverse[i]:
            asset[book.instrument_settlement[i]] *= mark / prices.mark[i]
        marks, margin, scale = {}, np.zeros(2), 0.0
        for q in model.positions(p):
            held = int(book.position_instrument[q])
            marks[q] = mark if held == i else prices.mark[held]
            holding = self.holding(q, marks[q], asset)
            margin += self.required(q, holding, asset)
            inverse = 1.0 / marks[q] + 1.0 / holding.entry_price
            reach = inverse if holding.is_inverse else marks[q] + holding.entry_price
            scale += abs(holding.size) * reach * holding.settlement_price
        counted = true = 0.0
        for k, amount in model.settled(p, marks).items():
            c, balance = int(book.slot_asset[k]), float(book.slot_quantity[k])
            margin += float(book.borrow_maintenance_rate[venue, c]) * max(0.0, -balance) * asset[c]
            bands = slice(*book.collateral_band_start[[venue * book.n_assets + c, venue * book.n_assets + c + 1]])
            value = amount * (model.own_venue_price(p, c, asset) if amount > 0.0 else asset[c])
            true += value
            counted += collateral_credit(value, book.band_floor[bands].tolist(), book.band_haircut[bands].tolist())
            scale += abs(balance) * asset[c]
        return np.array([counted - margin[0], counted - margin[1], true]), scale + margin[1]
