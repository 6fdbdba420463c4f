"""What accounts hold beside positions: entry prices, collateral in one or several assets, borrowed assets."""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import FloatArray, IntArray
from riskpipe.ingest.synthetic.contracts import Contracts
from riskpipe.ingest.synthetic.description import MarketDescription
from riskpipe.ingest.synthetic.population import Accounts
from riskpipe.ingest.synthetic.sums import sum_by
from riskpipe.ingest.synthetic.trading import Positions

_WIDEST_ENTRY = 0.10  # standard deviation of entry prices around the mark, of accounts without leverage
_LOSS_BUDGET = 0.25  # standard deviation of a levered account's PnL over its equity
_SETTLEMENT_SHARE = 0.85  # accounts whose main collateral is what their largest position settles in
_SECOND_ASSET_SHARE, _THIRD_ASSET_SHARE = 0.30, 0.10
_SIMPLE_ABOVE_LEVERAGE = 5.0  # levered accounts keep one asset: haircuts would eat their margin
_BORROWER_SHARE = 0.04
_QUANTITY_DECIMALS = 8


@dataclass(frozen=True)
class Balances:
    """Balances as columns (n rows); rows of one account and asset add up."""

    account: IntArray
    asset: IntArray
    quantity: FloatArray

    def __len__(self) -> int:
        """Count rows."""
        return len(self.account)


def join_balances(parts: list[Balances]) -> Balances:
    """Return the balances of every part ordered by account, rounded as venues keep them, without zero rows."""
    account = np.concatenate([part.account for part in parts]).astype(np.int32)
    order = np.argsort(account, kind="stable")
    asset = np.concatenate([part.asset for part in parts])[order].astype(np.int32)
    quantity = np.round(np.concatenate([part.quantity for part in parts])[order], _QUANTITY_DECIMALS)
    kept = quantity != 0.0
    return Balances(account[order][kept], asset[kept], quantity[kept])


def entry_prices(rng: np.random.Generator, accounts: Accounts, positions: Positions, listed: Contracts) -> FloatArray:
    """Return entry prices spread around the marks.

    The more levered the pool, the closer: no pool's loss since entry exceeds its equity.
    """
    notional = positions.notional(listed)
    leverage = np.where(
        positions.is_isolated,
        notional / np.maximum(positions.margin_usd, 1e-9),
        sum_by(positions.account, notional, len(accounts))[positions.account] / accounts.equity[positions.account],
    )
    spread = np.minimum(_WIDEST_ENTRY, _LOSS_BUDGET / np.maximum(leverage, 1e-3))
    deviate = np.clip(rng.standard_normal(len(positions)), -1.8, 1.8)
    mark = listed.mark_price[positions.instrument]
    digits = 6 - np.floor(np.log10(mark))
    scale = 10.0**digits
    return np.rint(mark * (1.0 + spread * deviate) * scale) / scale


def accepted_assets(market: MarketDescription, listed: Contracts) -> list[IntArray]:
    """Return, by venue, the assets that earn credit as collateral, the most popular first."""
    accepted = []
    for venue in market.venues:
        names = dict.fromkeys(band.asset for band in market.collateral if band.venue == venue and band.haircut < 1.0)
        known = [listed.assets.index(name) for name in names if name in listed.assets]
        accepted.append(np.array(known, dtype=np.int32))
    return accepted


def directional_balances(
    rng: np.random.Generator,
    accounts: Accounts,
    positions: Positions,
    entry_price: FloatArray,
    *,
    market: MarketDescription,
    listed: Contracts,
) -> Balances:
    """Return collateral such that each account's equity before haircuts is what was drawn for it.

    The accounts given are numbers 0 to n - 1; positions of higher account numbers are left aside.
    """
    n_accounts = len(accounts)
    own = positions.account < n_accounts
    account, instrument = positions.account[own], positions.instrument[own]
    settlement = listed.settlement[instrument]
    pnl_usd = listed.pnl(instrument, positions.quantity(listed)[own], entry_price[own]) * listed.index_price[settlement]
    set_apart = sum_by(account, pnl_usd + positions.margin_usd[own], n_accounts)
    value = np.maximum(accounts.equity - set_apart, 0.02 * accounts.equity)
    main = _main_asset(rng, accounts, account, settlement, positions.notional(listed)[own], market, listed)
    parts: list[Balances] = []
    left = np.ones(n_accounts)
    second_draw, share_draws = rng.random(n_accounts), rng.random((2, n_accounts))
    may_mix = accounts.leverage <= _SIMPLE_ABOVE_LEVERAGE
    accepted = accepted_assets(market, listed)
    for extra, share_of_accounts in enumerate((_SECOND_ASSET_SHARE, _THIRD_ASSET_SHARE)):
        has_extra = may_mix & (second_draw < share_of_accounts)
        asset = _pick_asset(rng, accounts.venue, accepted)
        share = np.where(has_extra, 0.05 + 0.40 * share_draws[extra], 0.0)
        left -= share
        parts.append(_holding(np.flatnonzero(has_extra), asset, share * value, listed))
    parts.insert(0, _holding(np.arange(n_accounts), main, left * value, listed))
    # A borrower holds more of one asset and owes as much of another: equity is unchanged, risk is not.
    borrows = may_mix & ~accounts.is_isolated & (rng.random(n_accounts) < _BORROWER_SHARE)
    debt = accounts.equity * rng.uniform(0.1, 0.8, n_accounts)
    bought, owed = _pick_asset(rng, accounts.venue, accepted), _pick_asset(rng, accounts.venue, accepted)
    rows = np.flatnonzero(borrows & (bought != owed))
    parts.extend([_holding(rows, bought, debt, listed), _holding(rows, owed, -debt, listed)])
    return join_balances(parts)


def _main_asset(
    rng: np.random.Generator,
    accounts: Accounts,
    account: IntArray,
    settlement: IntArray,
    notional: FloatArray,
    market: MarketDescription,
    listed: Contracts,
) -> IntArray:
    """Return each account's main collateral: what its largest position settles in, or else the venue's favourite."""
    favourite = np.array([assets[0] for assets in accepted_assets(market, listed)], dtype=np.int32)[accounts.venue]
    order = np.lexsort((notional, account))
    last = np.flatnonzero(np.diff(account[order], append=-1) != 0)
    largest = favourite.copy()
    largest[account[order][last]] = settlement[order][last]
    return np.where(rng.random(len(accounts)) < _SETTLEMENT_SHARE, largest, favourite).astype(np.int32)


def _pick_asset(rng: np.random.Generator, venue: IntArray, accepted: list[IntArray]) -> IntArray:
    """Return one accepted asset per account, the k-th most popular with odds 1 / k."""
    draw = rng.random(len(venue))
    picked = np.empty(len(venue), dtype=np.int32)
    for at, assets in enumerate(accepted):
        odds = 1.0 / np.arange(1, len(assets) + 1)
        chosen = assets[np.searchsorted(np.cumsum(odds / odds.sum())[:-1], draw, side="right")]
        picked = np.where(venue == at, chosen, picked)
    return picked


def _holding(rows: np.ndarray, asset: IntArray, usd: FloatArray, listed: Contracts) -> Balances:
    """Return one balance row for each account in rows, from columns over all accounts."""
    held = asset[rows]
    return Balances(rows.astype(np.int32), held, usd[rows] / listed.index_price[held])
