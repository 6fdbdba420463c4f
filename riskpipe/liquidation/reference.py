"""The specification in code: one scenario of the liquidation model in plain loops, slow and readable.

It works from the book's own quantities, prices and formulas, without the kernel's lowering, screens or scratch arrays.
The compiled kernel must equal it to 1e-9; it also tells the story of an account. Symbols follow ARCHITECTURE.md,
section Model.
"""

import numpy as np

from riskpipe.domain.book import Book
from riskpipe.domain.market import Market
from riskpipe.domain.rules import ContractRules, Rules, VenueRules
from riskpipe.domain.scenarios import ScenarioSet, Variant
from riskpipe.liquidation.reference_impact import dislocation, forced_flow, market_impact
from riskpipe.liquidation.reference_loans import (
    LoanState,
    liquidate_loans,
    loan_at,
    loan_pools,
    seized_notional,
    take_steps,
)
from riskpipe.liquidation.reference_losses import settle
from riskpipe.liquidation.reference_portfolio import option_exit, option_mark, portfolio_margin
from riskpipe.liquidation.reference_sales import sell_collateral
from riskpipe.liquidation.reference_shocks import shocked_assets, shocked_basis
from riskpipe.liquidation.scan_models import unit_models
from riskpipe.liquidation.state import CloseOut, Health, Impact, Outcome, Prices
from riskpipe.margin.model import Holding, PositionModel, SizeSlope, Tiered
from riskpipe.margin.tiered import collateral_credit
from riskpipe.pricing.payoff import notional_usd, pnl

SCAN_STEPS = 32
BISECTION_WIDTH = 2.0**-40


class Reference:
    """The model of one book, market, rules and scenario set."""

    def __init__(self, book: Book, market: Market, rules: Rules, scenarios: ScenarioSet) -> None:
        self.book = book
        self.market = market
        self.rules = rules
        self.scenarios = scenarios
        self.underlyings = book.underlyings.tolist()
        self.loans = loan_pools(book)
        self.is_option = book.is_option.tolist()
        self.years = book.years_to_expiry.tolist()
        has_tiers = np.diff(book.instrument_tier_start) > 0  # what only portfolios hold needs none
        self.margin_models = {i: self.margin_model(i) for i in np.flatnonzero(has_tiers).tolist()}
        self.unit_models = unit_models(book, rules)

    # ---- rules and prices -------------------------------------------------------------------------------------------

    def venue_rules(self, venue: int, variant: Variant) -> VenueRules:
        """Return a venue's rules with the variant's overrides."""
        rules = self.rules.venues[venue]
        given = {
            name: value
            for name in ("gap_share", "law", "kappa", "adl_policy")
            if (value := getattr(variant, name)) is not None
        }
        return VenueRules(**{**rules.__dict__, **given})

    def shocked(self, s: int, ray_point: float = 1.0) -> Prices:
        """Return the shocked market at a point of the straight ray from the snapshot (0) to the scenario (1)."""
        market, book = self.market, self.book
        asset = shocked_assets(market, self.scenarios, s, ray_point)
        z = float(self.scenarios.vol_shock[s]) * ray_point
        mark, forward, volatility = [], [], []
        for i in range(book.n_instruments):
            u, quote = int(book.instrument_underlying[i]), int(book.instrument_quote[i])
            index = asset[u] / asset[quote]
            forward.append(
                float(market.option_forward[i]) * (index / (market.index_price[u] / market.index_price[quote]))
            )
            volatility.append(float(market.option_vol[i]) * (1.0 + z))
            if self.is_option[i]:
                mark.append(option_mark(self, i, forward[i], volatility[i]))
                continue
            mark.append(index * (1.0 + shocked_basis(market, self.scenarios, s, i, ray_point)))
        return Prices(asset, mark, forward, volatility)

    def final(self, shocked: Prices, impact_: Impact, response: list[float]) -> Prices:
        """Return prices after the cascade; `response` is each mark's own move: dislocation, or the fill's impact."""
        book = self.book
        asset = [price * (1.0 + move) for price, move in zip(shocked.asset, impact_.index, strict=True)]
        mark, forward = [], []
        for i in range(book.n_instruments):
            index_move = (1.0 + impact_.index[book.instrument_underlying[i]]) / (
                1.0 + impact_.index[book.instrument_quote[i]]
            )
            forward.append(shocked.forward[i] * index_move)
            mark.append(shocked.mark[i] * index_move * (1.0 + response[i]))
            if self.is_option[i]:
                mark[i] = option_mark(self, i, forward[i], shocked.volatility[i], response[i])
        return Prices(asset, mark, forward, shocked.volatility)

    def margin_model(self, i: int) -> PositionModel:
        """Return the margin model of an instrument, from its tiers and its rules."""
        book = self.book
        rules = self.rules.contracts.get(book.names("instrument")[i], ContractRules())
        tiers = slice(int(book.instrument_tier_start[i]), int(book.instrument_tier_start[i + 1]))
        initial = tuple(book.tier_initial_rate[tiers].tolist())
        maintenance = tuple(book.tier_maintenance_rate[tiers].tolist())
        if rules.initial_slope > 0.0:
            slopes = rules.initial_slope, rules.maintenance_slope
            return SizeSlope(initial[0], maintenance[0], *slopes, rules.valued_at, rules.fee_rate)
        floors, deductions = tuple(book.tier_floor[tiers].tolist()), tuple(book.tier_deduction[tiers].tolist())
        return Tiered(floors, initial, maintenance, deductions, rules.unit, rules.valued_at, rules.fee_rate)

    # ---- pools ------------------------------------------------------------------------------------------------------

    def positions(self, p: int) -> range:
        """Return the positions of a pool."""
        return range(int(self.book.pool_position_start[p]), int(self.book.pool_position_start[p + 1]))

    def slots(self, p: int) -> range:
        """Return the slots of a pool."""
        return range(int(self.book.pool_slot_start[p]), int(self.book.pool_slot_start[p + 1]))

    def position_pnl(self, q: int, mark: float) -> float:
        """Return a position's PnL from entry in its settlement asset."""
        book = self.book
        i = int(book.position_instrument[q])
        return pnl(
            is_inverse=bool(book.instrument_is_inverse[i]),
            quantity=float(book.position_quantity[q]),
            multiplier=float(book.instrument_multiplier[i]),
            entry_price=float(book.position_entry_price[q]),
            mark_price=mark,
        )

    def position_notional(self, q: int, mark: float, asset: list[float]) -> float:
        """Return a position's unsigned notional in USD; an option's is what it is worth."""
        book = self.book
        i = int(book.position_instrument[q])
        if self.is_option[i]:
            size = abs(float(book.position_quantity[q])) * float(book.instrument_multiplier[i])
            return size * mark * asset[book.instrument_settlement[i]]
        return notional_usd(
            is_inverse=bool(book.instrument_is_inverse[i]),
            quantity=float(book.position_quantity[q]),
            multiplier=float(book.instrument_multiplier[i]),
            mark_price=mark,
            quote_price=asset[book.instrument_quote[i]],
        )

    def settled(self, p: int, marks: dict[int, float]) -> dict[int, float]:
        """Return E_ac: by slot, the balance plus the PnL settled in its asset, with position q marked at marks[q].

        An option adds its value: its premium is in the balance already.
        """
        book = self.book
        first = int(book.pool_slot_start[p])
        amounts = {k: float(book.slot_quantity[k]) for k in self.slots(p)}
        for q in self.positions(p):
            i, slot = int(book.position_instrument[q]), first + int(book.position_slot[q])
            if self.is_option[i]:
                amounts[slot] += float(book.position_quantity[q] * book.instrument_multiplier[i]) * marks[q]
            else:
                amounts[slot] += self.position_pnl(q, marks[q])
        return amounts

    def own_venue_price(self, p: int, c: int, asset: list[float]) -> float:
        """Return the price that values a positive amount of asset c on the pool's venue."""
        venue = int(self.book.account_venue[self.book.pool_account[p]])
        return asset[c] * float(self.market.venue_price_ratio[venue, c])

    def health(self, p: int, prices: Prices, extra_haircut: float) -> Health:
        """Equity, maintenance and initial margin of a pool."""
        book = self.book
        venue = int(book.account_venue[book.pool_account[p]])
        if book.account_is_lending[book.pool_account[p]]:
            loan = loan_at(self, p, prices, extra_haircut)
            return Health(loan.weighted - loan.debt, 0.0, 0.0)
        marks = {q: prices.mark[book.position_instrument[q]] for q in self.positions(p)}
        equity = maintenance = initial = 0.0
        if self.is_portfolio(p):
            maintenance, initial = portfolio_margin(self, p, prices)
        for q in self.positions(p) if not self.is_portfolio(p) else ():
            i = int(book.position_instrument[q])
            holding = Holding(
                size=float(book.position_quantity[q] * book.instrument_multiplier[i]),
                is_inverse=bool(book.instrument_is_inverse[i]),
                entry_price=float(book.position_entry_price[q]),
                mark_price=marks[q],
                quote_price=prices.asset[book.instrument_quote[i]],
                settlement_price=prices.asset[book.instrument_settlement[i]],
            )
            maintenance += self.margin_models[i].maintenance_margin(holding)
            initial += self.margin_models[i].initial_margin(holding)
        for k, amount in self.settled(p, marks).items():
            c = int(book.slot_asset[k])
            balance = float(book.slot_quantity[k])
            if balance < 0.0:
                owed = float(book.borrow_maintenance_rate[venue, c]) * -balance * prices.asset[c]
                maintenance += owed
                initial += owed
            row = venue * book.n_assets + c
            bands = slice(int(book.collateral_band_start[row]), int(book.collateral_band_start[row + 1]))
            value = amount * (self.own_venue_price(p, c, prices.asset) if amount > 0.0 else prices.asset[c])
            equity += collateral_credit(
                value, book.band_floor[bands].tolist(), book.band_haircut[bands].tolist(), extra_haircut
            )
        return Health(equity, maintenance, initial)

    def is_portfolio(self, p: int) -> bool:
        """Whether a pool is margined as a portfolio: the cross pool of an account of that mode."""
        return bool(self.book.account_is_portfolio[self.book.pool_account[p]] and not self.book.pool_is_isolated[p])

    def can_be_liquidated(self, p: int) -> bool:
        """Whether a pool is closed as one: it has positions or debt, is no loan, and its account is not exempt."""
        if self.book.account_is_lending[self.book.pool_account[p]]:
            return False
        has_debt = any(self.book.slot_quantity[k] < 0.0 for k in self.slots(p))
        has_position = any(self.book.position_quantity[q] != 0.0 for q in self.positions(p))
        return (has_position or has_debt) and not self.book.account_is_exempt[self.book.pool_account[p]]

    def gross_notional(self, p: int, prices: Prices) -> float:
        """USD notional of a pool plus the absolute value of its balances: the scale of its rounding errors."""
        book = self.book
        gross = sum(
            self.position_notional(q, prices.mark[book.position_instrument[q]], prices.asset) for q in self.positions(p)
        )
        return gross + sum(abs(float(book.slot_quantity[k])) * prices.asset[book.slot_asset[k]] for k in self.slots(p))

    # ---- close-out --------------------------------------------------------------------------------------------------

    def ray_excess(self, p: int, s: int, ray_point: float) -> float:
        """Margin excess at a point of the ray; depth and impact do not enter."""
        return self.health(
            p, self.shocked(s, ray_point), float(self.scenarios.haircut_shock[s]) * ray_point
        ).margin_excess

    def first_failure(self, p: int, s: int) -> float:
        """Return lambda: where on the ray the pool first fails; 1 when it does not (hit by the cascade alone)."""
        for k in range(SCAN_STEPS + 1):
            if self.ray_excess(p, s, k / SCAN_STEPS) <= 0.0:
                if k == 0:
                    return 0.0
                low, high = (k - 1) / SCAN_STEPS, k / SCAN_STEPS
                while high - low > BISECTION_WIDTH:
                    middle = 0.5 * (low + high)
                    if self.ray_excess(p, s, middle) <= 0.0:
                        high = middle
                    else:
                        low = middle
                return high
        return 1.0

    def exit_factor(self, i: int, impact_: Impact, rules: VenueRules) -> float:
        """Return what impact leaves of the pre-impact exit price."""
        u, quote = int(self.book.instrument_underlying[i]), int(self.book.instrument_quote[i])
        if rules.close_out_alpha == "vwap":
            index = (1.0 + impact_.index_average[u]) / (1.0 + impact_.index_average[quote])
            return index * (1.0 + impact_.own_average[i])
        fill = (1.0 + impact_.index[u]) / (1.0 + impact_.index[quote]) * (1.0 + impact_.own[i])
        return 1.0 + rules.close_out_alpha * (fill - 1.0)

    def close_out(self, p: int, s: int, impact_: Impact, final: Prices, variant: Variant) -> CloseOut:
        """Close every position of a pool and count what is left."""
        book = self.book
        account = int(book.pool_account[p])
        weight = float(book.account_weight[account])
        rules = self.venue_rules(int(book.account_venue[account]), variant)
        ray_point = 1.0
        if rules.gap_share < 1.0:
            first = self.first_failure(p, s)
            ray_point = first + rules.gap_share * (1.0 - first)
        before = self.shocked(s, ray_point)
        exits = {
            q: option_exit(self, i, before, impact_, rules)
            if self.is_option[i]
            else before.mark[i] * self.exit_factor(i, impact_, rules)
            for q in self.positions(p)
            for i in [int(book.position_instrument[q])]
        }
        true_equity = 0.0
        for k, amount in self.settled(p, exits).items():
            c = int(book.slot_asset[k])
            true_equity += amount * (self.own_venue_price(p, c, final.asset) if amount > 0.0 else final.asset[c])
        closed = {q: self.position_notional(q, exits[q], final.asset) for q in self.positions(p)}
        fee = rules.fee_rate * sum(closed.values())
        losses = {}
        for q in self.positions(p):
            i = int(book.position_instrument[q])
            lost = self.position_pnl(q, float(self.market.mark_price[i])) - self.position_pnl(q, exits[q])
            losses[q] = max(0.0, lost * final.asset[book.instrument_settlement[i]])
        shares = losses if sum(losses.values()) > 0.0 else closed
        return CloseOut(
            pool=p,
            ray_point=ray_point,
            exits=exits,
            true_equity=true_equity,
            fee=fee,
            shortfall=weight * max(0.0, -true_equity),
            fees_collected=weight * min(fee, max(0.0, true_equity)),
            loss_share=_normalised(shares),
            fee_share=_normalised(closed),
        )

    # ---- one scenario -----------------------------------------------------------------------------------------------

    def run(self, s: int) -> Outcome:
        """Run scenario s to its end."""
        book = self.book
        variant = self.scenarios.variants[int(self.scenarios.variant[s])]
        haircut = float(self.scenarios.haircut_shock[s])
        shocked = self.shocked(s)
        closed: list[int] = []
        flow = [0.0] * book.n_instruments
        loans = LoanState()
        impact_ = market_impact(self, s, flow, loans.bought, shocked, variant)
        max_rounds = max(rules.max_rounds for rules in self.rules.venues)
        rounds, first_round, knife_edge, is_cut_off, limits_hit = 0, 0.0, np.inf, False, 0
        candidates = [p for p in range(book.n_pools) if self.can_be_liquidated(p)]
        borrowers = [p for p in self.loans if not book.account_is_exempt[book.pool_account[p]]]
        venues = [self.venue_rules(v, variant) for v in range(book.n_venues)]
        while True:
            trigger = self.final(shocked, impact_, dislocation(self, impact_, variant))
            newly = []
            for p in candidates:
                if p in closed:
                    continue
                excess = self.health(p, trigger, haircut).margin_excess
                knife_edge = min(knife_edge, abs(excess) / self.gross_notional(p, shocked))
                if excess < 0.0:
                    newly.append(p)
            steps, nearest = liquidate_loans(self, loans, borrowers, trigger, haircut, venues)
            knife_edge = min(knife_edge, nearest)
            is_cut_off = bool(newly or steps) and rounds >= max_rounds
            if not (newly or steps) or is_cut_off:
                break
            closed.extend(newly)
            sell_collateral(self, newly, trigger, loans.bought, venues)
            take_steps(self, loans, steps)
            rounds += 1
            flow = forced_flow(self, closed, shocked)
            if rounds == 1:
                first_round = self.liquidated_notional(closed, shocked) + seized_notional(loans, shocked)
            impact_ = market_impact(self, s, flow, loans.bought, shocked, variant)
            limits_hit = max(limits_hit, impact_.limits_hit)
        closed.sort()
        own_moves = dislocation(self, impact_, variant)
        final = self.final(shocked, impact_, own_moves)
        outcome = settle(self, s, variant, closed, loans, shocked, impact_, final)
        n_instruments = book.n_instruments
        fill = self.final(shocked, impact_, impact_.own)
        start_basis = [
            np.nan if self.is_option[i] else shocked_basis(self.market, self.scenarios, s, i, 1.0)
            for i in range(n_instruments)
        ]
        outcome.values |= {
            "instruments/forced_flow": np.array(flow),
            "instruments/impact": np.array(
                [
                    fill.mark[i] / shocked.mark[i] - 1.0 if shocked.mark[i] > 0.0 else impact_.own[i]
                    for i in range(n_instruments)
                ]
            ),
            "instruments/mark_price": np.array(final.mark),
            "instruments/dislocation": np.array(own_moves),
            "instruments/basis": np.array(
                [(1.0 + start_basis[i]) * (1.0 + own_moves[i]) - 1.0 for i in range(n_instruments)]
            ),
            "system/first_round_notional": np.array(first_round),
            "system/rounds": np.array(float(rounds)),
            "system/price_limits_hit": np.array(float(limits_hit)),
            "system/max_rounds_hit": np.array(float(is_cut_off)),
        }
        outcome.knife_edge = knife_edge
        return outcome

    def liquidated_notional(self, closed: list[int], shocked: Prices) -> float:
        """Return the USD notional of the closed pools at the shocked mark, weighted."""
        book = self.book
        return sum(
            float(book.account_weight[book.pool_account[p]])
            * self.position_notional(q, shocked.mark[book.position_instrument[q]], shocked.asset)
            for p in closed
            for q in self.positions(p)
        )


def _normalised(amounts: dict[int, float]) -> dict[int, float]:
    total = sum(amounts.values())
    return {key: amount / total for key, amount in amounts.items()} if total > 0.0 else {}
