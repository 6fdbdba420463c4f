"""The story of one account in one scenario: its pools at every state of the market that mattered, by the specification.

The path says how prices moved and when pools were closed; all else follows from the account's own pools.
"""

from collections.abc import Mapping

import numpy as np

from riskpipe.domain.book import FloatArray
from riskpipe.domain.paths import CascadePath
from riskpipe.domain.rules import Rules
from riskpipe.domain.story import (
    STAGES,
    AccountStory,
    FundStory,
    HealthAt,
    LoanStep,
    LoanStory,
    PoolStory,
    PositionStory,
    PriceStep,
    WhyOpen,
)
from riskpipe.liquidation.alone import Alone
from riskpipe.liquidation.reference import Reference
from riskpipe.liquidation.reference_loans import LoanState, loan_at, loan_shortfall
from riskpipe.liquidation.state import CloseOut, Impact, Prices
from riskpipe.liquidation.tipping import AtEnd, tippings

ROUNDING = 1e-9  # of gross notional: nearer than this to its trigger, two ways to add up may disagree


class Storyteller:
    """One account's pools at the prices of one scenario's path."""

    def __init__(self, own: Alone, rules: Rules, path: CascadePath) -> None:
        self.own, self.path, self.book = own, path, own.book
        self.model = Reference(own.book, own.market, rules, own.scenario)
        self.variant = own.scenario.variants[int(own.scenario.variant[0])]
        self.haircut = float(own.scenario.haircut_shock[0])
        self.weight = float(own.book.account_weight[0])
        self.volatility = self.model.shocked(0).volatility
        self.shocked, self.final = self.prices(0), self.prices(path.n_rounds)
        self.close_outs: dict[int, CloseOut] = {}
        at = own.instrument
        self.impact = Impact(
            path.own[-1][at].tolist(), path.own_average[-1][at].tolist(), path.index[-1].tolist(),
            path.index_average[-1].tolist(), 0,
        )  # fmt: skip

    def prices(self, n: int) -> Prices:
        """Return the market after n rounds, the account's contracts alone."""
        path, at = self.path, self.own.instrument
        return Prices(path.asset[n].tolist(), path.mark[n][at].tolist(), path.forward[n][at].tolist(), self.volatility)

    def health(self, p: int, prices: Prices, haircut: float) -> HealthAt:
        """Return a pool's health as plain numbers."""
        found = self.model.health(p, prices, haircut)
        return HealthAt(found.equity, found.maintenance_margin, found.initial_margin)

    def pool(self, p: int) -> PoolStory:
        """Tell what becomes of pool p of the account."""
        closed_in = self.path.closed_in.get(self.own.pool[p], 0)
        before = self.health(p, self.model.shocked(0, 0.0), 0.0)
        shocked = self.health(p, self.shocked, self.haircut)
        tested = self.health(p, self.prices(closed_in - 1) if closed_in else self.final, self.haircut)
        if self.book.account_is_lending[0]:
            return self._loan(p, before, shocked, tested, closed_in)
        out = self.model.close_out(p, 0, self.impact, self.final, self.variant) if closed_in else None
        if out is not None:
            self.close_outs[p] = out
        gap = tested.initial_margin - tested.equity
        return PoolStory(
            name=self._name(p),
            kind="portfolio" if self.model.is_portfolio(p) else "margin",
            before=before,
            shocked=shocked,
            tested=tested,
            closed_in=closed_in,
            why_open="" if closed_in else self._why_open(p, tested),
            is_called=not closed_in and tested.margin_excess >= 0.0 and gap > 0.0,
            ray_point=np.nan if out is None else out.ray_point,
            true_equity=np.nan if out is None else out.true_equity,
            fee=0.0 if out is None else min(out.fee, max(0.0, out.true_equity)),
            shortfall=0.0 if out is None else out.shortfall,
            positions=tuple(self._position(q, out) for q in self.model.positions(p)),
        )

    def _name(self, p: int) -> str:
        if self.book.account_is_lending[0]:
            return "loan"
        if not self.book.pool_is_isolated[p]:
            return "cross"
        names = self.book.names("instrument")
        held = [names[self.book.position_instrument[q]] for q in self.model.positions(p)]
        return f"isolated {', '.join(held)}" if held else "isolated"

    def _why_open(self, p: int, at_end: HealthAt) -> WhyOpen:
        if at_end.margin_excess >= -ROUNDING * self.model.gross_notional(p, self.shocked):
            return "healthy"
        if self.book.account_is_exempt[0]:
            return "exempt"
        is_loan = bool(self.book.account_is_lending[0])
        if not is_loan and not self.model.can_be_liquidated(p):
            return "nothing to close"
        return "cut off" if self.path.is_cut_off or not is_loan else "not worth while"

    def _position(self, q: int, out: CloseOut | None) -> PositionStory:
        book, model, final = self.book, self.model, self.final
        i = int(book.position_instrument[q])
        at, is_long = int(self.own.instrument[i]), bool(book.position_quantity[q] > 0.0)
        unit = book.instrument_settlement[i] if model.is_option[i] else book.instrument_quote[i]
        settled_at = final.asset[int(book.instrument_settlement[i])]
        end, start = final.mark[i], float(self.own.market.mark_price[i])
        leaves_at = end if out is None else out.exits[q]
        profit = model.position_pnl(q, end) * settled_at
        removed = 0.0
        if out is None and self.path.removed is not None and profit > 0.0:
            removed = float(self.path.removed[at, 0 if is_long else 1])
        notional = model.position_notional(q, self.shocked.mark[i], self.shocked.asset)
        return PositionStory(
            instrument=book.names("instrument")[i],
            quantity=float(book.position_quantity[q]),
            price_unit=book.names("asset")[int(unit)],
            entry_price=float(book.position_entry_price[q]),
            mark_before=start,
            mark_shocked=self.shocked.mark[i],
            mark_end=end,
            exit_price=np.nan if out is None else leaves_at,
            flow=0.0 if out is None else self.weight * notional * (-1.0 if is_long else 1.0),
            change=(model.position_pnl(q, leaves_at) - model.position_pnl(q, start)) * settled_at,
            removed=removed,
            removed_notional=self.weight * removed * model.position_notional(q, end, final.asset),
            removed_profit=self.weight * removed * profit,
        )

    def _loan(self, p: int, before: HealthAt, shocked: HealthAt, tested: HealthAt, closed_in: int) -> PoolStory:
        model, whole = self.model, np.ones((self.path.n_rounds + 1, 2))
        left: FloatArray = self.path.loan_left.get(self.own.pool[p], whole)
        states = ((model.shocked(0, 0.0), 0.0, (1.0, 1.0)), (self.shocked, self.haircut, (1.0, 1.0)),
                  (self.final, self.haircut, (float(left[-1, 0]), float(left[-1, 1]))))  # fmt: skip
        loans = [(loan_at(model, p, prices, haircut), shares) for prices, haircut, shares in states]
        collateral = [loan.collateral * shares[1] for loan, shares in loans]
        debt = [loan.debt * shares[0] for loan, shares in loans]
        factor = [
            loan.weighted * shares[1] / owed if owed > 0.0 else np.inf
            for (loan, shares), owed in zip(loans, debt, strict=True)
        ]
        steps = []
        for n in range(1, self.path.n_rounds + 1):
            repaid, seized = left[n - 1] - left[n]
            if repaid > 0.0 or seized > 0.0:
                loan = loan_at(model, p, self.prices(n - 1), 0.0)
                steps.append(LoanStep(n, float(loan.debt * repaid), float(loan.collateral * seized)))
        state = LoanState({p: float(left[-1, 0])}, {p: float(left[-1, 1])})
        return PoolStory(
            name="loan",
            kind="loan",
            before=before,
            shocked=shocked,
            tested=tested,
            closed_in=closed_in,
            why_open="" if closed_in else self._why_open(p, tested),
            is_called=False,
            ray_point=1.0 if closed_in else np.nan,
            true_equity=collateral[2] - debt[2],
            fee=0.0,
            shortfall=loan_shortfall(model, p, state, self.final),
            positions=(),
            loan=LoanStory(_three(collateral), _three(debt), _three(factor), tuple(steps)),
        )

    def funds(self, pools: tuple[PoolStory, ...], paid: Mapping[str, FloatArray]) -> tuple[FundStory, ...]:
        """Tell whom the account's shortfall falls to; `paid` is the scenario's row of /funds, USD by fund."""
        book = self.book
        parts: dict[int, float] = {}
        for p, pool in enumerate(pools):
            out, f = self.close_outs.get(p), int(book.venue_fund[book.account_venue[0]])
            shares = {f: 1.0} if out is None or not out.loss_share else {}
            for q, share in (out.loss_share if out is not None else {}).items():
                f = int(book.instrument_fund[book.position_instrument[q]])
                shares[f] = shares.get(f, 0.0) + share
            for f, share in shares.items():
                parts[f] = parts.get(f, 0.0) + pool.shortfall * share
        names, whole = book.names("fund"), paid["shortfall"]
        return tuple(
            FundStory(
                names[f], part, float(whole[f]),
                tuple((stage, float(paid[stage][f]) * part / float(whole[f])) for stage in STAGES),
            )
            for f, part in sorted(parts.items()) if part > 0.0
        )  # fmt: skip


def account_story(
    own: Alone, rules: Rules, path: CascadePath, paid: Mapping[str, FloatArray], distances: tuple[float, float]
) -> AccountStory:
    """Tell one account's story.

    Parameters
    ----------
    own: the account taken out of its book, with the scenario that `path` is of.
    paid: stage of the waterfall, and `shortfall` -> USD by fund [f], of the scenario.
    distances: as `/accounts` has them, down and up; NaN = none.
    """
    teller, book = Storyteller(own, rules, path), own.book
    pools = tuple(teller.pool(p) for p in range(book.n_pools))
    instruments, segment = book.names("instrument"), int(book.account_segment[0])
    at_end = AtEnd(teller.model, teller.impact, path.dislocation[-1][own.instrument].tolist())
    survives = not any(pool.closed_in for pool in pools)
    return AccountStory(
        account=book.names("account")[0],
        venue=book.names("venue")[int(book.account_venue[0])],
        entity=book.names("entity")[0] if book.account_has_entity[0] else "",
        segment="" if segment < 0 else book.names("segment")[segment],
        weight=teller.weight,
        is_exempt=bool(book.account_is_exempt[0]),
        rounds=path.n_rounds,
        is_cut_off=path.is_cut_off,
        pools=pools,
        funds=teller.funds(pools, paid),
        prices=tuple(
            PriceStep(instruments[i], n, float(path.mark[n, at]), float(path.flow[n, at]))
            for i, at in enumerate(own.instrument.tolist())
            for n in range(path.n_rounds + 1)
        ),
        tippings=tippings(at_end) if survives and not book.account_is_exempt[0] else (),
        distance_down=distances[0],
        distance_up=distances[1],
    )


def _three(values: list[float]) -> tuple[float, float, float]:
    before, shocked, end = values
    return before, shocked, end
