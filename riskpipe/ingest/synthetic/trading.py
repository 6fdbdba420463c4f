"""What is held: positions of directional accounts, cash-and-carry trades, and market makers who take the other side.

Contracts long and short must balance in every instrument, so sides are drawn in three steps: most accounts take a side
by chance (small ones are long more often than large ones), the largest positions take the side that balances their
instrument, and market makers hold what is left over.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import BoolArray, FloatArray, IntArray
from riskpipe.ingest.synthetic.contracts import Contracts
from riskpipe.ingest.synthetic.population import Accounts
from riskpipe.ingest.synthetic.sums import sum_by

_STOP_PROBABILITY = 0.4  # positions per account: 1 + geometric, median 2
_MOST_POSITIONS = 8
_RICH_EQUITY, _MORE_OF_RICH = 1e6, 4  # the largest accounts spread over markets
_SHARE_OF_EQUITY_AS_INITIAL_MARGIN = 0.9
_SHORT_SHARE_OF_SMALL = 0.27
_LARGE_SHARE = 0.05
_KEEPS_DIRECTION = 0.9
_N_BALANCING = 2_000
_INVENTORY = 0.003  # standard deviation of one maker's own inventory, per open interest


@dataclass(frozen=True)
class Positions:
    """Positions as columns (n positions). Lots are integers, so that sums over accounts are exact."""

    account: IntArray
    instrument: IntArray
    lots: np.ndarray  # [n] int64, signed
    is_isolated: BoolArray
    margin_usd: FloatArray  # [n] USD set apart when isolated, else 0

    def __len__(self) -> int:
        """Count positions."""
        return len(self.account)

    def quantity(self, listed: Contracts) -> FloatArray:
        """Return signed contracts."""
        return self.lots / listed.lots_per_contract[self.instrument]

    def notional(self, listed: Contracts) -> FloatArray:
        """Return USD notional, unsigned, of one account (weights apart)."""
        return np.abs(self.quantity(listed)) * listed.contract_usd[self.instrument]


def join_positions(parts: list[Positions]) -> Positions:
    """Return the positions of every part ordered by account, then as drawn."""
    account = np.concatenate([part.account for part in parts])
    order = np.argsort(account, kind="stable")
    return Positions(
        account=account[order],
        instrument=np.concatenate([part.instrument for part in parts])[order],
        lots=np.concatenate([part.lots for part in parts])[order],
        is_isolated=np.concatenate([part.is_isolated for part in parts])[order],
        margin_usd=np.concatenate([part.margin_usd for part in parts])[order],
    )


def to_lots(usd: FloatArray, instrument: IntArray, listed: Contracts) -> np.ndarray:
    """Return signed USD amounts as whole lots, never none of a position wanted."""
    lots = np.rint(usd / listed.contract_usd[instrument] * listed.lots_per_contract[instrument]).astype(np.int64)
    return np.where(lots == 0, np.where(usd < 0.0, -1, 1), lots)


def directional_positions(
    rng: np.random.Generator,
    accounts: Accounts,
    listed: Contracts,
    *,
    other_net_usd: FloatArray,
) -> Positions:
    """Return the positions of directional accounts, sized by their leverage and by the venue's initial margin.

    other_net_usd [i] is the net notional, longs less shorts, that others already hold and that these accounts balance.
    """
    account, instrument = _choose_instruments(rng, accounts, listed)
    notional, margin, is_isolated = _sizes(rng, accounts, listed, account, instrument)
    sides = _sides(rng, accounts, listed, account, instrument, notional, other_net_usd)
    return Positions(account, instrument, to_lots(sides * notional, instrument, listed), is_isolated, margin)


def _choose_instruments(rng: np.random.Generator, accounts: Accounts, listed: Contracts) -> tuple[IntArray, IntArray]:
    """Return (account, instrument) pairs: each account's own number of instruments of its venue, by popularity."""
    n_wanted = rng.geometric(_STOP_PROBABILITY, len(accounts)) + _MORE_OF_RICH * (accounts.equity >= _RICH_EQUITY)
    n_wanted = np.minimum(n_wanted, _MOST_POSITIONS)
    chosen_accounts, chosen_instruments = [], []
    for venue in range(int(listed.venue.max()) + 1):
        members = np.flatnonzero(accounts.venue == venue).astype(np.int32)
        offered = np.flatnonzero(listed.venue == venue).astype(np.int32)
        # The order of exponential clocks with the shares as rates is a draw without replacement.
        clocks = rng.standard_exponential((len(members), len(offered)), dtype=np.float32)
        clocks /= listed.share[offered].astype(np.float32)
        n_most = min(_MOST_POSITIONS, len(offered))
        first = np.argpartition(clocks, n_most - 1, axis=1)[:, :n_most] if n_most < len(offered) else None
        if first is not None:
            clocks = np.take_along_axis(clocks, first, axis=1)
        ranked = np.argsort(clocks, axis=1)
        if first is not None:
            ranked = np.take_along_axis(first, ranked, axis=1)
        is_taken = np.arange(n_most) < n_wanted[members][:, None]
        chosen_accounts.append(np.repeat(members, is_taken.sum(axis=1)))
        chosen_instruments.append(offered[ranked[is_taken]])
    account = np.concatenate(chosen_accounts)
    order = np.argsort(account, kind="stable")
    return account[order], np.concatenate(chosen_instruments)[order]


def _sizes(
    rng: np.random.Generator, accounts: Accounts, listed: Contracts, account: IntArray, instrument: IntArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return unsigned USD notionals, isolated margins and which positions are isolated."""
    n_accounts = len(accounts)
    popularity = listed.share[instrument]
    is_rich = accounts.equity[account] >= _RICH_EQUITY
    part = rng.standard_gamma(2.0, len(account)) * popularity ** np.where(is_rich, 0.5, 0.25)
    part /= sum_by(account, part, n_accounts)[account]
    notional = part * (accounts.equity * accounts.leverage)[account]
    is_isolated = accounts.is_isolated[account]
    initial_rate = listed.initial_rate(instrument, notional)
    own_leverage = np.clip(10.0 * np.exp(0.7 * rng.standard_normal(len(account))), 2.0, 50.0)
    isolated_rate = np.maximum(1.0 / own_leverage, 1.4 * initial_rate)
    needed = np.where(is_isolated, isolated_rate, initial_rate) * notional
    # Rates never fall as positions grow, so scaling down by the excess is enough in one step.
    allowed = _SHARE_OF_EQUITY_AS_INITIAL_MARGIN * accounts.equity
    scale = np.minimum(1.0, allowed / sum_by(account, needed, n_accounts).clip(min=1e-12))[account]
    notional *= scale
    return notional, np.where(is_isolated, isolated_rate * notional, 0.0), is_isolated


def _sides(
    rng: np.random.Generator,
    accounts: Accounts,
    listed: Contracts,
    account: IntArray,
    instrument: IntArray,
    notional: FloatArray,
    other_net_usd: FloatArray,
) -> FloatArray:
    """Return +1 or -1 per position; see the module's account of how sides balance."""
    n_accounts = len(accounts)
    weighted = notional * accounts.weight[account]
    gross = sum_by(account, weighted, n_accounts)
    is_large = gross >= np.quantile(gross, 1.0 - _LARGE_SHARE)
    total, large = gross.sum(), gross[is_large].sum()
    wanted_short = 0.5 + 0.5 * other_net_usd.sum() / total
    of_large = (wanted_short * total - _SHORT_SHARE_OF_SMALL * (total - large)) / large
    short_share = np.where(is_large, np.clip(of_large, 0.2, 0.9), _SHORT_SHARE_OF_SMALL)
    # The more levered of the small ones are longs more often.
    short_share = np.clip(short_share - 0.04 * np.clip(np.log(accounts.leverage), -2.0, 2.0) * ~is_large, 0.05, 0.95)
    direction = np.where(rng.random(n_accounts) < short_share, -1.0, 1.0)
    side = direction[account] * np.where(rng.random(len(account)) < _KEEPS_DIRECTION, 1.0, -1.0)
    largest = np.argsort(-weighted, kind="stable")[: min(_N_BALANCING, max(len(account) // 10, len(listed.venue)))]
    net = other_net_usd + sum_by(instrument, side * weighted, len(listed.venue))
    net -= sum_by(instrument[largest], (side * weighted)[largest], len(listed.venue))
    for position in largest:
        at = instrument[position]
        side[position] = -1.0 if net[at] > 0.0 else 1.0
        net[at] += side[position] * weighted[position]
    return side


def maker_positions(
    rng: np.random.Generator,
    *,
    first_account: int,
    venues: IntArray,
    net_lots: np.ndarray,
    gross_usd: FloatArray,
    listed: Contracts,
) -> Positions:
    """Return market makers' positions: together exactly -net_lots [i], apart with inventories of their own.

    Maker number k is account first_account + k on venues[k]; gross_usd [i] is the open interest others hold, of
    which an inventory is a small part.
    """
    accounts, instruments, lots = [], [], []
    for at, venue in enumerate(listed.venue):
        makers = first_account + np.flatnonzero(venues == venue)
        unit = listed.lots_per_contract[at] / listed.contract_usd[at]
        inventory = np.rint(_INVENTORY * gross_usd[at] * unit * rng.standard_normal(len(makers))).astype(np.int64)
        fraction = rng.dirichlet(np.full(len(makers), 4.0))
        taken = np.rint(-net_lots[at] * fraction).astype(np.int64) + inventory
        taken[-1] = -net_lots[at] - taken[:-1].sum()
        held = taken != 0
        accounts.append(makers[held])
        instruments.append(np.full(int(held.sum()), at))
        lots.append(taken[held])
    n_positions = sum(map(len, lots))
    return Positions(
        account=np.concatenate(accounts).astype(np.int32),
        instrument=np.concatenate(instruments).astype(np.int32),
        lots=np.concatenate(lots),
        is_isolated=np.zeros(n_positions, dtype=np.bool_),
        margin_usd=np.zeros(n_positions),
    )
