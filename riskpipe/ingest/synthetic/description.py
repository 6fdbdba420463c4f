"""Market description: all that invented accounts need to know of a market, be it invented or recorded."""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa


@dataclass(frozen=True)
class Price:
    """One row of `prices`: a USD index price, for every venue or for one venue's collateral."""

    asset: str
    index_price: float
    venue: str | None = None
    index_beta: float | None = None
    depth_usd_1pct: float | None = None


@dataclass(frozen=True)
class Instrument:
    """One row of `instruments` with its quote, and how popular it is.

    `open_interest_share` is the instrument's expected share of all venues' open interest; shares need not add up to 1.
    """

    instrument_id: str
    venue: str
    kind: str
    underlying: str
    quote_asset: str
    settlement_asset: str
    multiplier: float
    is_inverse: bool
    tier_schedule: str
    mark_price: float
    open_interest_share: float
    expiry: datetime | None = None
    fund: str | None = None
    funding_rate: float | None = None
    funding_interval_hours: float | None = None
    adv_usd: float | None = None
    daily_vol: float | None = None
    depth_usd_1pct: float | None = None


@dataclass(frozen=True)
class DepthLevel:
    """One row of `depth`: USD resting within a distance of the mid price; None = the book does not reach that far."""

    instrument_id: str
    side: str
    distance_bps: float
    cumulative_usd: float | None


@dataclass(frozen=True)
class Tier:
    """One row of `margin_tiers`; a deduction of None is left to the reader of the snapshot."""

    tier_schedule: str
    floor: float
    initial_rate: float
    maintenance_rate: float
    deduction: float | None = None


@dataclass(frozen=True)
class CollateralBand:
    """One row of `collateral`; bands of one venue and asset stand in ascending order of their floors."""

    venue: str
    asset: str
    floor_usd: float
    haircut: float
    borrow_maintenance_rate: float


@dataclass(frozen=True)
class Fund:
    """An insurance fund, sized as a share of the open interest (USD, one side) of the instruments it covers."""

    fund: str
    venue: str
    asset: str
    open_interest_share: float


@dataclass(frozen=True)
class MarketDescription:
    """A market at one instant: what is listed, at what prices, under which margin rules, and its price history.

    `collateral` lists the assets of a venue by popularity, the first one being what an account holds by default.
    """

    as_of: datetime
    source: str
    prices: tuple[Price, ...]
    instruments: tuple[Instrument, ...]
    depth: tuple[DepthLevel, ...]
    tiers: tuple[Tier, ...]
    collateral: tuple[CollateralBand, ...]
    funds: tuple[Fund, ...]
    history: pa.Table

    @property
    def venues(self) -> tuple[str, ...]:
        """Venues in the order in which instruments name them."""
        return tuple(dict.fromkeys(instrument.venue for instrument in self.instruments))

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets in the order in which prices name them."""
        return tuple(dict.fromkeys(price.asset for price in self.prices))
