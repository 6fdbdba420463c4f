"""Invented portfolio accounts on a recorded option market: who sells, who hedges, and what stands behind it.

Every account trades one coin, but market makers trade all: they take the other side of every option and future. What
all of them leave open in a coin's perpetual is taken by the basis desks, so that longs equal shorts in every contract.
Options are chosen by open interest, and nothing is held beyond it: who finds none left trades the perpetual. Collateral
is the coin: what the account's worst of some moves of price and volatility would cost (`_stress`, the shape of the
venue's scan, a little stricter), times a factor of 1.15 and more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from riskpipe.domain.book import BoolArray, FloatArray
from riskpipe.ingest.deribit_chain import VENUE, OptionMarket
from riskpipe.ingest.write import records
from riskpipe.pricing.black76 import delta, option_value

LEAST_ACCOUNTS = 20
_MOVES = tuple(
    (move, vol, 1.0, move)
    for move in (-0.18, -0.135, -0.09, -0.045, 0.0, 0.045, 0.09, 0.135, 0.18)
    for vol in (1, 0, -1)
) + tuple(
    (move, 1, weight, 0.18 if move > 0.0 else -0.18)
    for move, weight in (
        (-0.66, 0.2728),
        (-0.33, 0.5455),
        (0.5, 0.36),
        (1.0, 0.18),
        (2.0, 0.09),
        (3.0, 0.06),
        (4.0, 0.045),
        (5.0, 0.036),
    )
)  # price move, direction of volatility, weight, price move at which USD become coins
_VOL_UP, _VOL_DOWN, _VOL_POWER = 0.5, 0.25, 0.3
_LEAST_RAISED = 0.5
_ROLL = 0.03  # of the unsigned delta of each expiry
_LEAST_COVER = 1.15
_TRIES = 8  # of a trade that fits into the open interest
_MAKER_COVER = 1.6
_MEDIAN_SIZE = {"BTC": 3.0, "ETH": 30.0}  # coins
_ROLES = {
    "strangle seller": 0.2,
    "straddle seller": 0.1,
    "covered call": 0.2,
    "protective put": 0.1,
    "calendar spread": 0.1,
    "hedged seller": 0.1,
    "option buyer": 0.2,
}


@dataclass(frozen=True)
class _Chain:
    """One coin's instruments as arrays; `rows` are those of the market."""

    coin: str
    rows: np.ndarray
    is_option: BoolArray
    is_call: BoolArray
    strike: FloatArray
    forward: FloatArray
    expiry: np.ndarray  # number of the expiry, -1 = none
    weight: FloatArray  # chance of being chosen
    worth: FloatArray  # coins that one unit of size is worth
    delta: FloatArray  # coins per unit of size
    gains: FloatArray  # [move, i] coins that one unit of size gains
    unit: FloatArray  # size of a contract
    perpetual: int


Legs = dict[int, float]
"""Sizes by instrument of a chain: options in coins, inverse contracts in USD."""


def invented_accounts(market: OptionMarket, *, n_accounts: int, seed: int) -> dict[str, pa.Table]:
    """Return the tables of accounts, balances and positions; the same arguments give the same tables.

    Parameters
    ----------
    market: what is listed.
    n_accounts: at least `LEAST_ACCOUNTS`; one in twenty is a market maker, one in twenty a basis desk.
    seed: of the random numbers.

    Raises
    ------
    ValueError: too few accounts.
    """
    if n_accounts < LEAST_ACCOUNTS:
        raise ValueError(f"expected at least {LEAST_ACCOUNTS} accounts, got {n_accounts}")
    rng = np.random.default_rng(seed)
    chains = [_chain(market, coin.name, coin.contract_usd) for coin in market.coins]
    n_makers = n_desks = n_accounts // 20
    n_traders = n_accounts - n_makers - n_desks
    roles = rng.choice(list(_ROLES), n_traders, p=list(_ROLES.values())).tolist()
    roles += ["market maker"] * n_makers + ["basis desk"] * n_desks
    coins = rng.choice(len(chains), n_traders, p=_shares(chains))
    books: list[list[Legs]] = [[{} for _ in roles] for _ in chains]  # by chain and account
    taken = [np.zeros((2, len(chain.rows))) for chain in chains]  # longs and shorts so far
    for account in range(n_traders):
        chain = chains[coins[account]]
        size = _MEDIAN_SIZE[chain.coin] * rng.lognormal(0.0, 1.2)
        trades = [_STRATEGIES[roles[account]](chain, rng, size) for _ in range(_TRIES)]
        trade = _within_interest(chain, taken[coins[account]], trades)
        if not trade:
            roles[account] = "perpetual trader"
            side = 1.0 if rng.random() < 0.5 else -1.0
            trade = {chain.perpetual: side * size * float(chain.forward[chain.perpetual])}
        books[coins[account]][account] = trade
    for chain, legs in zip(chains, books, strict=True):
        _take_other_side(chain, legs, range(n_traders, n_traders + n_makers), rng)
        _hand_over_perpetuals(chain, legs, range(n_traders + n_makers, n_accounts), rng)
    return _tables(market, chains, books, roles, rng)


def _within_interest(chain: _Chain, taken: FloatArray, trades: list[Legs]) -> Legs:
    """Return the trade that fits best into what is open in its options, scaled to fit, and take it; taken [2, i].

    Nothing where not even a fiftieth of any of them fits.
    """
    best, most = trades[0], -1.0
    for legs in trades:
        options = [(i, size) for i, size in legs.items() if chain.is_option[i]]
        share = min((chain.weight[i] - taken[int(size < 0.0), i]) / abs(size) for i, size in options)
        if share > most:
            best, most = legs, float(share)
        if most >= 1.0:
            break
    if most < 0.02:
        return {}
    legs = {i: size * min(most, 1.0) for i, size in best.items()}
    for i, size in legs.items():
        taken[int(size < 0.0), i] += abs(size) if chain.is_option[i] else 0.0
    return legs


def _shares(chains: list[_Chain]) -> FloatArray:
    first = np.array([1.0] + [0.5] * (len(chains) - 1))
    return first / first.sum()


def _chain(market: OptionMarket, coin: str, contract_usd: float) -> _Chain:
    rows = np.flatnonzero((market.listed["coin"] == coin).to_numpy())
    listed = market.listed.iloc[rows]
    is_option = (listed["kind"] == "option").to_numpy()
    strike, forward, vol, years = (listed[name].to_numpy(np.float64) for name in ("strike", "forward", "vol", "years"))
    is_call, mark = listed["is_call"].to_numpy(bool), listed["mark"].to_numpy(np.float64)
    expiries = listed["expiry"]
    worth, deltas = np.zeros(len(rows)), 1.0 / mark
    gains = np.empty((len(_MOVES), len(rows)))
    for n, (move, _, weight, settled) in enumerate(_MOVES):
        gains[n] = weight * move / mark / (1.0 + settled)
    for ix in np.flatnonzero(is_option):
        terms = (bool(is_call[ix]), float(forward[ix]), float(strike[ix]), float(years[ix]), float(vol[ix]))
        worth[ix] = mark[ix]
        deltas[ix] = delta(*terms, 1.0) - mark[ix]
        gains[:, ix] = _option_gains(*terms)
    interest = np.where(is_option, listed["open_interest"].fillna(0.0).to_numpy(np.float64), 0.0)
    return _Chain(
        coin,
        rows,
        is_option,
        is_call,
        strike,
        forward,
        pd.factorize(expiries, sort=True)[0],
        interest,
        worth,
        deltas,
        gains,
        np.where(is_option, 1.0, contract_usd),
        int(np.flatnonzero((listed["kind"] == "perpetual").to_numpy())[0]),
    )


def _option_gains(is_call: bool, forward: float, strike: float, years: float, vol: float) -> FloatArray:
    """Return coins that one option gains in each move, as the venue's scan counts them."""
    now = option_value(is_call, forward, strike, years, vol, 1.0) / forward
    reach = (30.0 / max(years * 365.0, 1.0)) ** _VOL_POWER
    vols = {
        1: max(_LEAST_RAISED, vol * (1.0 + _VOL_UP * reach)),
        0: vol,
        -1: max(0.0, vol * (1.0 - _VOL_DOWN * reach)),
    }
    return np.array(
        [
            weight
            * (
                option_value(is_call, forward * (1.0 + move), strike, years, vols[way], 1.0) / (1.0 + move) / forward
                - now
            )
            * (1.0 + move)
            / (1.0 + settled)
            for move, way, weight, settled in _MOVES
        ]
    )


# --- strategies ------------------------------------------------------------------------------------------------------


def _pick(chain: _Chain, rng: np.random.Generator, allowed: BoolArray) -> int:
    """Return an instrument chosen by open interest among those allowed, or any option where none is."""
    weight = np.where(allowed & chain.is_option, chain.weight, 0.0)
    if not weight.any():
        weight = np.where(chain.is_option, chain.weight + 1.0, 0.0)
    return int(rng.choice(len(weight), p=weight / weight.sum()))


def _near(chain: _Chain, low: float, high: float) -> BoolArray:
    """Return which instruments have a strike from low to high of their forward."""
    share = np.divide(chain.strike, chain.forward)
    return (share >= low) & (share <= high)


def _strangle(chain: _Chain, rng: np.random.Generator, size: float) -> Legs:
    call = _pick(chain, rng, chain.is_call & _near(chain, 1.05, 1.8))
    put = _pick(chain, rng, ~chain.is_call & _near(chain, 0.5, 0.95) & (chain.expiry == chain.expiry[call]))
    return _summed((call, -size), (put, -size))


def _straddle(chain: _Chain, rng: np.random.Generator, size: float) -> Legs:
    call = _pick(chain, rng, chain.is_call & _near(chain, 0.93, 1.07))
    same = (chain.strike == chain.strike[call]) & (chain.expiry == chain.expiry[call]) & ~chain.is_call
    twins = np.flatnonzero(same & chain.is_option)
    put = int(twins[0]) if len(twins) else _pick(chain, rng, ~chain.is_call & _near(chain, 0.93, 1.07))
    return _summed((call, -size), (put, -size))


def _covered_call(chain: _Chain, rng: np.random.Generator, size: float) -> Legs:
    return {_pick(chain, rng, chain.is_call & _near(chain, 1.0, 2.0)): -size}


def _protective_put(chain: _Chain, rng: np.random.Generator, size: float) -> Legs:
    put = _pick(chain, rng, ~chain.is_call & _near(chain, 0.5, 1.0))
    return _summed((put, size), (chain.perpetual, size * float(chain.forward[chain.perpetual])))


def _calendar(chain: _Chain, rng: np.random.Generator, size: float) -> Legs:
    near = _pick(chain, rng, _near(chain, 0.7, 1.5) & (chain.expiry < chain.expiry.max()))
    later = (chain.expiry > chain.expiry[near]) & (chain.is_call == chain.is_call[near])
    closest = np.abs(np.divide(chain.strike, chain.strike[near]) - 1.0) < 0.1
    return _summed((near, -size), (_pick(chain, rng, later & closest), size))


def _hedged_seller(chain: _Chain, rng: np.random.Generator, size: float) -> Legs:
    """Sell an option, hedge its delta with the perpetual or a future of its expiry."""
    option = _pick(chain, rng, _near(chain, 0.6, 1.5))
    futures = np.flatnonzero(~chain.is_option & (chain.expiry == chain.expiry[option]))
    hedge = int(futures[0]) if len(futures) and rng.random() < 0.5 else chain.perpetual
    return _summed((option, -size), (hedge, size * float(chain.delta[option] / chain.delta[hedge])))


def _buyer(chain: _Chain, rng: np.random.Generator, size: float) -> Legs:
    return {_pick(chain, rng, _near(chain, 0.5, 2.0)): size}


_STRATEGIES: dict[str, Callable[[_Chain, np.random.Generator, float], Legs]] = {
    "strangle seller": _strangle,
    "straddle seller": _straddle,
    "covered call": _covered_call,
    "protective put": _protective_put,
    "calendar spread": _calendar,
    "hedged seller": _hedged_seller,
    "option buyer": _buyer,
}


def _summed(*legs: tuple[int, float]) -> Legs:
    total: Legs = {}
    for instrument, size in legs:
        total[instrument] = total.get(instrument, 0.0) + size
    return total


# --- the other side, collateral, rows --------------------------------------------------------------------------------


def _net(chain: _Chain, legs: list[Legs]) -> FloatArray:
    net = np.zeros(len(chain.rows))
    for own in legs:
        for instrument, size in own.items():
            net[instrument] += size
    return net


def _take_other_side(chain: _Chain, legs: list[Legs], makers: range, rng: np.random.Generator) -> None:
    """Give all but perpetuals to market makers, each hedging its delta with the perpetual, all but a tenth."""
    net = _net(chain, legs)
    net[chain.perpetual] = 0.0
    for instrument in np.flatnonzero(net):
        share = rng.dirichlet(np.ones(len(makers)))
        for maker, part in zip(makers, share, strict=True):
            legs[maker][int(instrument)] = -float(net[instrument] * part)
    for maker in makers:
        own = sum(size * float(chain.delta[instrument]) for instrument, size in legs[maker].items())
        legs[maker][chain.perpetual] = -own * rng.uniform(0.9, 1.0) / float(chain.delta[chain.perpetual])


def _hand_over_perpetuals(chain: _Chain, legs: list[Legs], desks: range, rng: np.random.Generator) -> None:
    left = float(_net(chain, legs)[chain.perpetual])
    for desk, part in zip(desks, rng.dirichlet(np.ones(len(desks))), strict=True):
        legs[desk][chain.perpetual] = -left * float(part)


def _stress(chain: _Chain, legs: Legs) -> float:
    """Return the coins that a portfolio may lose: the worst of the moves, and a share of each expiry's delta."""
    instruments, sizes = list(legs), np.array(list(legs.values()))
    worst = -float((chain.gains[:, instruments] @ sizes).min(initial=0.0))
    net = np.bincount(chain.expiry[instruments] + 1, sizes * chain.delta[instruments])
    return worst + _ROLL * float(np.abs(net).sum())


def _tables(
    market: OptionMarket, chains: list[_Chain], books: list[list[Legs]], roles: list[str], rng: np.random.Generator
) -> dict[str, pa.Table]:
    names = market.listed["instrument_id"].tolist()
    marks = market.listed["mark"].to_numpy(np.float64)
    accounts: list[dict[str, Any]] = []
    balances: list[dict[str, Any]] = []
    positions: list[dict[str, Any]] = []
    for account, role in enumerate(roles):
        account_id = f"{VENUE}-{account:05d}"
        accounts.append(
            {
                "account_id": account_id,
                "venue": VENUE,
                "kind": "margin",
                "margin_mode": "portfolio",
                "entity_id": f"owner-{account:05d}",
                "segment": role,
            }
        )
        cover = _LEAST_COVER + 0.5 * rng.lognormal(0.0, 0.9)
        if role in {"market maker", "basis desk"}:
            cover += _MAKER_COVER - _LEAST_COVER
        for chain, legs in zip(chains, (book[account] for book in books), strict=True):
            own = {instrument: size for instrument, size in sorted(legs.items()) if size != 0.0}
            if not own:
                continue
            coins = cover * _stress(chain, own)
            for instrument, size in own.items():
                row = int(chain.rows[instrument])
                mark = float(marks[row])
                is_option = bool(chain.is_option[instrument])
                entry = mark * float(rng.lognormal(0.0, 0.2 if is_option else 0.03))
                coins -= size * mark if is_option else size * (1.0 / entry - 1.0 / mark)
                positions.append(
                    {
                        "account_id": account_id,
                        "instrument_id": names[row],
                        "quantity": size / float(chain.unit[instrument]),
                        "entry_price": entry,
                    }
                )
            if role == "covered call":
                coins = max(coins, -min(own.values()))  # the coins that cover it
            balances.append({"account_id": account_id, "asset": chain.coin, "quantity": max(coins, 0.0)})
    return {
        "accounts": records("accounts", accounts),
        "balances": records("balances", balances),
        "positions": records("positions", positions),
    }
