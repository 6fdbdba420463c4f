"""Lowering: a book, its market and rules as the bare arrays that compiled code walks.

Each position becomes a size `a = quantity x multiplier` and an offset `b`, so that its PnL in its settlement asset is
`a P - b` for a payoff price P: the mark m of a linear contract, -1/m of an inverse one. Its USD notional is |a| X with
X = m S_q or S_q. An option is worth a P, P being its mark, and X = P S_settlement. The named tuples are plain enough
for numba and small enough to read.
"""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.domain.book import Book, BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.domain.market import Market
from riskpipe.domain.rules import ContractRules, Rules
from riskpipe.domain.scenarios import Variant
from riskpipe.liquidation.scan_models import FUTURE, OPTION, PERPETUAL
from riskpipe.pricing.impact import LARGEST_FALL, LAW_CODES

FEE_OFFSET, FUND, ADL = 0, 1, 2
STAGE_CODES = {"fee_offset": FEE_OFFSET, "fund": FUND, "adl": ADL}
LEAST_RISE = 1e-12  # of the share closed of a loan: what closes no more closes nothing
SETTLED = 1e-12  # a loss whose parts add up to it but for rounding leaves nothing over
VWAP = -1.0
N_STAGES = len(STAGE_CODES)
UNIT_KINDS = PERPETUAL, FUTURE, OPTION  # in the order of InstrumentKind
CREDIT_BY_BAND, CREDIT_AT_PAR = 0, 1
# what a contract's tiers count: its USD notional, its size in coins (linear), its coins at the price (inverse)
BY_NOTIONAL, BY_SIZE, IN_COINS = range(3)


class Pools(NamedTuple):
    """The book: pools with their positions and slots, accounts, entities (letters as in domain.book).

    What a book maps from disk stays mapped: only what `flags.set_flags` fills in is made.
    """

    account: IntArray  # [p]
    position_start: OffsetArray  # [p + 1]
    slot_start: OffsetArray  # [p + 1]
    instrument: IntArray  # [q]
    quantity: FloatArray  # [q] contracts, signed
    entry_price: FloatArray  # [q]
    position_slot: IntArray  # [q] from the pool's first slot
    asset: IntArray  # [k]
    slot_quantity: FloatArray  # [k]
    account_venue: IntArray  # [a]
    account_weight: FloatArray  # [a]
    account_is_exempt: BoolArray  # [a]
    account_is_lending: BoolArray  # [a]
    is_portfolio: BoolArray  # [p] margined by a scan
    slot_threshold: FloatArray  # [k] a loan's own, NaN = the venue's
    account_entity: IntArray  # [a]
    account_has_entity: BoolArray  # [a]
    account_pool_start: OffsetArray  # [a + 1]
    entity_account_start: OffsetArray  # [e + 1]
    entity_account: IntArray  # [a]
    can_close: BoolArray  # [p] has positions or debt, is no loan, no portfolio and not exempt
    can_break: BoolArray  # [e] has legs of both signs on one underlying, so that closing may leave it less hedged


class Terms(NamedTuple):
    """Contracts, margin tiers, collateral bands and funds."""

    underlying: IntArray  # [i]
    quote: IntArray  # [i]
    settlement: IntArray  # [i]
    venue: IntArray  # [i]
    fund: IntArray  # [i]
    is_inverse: BoolArray  # [i]
    is_option: BoolArray  # [i]
    unit_kind: IntArray  # [i] code in a risk unit
    is_coin_settled: BoolArray  # [i] pays in its underlying
    is_call: BoolArray  # [i]
    strike: FloatArray  # [i]
    years: FloatArray  # [i] to expiry
    option_forward: FloatArray  # [i] at the snapshot
    option_vol: FloatArray  # [i]
    multiplier: FloatArray  # [i]
    tier_start: OffsetArray  # [i + 1]
    tier_floor: FloatArray  # [t]
    tier_initial_rate: FloatArray  # [t]
    tier_maintenance_rate: FloatArray  # [t]
    tier_deduction: FloatArray  # [t]
    margin_form: IntArray  # [i] BY_NOTIONAL, BY_SIZE or IN_COINS
    is_at_entry: BoolArray  # [i] the requirement takes the amount at the entry price
    margin_fee: FloatArray  # [i] closing fee inside the trigger
    initial_slope: FloatArray  # [i] per coin
    maintenance_slope: FloatArray  # [i] per coin
    band_start: OffsetArray  # [v * c + 1]
    band_floor: FloatArray  # [b]
    band_haircut: FloatArray  # [b]
    band_credit: FloatArray  # [b] under the extra haircut: what a USD inside the band counts
    band_intercept: FloatArray  # [b] USD, so that a value v in band k counts v credit + intercept
    credit_kind: IntArray  # [v * c] CREDIT_AT_PAR or CREDIT_BY_BAND
    settles_at_par: BoolArray  # [i] linear, in its quote asset, which counts at par
    extra_haircut: float
    borrow_rate: FloatArray  # [v, c]
    lending_threshold: FloatArray  # [v, c] of loans' collateral
    lending_bonus: FloatArray  # [v, c] on what a liquidation takes
    close_factor: FloatArray  # [v, c] share of a debt closed at once, NaN = the venue's
    fund_venue: IntArray  # [f]
    fund_asset: IntArray  # [f]
    fund_balance: FloatArray  # [f] after the venue's fund haircut
    venue_fund: IntArray  # [v]
    underlying_cell: IntArray  # [c] place of an asset among the underlyings, -1 = none
    index_price: FloatArray  # [c]
    index_beta: FloatArray  # [c]
    index_depth: FloatArray  # [c] NaN = channel off
    venue_ratio: FloatArray  # [v, c]
    mark_price: FloatArray  # [i]
    basis: FloatArray  # [i]
    depth_bid: FloatArray  # [i]
    depth_ask: FloatArray  # [i]


class VariantRules(NamedTuple):
    """One variant's rules by instrument (through its venue), by venue, and of the indices."""

    law: IntArray  # [i]
    price_floor: FloatArray  # [i]
    fall_limit: FloatArray  # [i]
    price_cap: FloatArray  # [i]
    kappa: FloatArray  # [i]
    capacity: FloatArray  # [i] USD, infinite = no limit
    response: FloatArray  # [i]
    band: FloatArray  # [i] infinite = none
    alpha: FloatArray  # [v] of the pool's venue; VWAP = the law's average
    gap_share: FloatArray  # [v]
    fee_rate: FloatArray  # [v]
    stages: IntArray  # [v, 3] stage codes in order, -1 = none
    sells_collateral: BoolArray  # [v] of closed pools, to cover negative settlement balances
    sale_rank: IntArray  # [v, c] assets of lower rank first
    close_factor: FloatArray  # [v] of loans; as those below, see domain.rules.LendingRules
    full_health: FloatArray  # [v]
    full_below: FloatArray  # [v] USD
    least_left: FloatArray  # [v] USD
    protocol_fee: FloatArray  # [v]
    liquidation_cost: FloatArray  # [v] USD
    index_law: int
    index_floor: float
    index_cap: float
    max_rounds: int


@compiled
def widest(start: OffsetArray) -> int:
    """Return how many rows the longest of some groups has, from where each starts."""
    most = 0
    for group in range(len(start) - 1):
        most = max(most, start[group + 1] - start[group])
    return most


def lower_pools(book: Book) -> Pools:
    """Lower the book's pools without a copy; the flags are false until `flags.set_flags` fills them."""
    return Pools(
        account=_frozen(book.pool_account),
        position_start=_frozen(book.pool_position_start),
        slot_start=_frozen(book.pool_slot_start),
        instrument=_frozen(book.position_instrument),
        quantity=_frozen(book.position_quantity),
        entry_price=_frozen(book.position_entry_price),
        position_slot=_frozen(book.position_slot),
        asset=_frozen(book.slot_asset),
        slot_quantity=_frozen(book.slot_quantity),
        account_venue=_frozen(book.account_venue),
        account_weight=_frozen(book.account_weight),
        account_is_exempt=_frozen(book.account_is_exempt),
        account_is_lending=_frozen(book.account_is_lending),
        is_portfolio=_frozen(book.pool_is_portfolio),
        slot_threshold=_frozen(book.slot_threshold),
        account_entity=_frozen(book.account_entity),
        account_has_entity=_frozen(book.account_has_entity),
        account_pool_start=_frozen(book.account_pool_start),
        entity_account_start=_frozen(book.entity_account_start),
        entity_account=_frozen(book.entity_account),
        can_close=np.zeros(book.n_pools, dtype=np.bool_),
        can_break=np.zeros(len(book.entity_account_start) - 1, dtype=np.bool_),
    )


def without_pools(pools: Pools) -> Pools:
    """Return a book of the same types and no pools, accounts or entities."""
    return Pools(*(array[:1] if name.endswith("_start") else array[:0] for name, array in pools._asdict().items()))


def lower_terms(book: Book, market: Market, rules: Rules, extra_haircut: float) -> Terms:
    """Lower contracts, tiers, collateral under an extra haircut, funds and market."""
    band_credit, band_intercept, credit_kind = _credits(book, market, extra_haircut)
    underlyings = book.underlyings
    cell = np.full(book.n_assets, -1, dtype=np.int32)
    cell[underlyings] = np.arange(len(underlyings), dtype=np.int32)
    fund_haircut = np.array([venue.fund_haircut for venue in rules.venues])
    is_option = book.is_option
    return Terms(
        underlying=_frozen(book.instrument_underlying),
        quote=_frozen(book.instrument_quote),
        settlement=_frozen(book.instrument_settlement),
        venue=_frozen(book.instrument_venue),
        fund=_frozen(book.instrument_fund),
        is_inverse=_frozen(book.instrument_is_inverse),
        is_option=_frozen(is_option),
        unit_kind=_frozen(np.asarray(UNIT_KINDS, dtype=np.int32)[book.instrument_kind]),
        is_coin_settled=_frozen(
            np.where(is_option, book.instrument_settlement == book.instrument_underlying, book.instrument_is_inverse)
        ),
        is_call=_frozen(book.instrument_is_call),
        strike=_frozen(book.instrument_strike),
        years=_frozen(book.years_to_expiry),
        option_forward=_frozen(market.option_forward),
        option_vol=_frozen(market.option_vol),
        multiplier=_frozen(book.instrument_multiplier),
        tier_start=_frozen(book.instrument_tier_start),
        tier_floor=_frozen(book.tier_floor),
        tier_initial_rate=_frozen(book.tier_initial_rate),
        tier_maintenance_rate=_frozen(book.tier_maintenance_rate),
        tier_deduction=_frozen(book.tier_deduction),
        **_margin_terms(book, rules),
        band_start=_frozen(book.collateral_band_start),
        band_floor=_frozen(book.band_floor),
        band_haircut=_frozen(book.band_haircut),
        band_credit=_frozen(band_credit),
        band_intercept=_frozen(band_intercept),
        credit_kind=_frozen(credit_kind),
        settles_at_par=_frozen(
            ~(book.instrument_is_inverse | is_option)
            & (book.instrument_quote == book.instrument_settlement)
            & (credit_kind[book.instrument_venue * book.n_assets + book.instrument_settlement] == CREDIT_AT_PAR)
        ),
        extra_haircut=extra_haircut,
        borrow_rate=_frozen(book.borrow_maintenance_rate),
        lending_threshold=_frozen(np.nan_to_num(book.lending_threshold)),
        lending_bonus=_frozen(np.nan_to_num(book.lending_bonus)),
        close_factor=_frozen(book.close_factor),
        fund_venue=_frozen(book.fund_venue),
        fund_asset=_frozen(book.fund_asset),
        fund_balance=_frozen(book.fund_balance * (1.0 - fund_haircut[book.fund_venue])),
        venue_fund=_frozen(book.venue_fund),
        underlying_cell=_frozen(cell),
        index_price=_frozen(market.index_price),
        index_beta=_frozen(market.index_beta),
        index_depth=_frozen(market.index_depth),
        venue_ratio=_frozen(market.venue_price_ratio),
        mark_price=_frozen(market.mark_price),
        basis=_frozen(market.basis),
        depth_bid=_frozen(market.depth_bid),
        depth_ask=_frozen(market.depth_ask),
    )


def lower_rules(book: Book, rules: Rules, variant: Variant) -> VariantRules:
    """Lower the rules of every venue under one variant."""
    venues = rules.venues
    of = book.instrument_venue

    def per_venue(values: list[float]) -> FloatArray:
        return np.array(values, dtype=np.float64)

    def infinite(value: float | None) -> float:
        return np.inf if value is None else value

    floor = per_venue([venue.price_floor for venue in venues])
    gap_share = [venue.gap_share if variant.gap_share is None else variant.gap_share for venue in venues]
    kappa = [venue.kappa if variant.kappa is None else variant.kappa for venue in venues]
    law = np.array([LAW_CODES[variant.law or venue.law] for venue in venues], dtype=np.int32)
    stages = np.full((len(venues), N_STAGES), -1, dtype=np.int32)
    for v, venue in enumerate(venues):
        stages[v, : len(venue.waterfall)] = [STAGE_CODES[stage] for stage in venue.waterfall]
    return VariantRules(
        law=_frozen(law[of]),
        price_floor=_frozen(floor[of]),
        fall_limit=_frozen(np.minimum(1.0 - floor, LARGEST_FALL)[of]),
        price_cap=_frozen(per_venue([venue.price_cap for venue in venues])[of]),
        kappa=_frozen(np.where(book.is_option, 0.0, per_venue(kappa)[of])),
        capacity=_frozen(per_venue([infinite(venue.arbitrage_capacity_usd) for venue in venues])[of]),
        response=_frozen(
            np.where(
                book.is_option,
                per_venue([venue.option_mark_response for venue in venues])[of],
                per_venue([venue.mark_response for venue in venues])[of],
            )
        ),
        band=_frozen(per_venue([infinite(venue.mark_band) for venue in venues])[of]),
        alpha=_frozen(per_venue([VWAP if isinstance(a := venue.close_out_alpha, str) else a for venue in venues])),
        gap_share=_frozen(per_venue(gap_share)),
        fee_rate=_frozen(per_venue([venue.fee_rate for venue in venues])),
        stages=_frozen(stages),
        sells_collateral=_frozen(np.array([venue.collateral_sale is not None for venue in venues], dtype=np.bool_)),
        sale_rank=_frozen(np.array([_sale_ranks(book, venue.collateral_sale) for venue in venues], dtype=np.int32)),
        close_factor=_frozen(per_venue([venue.lending.close_factor for venue in venues])),
        full_health=_frozen(per_venue([venue.lending.full_health for venue in venues])),
        full_below=_frozen(per_venue([venue.lending.full_below_usd for venue in venues])),
        least_left=_frozen(per_venue([venue.lending.minimum_leftover_usd for venue in venues])),
        protocol_fee=_frozen(per_venue([venue.lending.protocol_fee for venue in venues])),
        liquidation_cost=_frozen(per_venue([venue.lending.liquidation_cost_usd for venue in venues])),
        index_law=LAW_CODES[rules.index_impact.law],
        index_floor=rules.index_impact.price_floor,
        index_cap=rules.index_impact.price_cap,
        max_rounds=max(venue.max_rounds for venue in venues),
    )


def _sale_ranks(book: Book, order: tuple[str, ...] | None) -> list[int]:
    """Return the rank of each asset when collateral is sold: as ordered, then all others."""
    rank = {name: n for n, name in enumerate(order or ())}
    return [rank.get(name, len(rank)) for name in book.names("asset")]


def _credits(book: Book, market: Market, extra_haircut: float) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return each haircut band's credit and intercept, and by (venue, asset) whether all counts at par."""
    credit = np.maximum(0.0, 1.0 - book.band_haircut - extra_haircut)
    intercept = np.zeros(len(credit))
    kind = np.full(len(book.collateral_band_start) - 1, CREDIT_BY_BAND, dtype=np.int32)
    is_own_price = market.venue_price_ratio.ravel() != 1.0
    for row in np.flatnonzero(np.diff(book.collateral_band_start)):
        start, stop = book.collateral_band_start[row], book.collateral_band_start[row + 1]
        for k in range(start + 1, stop):
            intercept[k] = intercept[k - 1] + book.band_floor[k] * (credit[k - 1] - credit[k])
        if np.all(credit[start:stop] == 1.0) and not is_own_price[row]:
            kind[row] = CREDIT_AT_PAR
    return credit, intercept, kind


def _margin_terms(book: Book, rules: Rules) -> dict[str, np.ndarray]:
    """Return how each contract's margin follows from its tiers."""
    default = ContractRules()
    of = [rules.contracts.get(name, default) for name in book.names("instrument")]
    in_coins = np.array([rule.unit == "coin" for rule in of], dtype=np.bool_)
    has_slope = np.array([max(rule.initial_slope, rule.maintenance_slope) > 0.0 for rule in of], dtype=np.bool_)
    is_at_entry = np.array([rule.valued_at == "entry" for rule in of], dtype=np.bool_)
    is_inverse = np.asarray(book.instrument_is_inverse)
    form = np.where(in_coins, BY_SIZE, BY_NOTIONAL)
    form[is_inverse & (in_coins | has_slope | is_at_entry)] = IN_COINS
    return {
        "margin_form": _frozen(form.astype(np.int32)),
        "is_at_entry": _frozen(is_at_entry),
        "margin_fee": _frozen(np.array([rule.fee_rate for rule in of], dtype=np.float64)),
        "initial_slope": _frozen(np.array([rule.initial_slope for rule in of], dtype=np.float64)),
        "maintenance_slope": _frozen(np.array([rule.maintenance_slope for rule in of], dtype=np.float64)),
    }


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return a read-only plain view: one compiled signature for mapped and fresh arrays, and no book is written to."""
    view = np.ascontiguousarray(array).view(np.ndarray)
    view = view[:]  # a view of its own, so that the caller's array keeps its flags
    view.flags.writeable = False
    return view
