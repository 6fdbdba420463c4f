"""Book: one or several snapshots of one instant as plain arrays, in the order in which everything is computed.

Canonical order, on which bits depend: accounts in the order of the joined snapshots; of each account the cross pool
first, then its isolated pools in row order; in a pool positions by instrument index, then row order, and slots (one for
each asset it holds, owes or settles in) by asset index. A lending account is one pool without positions; an asset that
it both holds and owes has two slots, the collateral first: a protocol does not net them. Index arrays ending `_start`
have one more entry than what they index: the members of x are `start[x]:start[x + 1]`.

Numbers are as given in the snapshot: NaN where it has none. Defaults, betas and depths are chosen in `calibrate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Numbers = FloatArray | float  # one, or an array of them
IntArray = NDArray[np.int32]
OffsetArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_YEAR = 365.0 * 86_400.0 * 1e6


class InstrumentKind(IntEnum):
    """Codes of `Book.instrument_kind`."""

    PERPETUAL = 0
    FUTURE = 1
    OPTION = 2


def _left_out() -> Any:  # noqa: ANN401  an array once the book is made
    return None


@dataclass(frozen=True)
class Book:
    """One portfolio as arrays.

    Shapes in brackets: a accounts, p pools, q positions, k slots, i instruments, c assets, v venues, f funds, e
    entities, t tiers, b collateral bands.
    """

    as_of: datetime
    numeraire: str
    labels: Mapping[str, pa.StringArray]
    """account [a], venue [v], asset [c], instrument [i], fund [f], entity [e], segment: string arrays."""

    # accounts
    account_venue: IntArray  # [a]
    account_entity: IntArray  # [a] an account without entity_id is its own entity, labelled by its account_id
    account_has_entity: BoolArray  # [a] false where entity_id was null
    account_segment: IntArray  # [a] -1 = none
    account_weight: FloatArray  # [a] > 0
    account_is_exempt: BoolArray  # [a]
    account_reported_equity: FloatArray  # [a] USD, NaN = not reported
    account_reported_maintenance_margin: FloatArray  # [a] USD, NaN = not reported
    account_pool_start: OffsetArray  # [a + 1]
    entity_account_start: OffsetArray  # [e + 1]
    entity_account: IntArray  # [a] accounts grouped by entity, ascending inside each

    # margin pools
    pool_account: IntArray  # [p]
    pool_is_isolated: BoolArray  # [p]
    pool_position_start: OffsetArray  # [p + 1]
    pool_slot_start: OffsetArray  # [p + 1]
    position_instrument: IntArray  # [q]
    position_quantity: FloatArray  # [q] contracts, signed
    position_entry_price: FloatArray  # [q] quote units
    position_slot: IntArray  # [q] slot of its settlement asset, counted from its pool's first slot
    slot_asset: IntArray  # [k]
    slot_quantity: FloatArray  # [k] units of the asset; negative = borrowed; 0 where only PnL settles

    # instruments and their quotes
    instrument_venue: IntArray  # [i]
    instrument_kind: IntArray  # [i] InstrumentKind
    instrument_underlying: IntArray  # [i] asset
    instrument_quote: IntArray  # [i] asset
    instrument_settlement: IntArray  # [i] asset
    instrument_multiplier: FloatArray  # [i]
    instrument_is_inverse: BoolArray  # [i]
    instrument_expiry_us: OffsetArray  # [i] microseconds since 1970, -1 = none
    instrument_fund: IntArray  # [i]
    instrument_tier_start: OffsetArray  # [i + 1] each instrument's own copy of its schedule
    tier_floor: FloatArray  # [t] USD
    tier_initial_rate: FloatArray  # [t]
    tier_maintenance_rate: FloatArray  # [t]
    tier_deduction: FloatArray  # [t] USD
    mark_price: FloatArray  # [i] quote units; options: units of the settlement asset
    funding_rate: FloatArray  # [i] per interval
    funding_interval_hours: FloatArray  # [i]
    open_interest: FloatArray  # [i] contracts
    adv_usd: FloatArray  # [i]
    daily_vol: FloatArray  # [i]
    depth_usd_1pct: FloatArray  # [i] USD that moves the price 1%
    table_depth_bid: FloatArray  # [i] USD per unit of relative move, from the depth table, for sales
    table_depth_ask: FloatArray  # [i] the same for purchases

    # assets
    index_price: FloatArray  # [c] USD, the venue-null row
    index_beta: FloatArray  # [c] NaN = not given
    index_depth_usd_1pct: FloatArray  # [c] USD of spot flow that moves the index 1%
    venue_price: FloatArray  # [v, c] USD, a venue's own row; NaN = none

    # collateral: bands of (venue, asset) at row venue * len(asset) + asset; none = no credit
    collateral_band_start: OffsetArray  # [v * c + 1]
    band_floor: FloatArray  # [b] USD
    band_haircut: FloatArray  # [b]
    borrow_maintenance_rate: FloatArray  # [v, c] 0 where none is given

    # insurance funds: every fund listed, then a fund named after each venue that needs one and lists none
    fund_venue: IntArray  # [f]
    fund_asset: IntArray  # [f]
    fund_balance: FloatArray  # [f] units of the asset
    venue_fund: IntArray  # [v] the fund named after the venue, -1 where nothing can fall to it

    # loans; left out: no account is one, and no terms are given
    account_is_lending: BoolArray = field(default_factory=_left_out)  # [a]
    slot_threshold: FloatArray = field(default_factory=_left_out)  # [k] its owner's own, NaN = the venue's; loans only
    lending_threshold: FloatArray = field(default_factory=_left_out)  # [v, c] of collateral, NaN = none: it counts 0
    lending_bonus: FloatArray = field(default_factory=_left_out)  # [v, c] on what a liquidation takes, NaN = none
    close_factor: FloatArray = field(default_factory=_left_out)  # [v, c] share of a debt closed at once, NaN = none

    # portfolio margin and options; left out: no account is margined so, no instrument is an option
    account_is_portfolio: BoolArray = field(default_factory=_left_out)  # [a]
    instrument_strike: FloatArray = field(default_factory=_left_out)  # [i] options: quote units; NaN else
    instrument_is_call: BoolArray = field(default_factory=_left_out)  # [i] options
    implied_vol: FloatArray = field(default_factory=_left_out)  # [i] options: as quoted, a year; NaN = not given

    def __post_init__(self) -> None:
        """Fill in what is left out."""
        terms = (self.n_venues, self.n_assets)
        for name, shape, neutral in (
            ("account_is_lending", self.n_accounts, False),
            ("slot_threshold", len(self.slot_asset), np.nan),
            ("lending_threshold", terms, np.nan),
            ("lending_bonus", terms, np.nan),
            ("close_factor", terms, np.nan),
            ("account_is_portfolio", self.n_accounts, False),
            ("instrument_strike", self.n_instruments, np.nan),
            ("instrument_is_call", self.n_instruments, False),
            ("implied_vol", self.n_instruments, np.nan),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(shape, neutral))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every array by field name, in declaration order."""
        return {spec.name: value for spec in fields(self) if isinstance(value := getattr(self, spec.name), np.ndarray)}

    def names(self, dimension: str) -> list[str]:
        """Return the labels of a dimension (account, venue, asset, instrument, fund, entity, segment) as strings."""
        return [str(label) for label in self.labels[dimension].to_pylist()]

    @property
    def underlyings(self) -> IntArray:
        """Assets that forced closing sells or buys: underlyings of contracts, collateral of loans; [u] ascending."""
        return np.union1d(self.instrument_underlying, self.loan_collateral).astype(np.int32)

    @property
    def loan_collateral(self) -> IntArray:
        """Assets held by lending accounts; ascending."""
        return np.unique(self.slot_asset[self.account_is_lending[self.slot_account] & (self.slot_quantity > 0.0)])

    @property
    def is_option(self) -> BoolArray:
        """Tell which instruments are options, [i]."""
        return np.asarray(self.instrument_kind == InstrumentKind.OPTION)

    @property
    def pool_is_portfolio(self) -> BoolArray:
        """Tell which pools are margined as portfolios, [p]: the cross pools of portfolio accounts."""
        return np.asarray(self.account_is_portfolio[self.pool_account] & ~self.pool_is_isolated)

    @property
    def years_to_expiry(self) -> FloatArray:
        """Years of 365 days from as_of to each instrument's expiry, [i]; 0 where it has none."""
        as_of_us = (self.as_of - _EPOCH) // timedelta(microseconds=1)
        left = np.where(self.instrument_expiry_us < 0, 0, self.instrument_expiry_us - as_of_us)
        return np.maximum(0.0, left / _US_PER_YEAR)

    @property
    def slot_account(self) -> IntArray:
        """Account of each slot, [k]."""
        return np.repeat(self.pool_account, np.diff(self.pool_slot_start))

    @property
    def n_accounts(self) -> int:
        """Count accounts (rows, not weights)."""
        return len(self.account_venue)

    @property
    def n_pools(self) -> int:
        """Count margin pools."""
        return len(self.pool_account)

    @property
    def n_positions(self) -> int:
        """Count positions."""
        return len(self.position_instrument)

    @property
    def n_instruments(self) -> int:
        """Count instruments."""
        return len(self.instrument_venue)

    @property
    def n_assets(self) -> int:
        """Count assets."""
        return len(self.index_price)

    @property
    def n_venues(self) -> int:
        """Count venues."""
        return len(self.labels["venue"])

    @property
    def n_funds(self) -> int:
        """Count insurance funds."""
        return len(self.fund_venue)
