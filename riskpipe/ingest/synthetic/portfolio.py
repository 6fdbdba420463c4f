"""A portfolio: accounts, balances and positions on a described market, whole and healthy."""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import FloatArray, IntArray
from riskpipe.ingest.synthetic.collateral import (
    Balances,
    accepted_assets,
    directional_balances,
    entry_prices,
    join_balances,
)
from riskpipe.ingest.synthetic.contracts import Contracts, contracts
from riskpipe.ingest.synthetic.description import MarketDescription
from riskpipe.ingest.synthetic.hedges import (
    CarryBook,
    carry_book,
    carry_trades,
    net_usd,
    short_open_interest,
)
from riskpipe.ingest.synthetic.margins import CollateralRules, Health, collateral_rules, credit, health, missing_usd
from riskpipe.ingest.synthetic.population import MARKET_MAKER, Accounts, Profile, concatenate, directional_accounts
from riskpipe.ingest.synthetic.sums import sum_by
from riskpipe.ingest.synthetic.trading import (
    Positions,
    directional_positions,
    join_positions,
    maker_positions,
)

LEAST_ACCOUNTS = 20
_CARRY_SHARE = 0.004
_ACCOUNTS_PER_MAKER = 400
_MOST_MAKERS = 12
_MAKER_MARGIN = 0.4


@dataclass(frozen=True)
class Portfolio:
    """A book as columns, with its health at the snapshot's prices."""

    accounts: Accounts
    positions: Positions
    entry_price: FloatArray
    isolated_margin: FloatArray  # settlement units, NaN = cross
    balances: Balances
    health: Health
    listed: Contracts


def portfolio(
    market: MarketDescription, n_accounts: int, profile: Profile, streams: list[np.random.Generator]
) -> Portfolio:
    """Return a portfolio of exactly n_accounts accounts on the market; no pool is liquidatable at its prices.

    `streams` are five independent random streams: people, carry trades, trading, collateral, market makers. Raises
    ValueError below 20 accounts, where the parties to every trade cannot all be there.
    """
    if n_accounts < LEAST_ACCOUNTS:
        raise ValueError(f"a synthetic book needs at least {LEAST_ACCOUNTS} accounts, got {n_accounts}")
    people, carry, trading, holding, making = streams
    listed = contracts(market)
    n_venues, n_instruments = len(market.venues), len(market.instruments)
    makers_per_venue = min(_MOST_MAKERS, max(1, n_accounts // _ACCOUNTS_PER_MAKER))
    trades = carry_trades(carry, max(1, round(_CARRY_SHARE * n_accounts)), listed)
    n_carry = int(trades.n_entity_accounts.sum())
    n_directional = n_accounts - n_carry - makers_per_venue * n_venues
    venue_shares = sum_by(listed.venue, listed.share, n_venues)
    directional = directional_accounts(people, n_directional, venue_shares=venue_shares, profile=profile)

    gross = float((directional.equity * np.minimum(directional.leverage, 20.0) * directional.weight).sum())
    first_try = directional_positions(
        trading, directional, listed, other_net_usd=net_usd(trades, short_open_interest(trades, gross), n_instruments)
    )
    # Limits have cut what was wanted: carry trades are sized on what is held.
    held = float((first_try.notional(listed) * directional.weight[first_try.account]).sum())
    first_pair = int(directional.entity.max()) + 1
    carried = carry_book(
        trades,
        total_usd=short_open_interest(trades, held),
        first_account=n_directional,
        first_entity=first_pair,
        listed=listed,
    )
    accounts = concatenate([directional, carried.accounts])
    positions = join_positions([first_try, carried.positions])
    makers, made = _makers(making, accounts, positions, listed, n_venues, makers_per_venue)
    accounts, positions = concatenate([accounts, makers]), join_positions([positions, made])

    entry = entry_prices(holding, accounts, positions, listed)
    settlement_price = listed.index_price[listed.settlement[positions.instrument]]
    isolated_margin = np.where(positions.is_isolated, positions.margin_usd / settlement_price, np.nan)
    balances = join_balances([
        directional_balances(holding, directional, positions, entry, market=market, listed=listed),
        *_carry_balances(carried, market, listed, n_directional),
        *_maker_balances(makers, market, listed, len(accounts) - len(makers)),
    ])  # fmt: skip
    return _topped_up(market, accounts, positions, entry, isolated_margin, balances, listed)


def _makers(
    rng: np.random.Generator, accounts: Accounts, positions: Positions, listed: Contracts, n_venues: int, per_venue: int
) -> tuple[Accounts, Positions]:
    """Return market makers and positions that balance the book.

    Maker number k of every venue is one entity; every other one is exempt from liquidation.
    """
    weighted = positions.lots * accounts.weight[positions.account]
    n_instruments = len(listed.venue)
    net = np.zeros(n_instruments, dtype=np.int64)
    np.add.at(net, positions.instrument, weighted)
    gross = sum_by(positions.instrument, positions.notional(listed) * accounts.weight[positions.account], n_instruments)
    venues = np.repeat(np.arange(n_venues, dtype=np.int32), per_venue)
    made = maker_positions(
        rng, first_account=len(accounts), venues=venues, net_lots=net, gross_usd=0.5 * gross, listed=listed
    )
    notional = made.notional(listed)
    initial = listed.initial_rate(made.instrument, notional) * notional
    own = sum_by(made.account - len(accounts), _MAKER_MARGIN * notional + 2.0 * initial, len(venues))
    gross_made = sum_by(made.account - len(accounts), notional, len(venues))
    equity = np.maximum(own, 100_000.0)
    number = np.tile(np.arange(per_venue, dtype=np.int32), n_venues)
    return (
        Accounts(
            venue=venues,
            equity=equity,
            leverage=gross_made / equity,
            segment=np.full(len(venues), MARKET_MAKER, dtype=np.int8),
            weight=np.ones(len(venues), dtype=np.int64),
            entity=int(accounts.entity.max()) + 1 + number,
            is_isolated=np.zeros(len(venues), dtype=np.bool_),
            is_exempt=number % 2 == 1,
        ),
        made,
    )


def _favourites(venue: IntArray, market: MarketDescription, listed: Contracts) -> IntArray:
    return np.array([assets[0] for assets in accepted_assets(market, listed)], dtype=np.int32)[venue]


def _carry_balances(
    carried: CarryBook, market: MarketDescription, listed: Contracts, first_account: int
) -> list[Balances]:
    """Return spot legs, and stable collateral beside every leg that needs margin."""
    asset = _favourites(carried.accounts.venue, market, listed)
    rows = np.arange(len(carried.accounts), dtype=np.int32)
    return [
        Balances(carried.spot_account, carried.spot_asset, carried.spot_quantity),
        Balances(first_account + rows, asset, carried.margin_usd / listed.index_price[asset]),
    ]


def _maker_balances(
    makers: Accounts, market: MarketDescription, listed: Contracts, first_account: int
) -> list[Balances]:
    """Return stable collateral, and as much again a quarter in bitcoin or whatever comes second at the venue."""
    second = np.array([assets[min(2, len(assets) - 1)] for assets in accepted_assets(market, listed)], dtype=np.int32)
    rows = first_account + np.arange(len(makers), dtype=np.int32)
    stable, other = _favourites(makers.venue, market, listed), second[makers.venue]
    return [
        Balances(rows, stable, makers.equity / listed.index_price[stable]),
        Balances(rows, other, 0.25 * makers.equity / listed.index_price[other]),
    ]


def _topped_up(
    market: MarketDescription,
    accounts: Accounts,
    positions: Positions,
    entry: FloatArray,
    isolated_margin: FloatArray,
    balances: Balances,
    listed: Contracts,
) -> Portfolio:
    """Return the portfolio after every pool below its margin has been given the collateral it lacks.

    Collateral moves and positions stay, so that long and short contracts still balance.
    """
    rules = collateral_rules(market, listed)

    def measured() -> Health:
        return health(accounts.venue, positions, entry, isolated_margin, balances, rules=rules, listed=listed)

    now = measured()
    favourite = _favourites(accounts.venue, market, listed)
    settlement = listed.settlement[positions.instrument]
    for _ in range(20):
        cross = missing_usd(now.cross_equity, now.cross_maintenance)
        apart = np.nan_to_num(missing_usd(now.isolated_equity, now.isolated_maintenance))
        if not cross.any() and not apart.any():
            break
        # What one more USD of the asset is worth as margin falls with the band, so the step is repeated.
        rows = np.flatnonzero(cross)
        per_unit = _margin_per_unit(accounts.venue[rows], favourite[rows], cross[rows], rules, listed)
        added = Balances(rows.astype(np.int32), favourite[rows], np.ceil(cross[rows] / per_unit * 1e6) / 1e6)
        balances = join_balances([balances, added])
        poor = np.flatnonzero(apart)
        venue = accounts.venue[positions.account[poor]]
        per_unit = _margin_per_unit(venue, settlement[poor], apart[poor], rules, listed)
        isolated_margin = isolated_margin.copy()
        isolated_margin[poor] += apart[poor] / per_unit
        now = measured()
    else:
        raise ValueError(
            "collateral of the largest bands earns no credit: no top-up can make this market's book healthy"
        )
    return Portfolio(accounts, positions, entry, isolated_margin, balances, now, listed)


def _margin_per_unit(
    venue: IntArray, asset: IntArray, usd: FloatArray, rules: CollateralRules, listed: Contracts
) -> FloatArray:
    """Return the USD of margin credit per unit of an asset, at about the amount wanted."""
    units = usd / listed.venue_price[venue, asset]
    return np.maximum(credit(venue, asset, units, rules, listed) / units, 0.05 * listed.venue_price[venue, asset])
