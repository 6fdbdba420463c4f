"""Cash-and-carry: entities short a perpetual, and long its underlying as spot, dated future or at another venue."""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import FloatArray, IntArray, OffsetArray
from riskpipe.ingest.synthetic.contracts import Contracts
from riskpipe.ingest.synthetic.population import BASIS, Accounts
from riskpipe.ingest.synthetic.sums import sum_by
from riskpipe.ingest.synthetic.trading import Positions, to_lots

HEDGED_SHARE_OF_SHORTS = 0.20

SPOT_IN_ACCOUNT, SPOT_IN_OTHER_ACCOUNT, OTHER_VENUE, DATED_FUTURE = range(4)
_KIND_SHARES = (0.30, 0.25, 0.25, 0.20)


@dataclass(frozen=True)
class CarryTrades:
    """Carry trades as columns (n entities): what each is short, what it is long, and how many accounts it needs."""

    kind: IntArray  # [n]
    short_instrument: IntArray  # [n]
    long_instrument: IntArray  # [n] -1 = spot
    spot_asset: IntArray  # [n] -1 = a contract
    spot_venue: IntArray  # [n] where the spot is kept
    size: FloatArray  # [n] share of all carry trades, adding up to 1
    leverage: FloatArray  # [n] notional over margin set aside for the short leg

    @property
    def n_entity_accounts(self) -> IntArray:
        """Accounts of each entity: two where its legs stand apart."""
        return np.where((self.kind == SPOT_IN_OTHER_ACCOUNT) | (self.kind == OTHER_VENUE), 2, 1).astype(np.int32)


@dataclass(frozen=True)
class CarryBook:
    """What carry trades add to the book: accounts, positions, and spot as (account, asset, quantity) columns."""

    accounts: Accounts
    positions: Positions
    spot_account: IntArray
    spot_asset: IntArray
    spot_quantity: FloatArray
    margin_usd: FloatArray  # [accounts] USD of stable collateral beside the legs


def carry_trades(rng: np.random.Generator, n_entities: int, listed: Contracts) -> CarryTrades:
    """Return n_entities trades on popular perpetuals.

    A kind that the perpetual's market does not offer becomes one with a spot leg.
    """
    perpetuals = np.flatnonzero(listed.is_perpetual)
    odds = listed.share[perpetuals] / listed.share[perpetuals].sum()
    short = perpetuals[np.searchsorted(np.cumsum(odds)[:-1], rng.random(n_entities), side="right")]
    kind = np.searchsorted(np.cumsum(_KIND_SHARES)[:-1], rng.random(n_entities), side="right")
    elsewhere, dated = _long_legs(listed)
    kind = np.where((kind == OTHER_VENUE) & (elsewhere[short] < 0), SPOT_IN_OTHER_ACCOUNT, kind)
    kind = np.where((kind == DATED_FUTURE) & (dated[short] < 0), SPOT_IN_ACCOUNT, kind)
    long_leg = np.select([kind == OTHER_VENUE, kind == DATED_FUTURE], [elsewhere[short], dated[short]], -1)
    n_venues = int(listed.venue.max()) + 1
    home = listed.venue[short]
    size = np.exp(1.2 * rng.standard_normal(n_entities))
    return CarryTrades(
        kind=kind.astype(np.int32),
        short_instrument=short.astype(np.int32),
        long_instrument=long_leg.astype(np.int32),
        spot_asset=np.where(long_leg < 0, listed.underlying[short], -1).astype(np.int32),
        spot_venue=np.where(kind == SPOT_IN_OTHER_ACCOUNT, (home + 1) % n_venues, home).astype(np.int32),
        size=size / size.sum(),
        leverage=rng.uniform(2.0, 8.0, n_entities),
    )


def _long_legs(listed: Contracts) -> tuple[IntArray, IntArray]:
    """Return, for each instrument, the most popular ones on its underlying: (at another venue, dated at its own).

    -1 = there is none.
    """
    n_instruments = len(listed.venue)
    elsewhere = np.full(n_instruments, -1, dtype=np.int32)
    dated = np.full(n_instruments, -1, dtype=np.int32)
    by_popularity = np.argsort(-listed.share, kind="stable")
    for at in range(n_instruments):
        related = [j for j in by_popularity if listed.underlying[j] == listed.underlying[at]]
        elsewhere[at] = next((j for j in related if listed.venue[j] != listed.venue[at]), -1)
        dated[at] = next((j for j in related if listed.venue[j] == listed.venue[at] and not listed.is_perpetual[j]), -1)
    return elsewhere, dated


def net_usd(trades: CarryTrades, total_usd: float, n_instruments: int) -> FloatArray:
    """Return the net notional [i], longs less shorts, of trades that are short total_usd together."""
    has_contract = trades.long_instrument >= 0
    longs = sum_by(trades.long_instrument[has_contract], trades.size[has_contract], n_instruments)
    return total_usd * (longs - sum_by(trades.short_instrument, trades.size, n_instruments))


def short_open_interest(trades: CarryTrades, directional_gross_usd: float) -> float:
    """Return the USD short of all trades that makes them HEDGED_SHARE_OF_SHORTS of the short open interest.

    With T the open interest of one side, directional gross is 2 T less the trades' short legs and long contracts.
    """
    long_share = trades.size[trades.long_instrument >= 0].sum()
    open_interest = directional_gross_usd / (2.0 - HEDGED_SHARE_OF_SHORTS * (1.0 + long_share))
    return float(HEDGED_SHARE_OF_SHORTS * open_interest)


def carry_book(
    trades: CarryTrades, *, total_usd: float, first_account: int, first_entity: int, listed: Contracts
) -> CarryBook:
    """Return the accounts and legs of the trades, numbered from first_account and first_entity."""
    n_own = trades.n_entity_accounts
    start: OffsetArray = first_account + np.concatenate([[0], np.cumsum(n_own)[:-1]])
    short_account, other_account = start.astype(np.int32), (start + n_own - 1).astype(np.int32)
    usd = trades.size * total_usd
    has_contract, has_spot = trades.long_instrument >= 0, trades.spot_asset >= 0
    instrument = np.concatenate([trades.short_instrument, trades.long_instrument[has_contract]])
    account = np.concatenate([short_account, other_account[has_contract]])
    signed_usd = np.concatenate([-usd, usd[has_contract]])
    entity = np.repeat(np.arange(first_entity, first_entity + len(usd), dtype=np.int32), n_own)
    n_accounts = int(n_own.sum())
    venue = np.empty(n_accounts, dtype=np.int32)
    long_venue = np.where(has_contract, listed.venue[trades.long_instrument], trades.spot_venue)
    venue[other_account - first_account] = long_venue
    venue[short_account - first_account] = listed.venue[trades.short_instrument]
    notional = np.abs(signed_usd)
    initial = listed.initial_rate(instrument, notional) * notional
    own_margin = np.concatenate([usd / trades.leverage, (usd / trades.leverage)[has_contract]])
    margin = sum_by(account - first_account, np.maximum(own_margin, 2.0 * initial), n_accounts)
    spot_usd = sum_by(other_account[has_spot] - first_account, usd[has_spot], n_accounts)
    gross = sum_by(account - first_account, notional, n_accounts)
    equity = np.maximum(margin + spot_usd, 1.0)
    return CarryBook(
        accounts=Accounts(
            venue=venue,
            equity=equity,
            leverage=gross / equity,
            segment=np.full(n_accounts, BASIS, dtype=np.int8),
            weight=np.ones(n_accounts, dtype=np.int64),
            entity=entity,
            is_isolated=np.zeros(n_accounts, dtype=np.bool_),
            is_exempt=np.zeros(n_accounts, dtype=np.bool_),
        ),
        positions=Positions(
            account=account.astype(np.int32),
            instrument=instrument.astype(np.int32),
            lots=to_lots(signed_usd, instrument, listed),
            is_isolated=np.zeros(len(account), dtype=np.bool_),
            margin_usd=np.zeros(len(account)),
        ),
        spot_account=other_account[has_spot],
        spot_asset=trades.spot_asset[has_spot],
        spot_quantity=usd[has_spot] / listed.index_price[trades.spot_asset[has_spot]],
        margin_usd=margin,
    )
