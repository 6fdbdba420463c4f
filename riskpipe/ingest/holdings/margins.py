"""Margins: accounts' collateral ratios, how they move with the index, and those of delta-neutral owners."""

from collections.abc import Sequence

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray
from riskpipe.ingest.holdings.contracts import Contracts


def index_deltas(book: Book, contracts: Contracts, index_beta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What an account's equity and its notional gain per unit of index move, to first order, ([a], [a]) USD.

    Every asset moves by its beta and every basis stays: a mark moves by the beta of its underlying less that of its
    quote asset, PnL and balances with the asset that they are in. Haircuts and options are left out. For one account
    of a row.

    Parameters
    ----------
    index_beta: [c] move of each asset per unit of index move.
    """
    row = contracts.instrument
    beta = np.nan_to_num(index_beta)
    size = np.where(contracts.is_option, 0.0, book.position_quantity * book.instrument_multiplier[row])
    is_inverse, mark, entry = book.instrument_is_inverse[row], book.mark_price[row], book.position_entry_price
    payoff = np.where(is_inverse, -1.0 / mark, mark)
    offset = np.where(is_inverse, -1.0 / entry, entry)
    settlement = book.instrument_settlement[row]
    settled_at, quote = book.index_price[settlement], book.instrument_quote[row]
    moved = beta[book.instrument_underlying[row]] - beta[quote]
    gained = size * np.abs(payoff) * settled_at * moved  # d(-1/m) = (1/m) dm/m, dm = m dm/m
    gained = gained + size * (payoff - offset) * settled_at * beta[settlement]
    # a linear contract's notional is m S_q and follows its underlying, an inverse one's is S_q
    follows = np.where(is_inverse, beta[quote], beta[book.instrument_underlying[row]])
    notional = np.where(contracts.is_option, 0.0, np.abs(contracts.usd)) / book.account_weight[contracts.account]
    slots = book.slot_quantity * book.index_price[book.slot_asset] * beta[book.slot_asset]
    n = book.n_accounts
    equity = np.bincount(contracts.account, np.nan_to_num(gained), n) + np.bincount(book.slot_account, slots, n)
    return equity.astype(np.float64), np.bincount(contracts.account, notional * follows, n).astype(np.float64)


def collateral_ratios(
    book: Book,
    contracts: Contracts,
    index_beta: FloatArray,
    *,
    equity: FloatArray,
    maintenance_margin: FloatArray,
    interest: FloatArray,
    shares: Sequence[float],
) -> dict[str, FloatArray]:
    """Equity over maintenance margin by venue (v): in sum, and the ratios and slopes of shares of the accounts.

    The slope of an account's ratio E / M is |E' - (E / M) M'| / M per unit of index move, its margin M taken to move in
    proportion to its notional. A loan's ratio is its health factor (see `loan_ratios`); it is in no sum. Accounts
    without maintenance margin, other than loans, and portfolio accounts (their delta needs a model) are left out of
    shares; the former also of sums.

    Returns `equity`, `maintenance_margin`, `index_delta`, `ratio_accounts` [v], `collateral_ratio` and `ratio_slope`
    [v, shares], NaN where a venue has no such account; `index_delta` is NaN where they hold options.

    Parameters
    ----------
    index_beta: [c]. equity, maintenance_margin, interest: [a] USD, of one account of a row.
    shares: of accounts, weighted, in (0, 1]; smallest value that so many do not exceed.
    """
    venue, weight, n = book.account_venue, book.account_weight, book.n_venues
    delta, notional_delta = index_deltas(book, contracts, index_beta)
    must_hold = maintenance_margin > 0.0
    margin = np.where(must_hold, maintenance_margin, 1.0)
    follows = np.divide(notional_delta, interest, out=np.zeros(len(interest)), where=interest > 0.0)
    ratio = equity / margin
    slope = np.abs(delta / margin - ratio * follows)
    health, health_slope = loan_ratios(book, index_beta)
    is_loan = ~np.isnan(health)
    ratio, slope = np.where(is_loan, health, ratio), np.where(is_loan, health_slope, slope)

    def summed(amount: FloatArray, chosen: BoolArray) -> FloatArray:
        return np.bincount(venue[chosen], (amount * weight)[chosen], n).astype(np.float64)

    is_shared = (must_hold & ~book.account_is_portfolio) | is_loan
    shape = (n, len(shares))
    ratios, slopes = np.full(shape, np.nan), np.full(shape, np.nan)
    for v in range(n):
        rows = np.flatnonzero(is_shared & (venue == v))
        if len(rows):
            ratios[v] = weighted_quantiles(ratio[rows], weight[rows], shares)
            slopes[v] = weighted_quantiles(slope[rows], weight[rows], shares)
    # a sum that leaves options out, and has the futures that hedge them, is the delta of nothing
    is_optional = must_hold[contracts.account] & contracts.is_option & (contracts.usd != 0.0)
    has_options = np.bincount(venue[contracts.account[is_optional]], minlength=n) > 0
    return {
        "equity": summed(equity, must_hold),
        "maintenance_margin": summed(maintenance_margin, must_hold),
        "index_delta": np.where(has_options, np.nan, summed(delta, must_hold)),
        "ratio_accounts": summed(np.ones(len(weight)), is_shared),
        "collateral_ratio": ratios,
        "ratio_slope": slopes,
    }


def loan_ratios(book: Book, index_beta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Health factors of loans, collateral at its liquidation thresholds over debt, and their slopes, ([a], [a]).

    Slopes are sizes per unit of index move, every asset moving by its beta. NaN of accounts that are no loan or owe
    nothing.
    """
    account, asset = book.slot_account, book.slot_asset
    is_loan, venue = book.account_is_lending[account], book.account_venue[account]
    own = book.venue_price[venue, asset]
    of_venue = book.lending_threshold[venue, asset]
    threshold = np.nan_to_num(np.where(np.isnan(book.slot_threshold), of_venue, book.slot_threshold))
    price, beta = book.index_price[asset], np.nan_to_num(index_beta)[asset]
    held = np.maximum(book.slot_quantity, 0.0) * np.where(np.isnan(own), price, own) * threshold
    owed = np.maximum(-book.slot_quantity, 0.0) * price

    def summed(amount: FloatArray) -> FloatArray:
        return np.bincount(account, np.where(is_loan, np.nan_to_num(amount), 0.0), book.n_accounts).astype(np.float64)

    debt = summed(owed)
    owes = np.where(debt > 0.0, debt, np.nan)
    ratio = summed(held) / owes
    return ratio, np.abs(summed(held * beta) / owes - ratio * (summed(owed * beta) / owes))


def weighted_quantiles(values: FloatArray, weight: FloatArray, shares: Sequence[float]) -> FloatArray:
    """Smallest values that shares of the weight do not exceed, [shares]."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    place = np.searchsorted(reached, np.asarray(shares) * reached[-1] * (1.0 - 1e-12), side="left")
    return values[order][np.minimum(place, len(values) - 1)]


def neutral_margins(
    book: Book,
    *,
    is_neutral: BoolArray,
    equity: FloatArray,
    maintenance_margin: FloatArray,
    interest: FloatArray,
    is_nearby: Sequence[BoolArray],
) -> dict[str, FloatArray]:
    """What delta-neutral owners hold on every venue (v), and the margin it stands on: equity does not travel.

    Returns `neutral_interest`, `neutral_equity`, `neutral_maintenance_margin` USD and `neutral_owners` [v];
    `neutral_nearby` [v, directions] USD: their positions in accounts near liquidation.

    Parameters
    ----------
    is_neutral: [e]. equity, maintenance_margin, interest: [a] USD, of one account of a row.
    is_nearby: by direction, [a] accounts near liquidation.
    """
    chosen = is_neutral[book.account_entity] & (interest > 0.0)
    venue, weight, n = book.account_venue[chosen].astype(np.int64), book.account_weight[chosen], book.n_venues

    def summed(amount: FloatArray) -> FloatArray:
        return np.bincount(venue, amount[chosen] * weight, n).astype(np.float64)

    owners = np.unique(book.account_entity[chosen].astype(np.int64) * n + venue)
    return {
        "neutral_interest": summed(interest),
        "neutral_equity": summed(equity),
        "neutral_maintenance_margin": summed(maintenance_margin),
        "neutral_nearby": np.stack([summed(interest * near) for near in is_nearby], axis=1),
        "neutral_owners": np.bincount(owners % n, minlength=n).astype(np.float64),
    }
