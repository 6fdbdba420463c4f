"""AccountStory: what one scenario does to one account, as plain values. Money is USD.

Health, prices and PnL are of one account; flow, shortfall and who pays are of all accounts that a row stands for
(`weight`), as everywhere in the cube.
"""

from dataclasses import dataclass
from typing import Literal

WhyOpen = Literal["", "healthy", "exempt", "cut off", "nothing to close", "not worth while"]
STAGES = ("fee_offset", "fund_used", "backstop_loss", "adl_loss", "socialised_loss", "residual")


@dataclass(frozen=True)
class HealthAt:
    """A pool's equity, maintenance and initial margin at one state of the market, USD.

    Of a loan: equity is collateral at its liquidation thresholds less debt, and there are no margins.
    """

    equity: float
    maintenance_margin: float
    initial_margin: float

    @property
    def margin_excess(self) -> float:
        """Equity less maintenance margin: liquidatable when < 0."""
        return self.equity - self.maintenance_margin


@dataclass(frozen=True)
class PositionStory:
    """One position: its marks before, at the shock and at the end, in units of `price_unit`; its exit, NaN = open."""

    instrument: str
    quantity: float
    """Contracts, signed."""
    price_unit: str
    entry_price: float
    mark_before: float
    mark_shocked: float
    mark_end: float
    exit_price: float
    flow: float
    """USD of forced flow that its closing is, at the shocked mark; sales are negative; 0 = open."""
    change: float
    """USD made (> 0) or lost from the snapshot's mark to its exit, or to the final mark where it stays open."""
    removed: float
    """Share that auto-deleveraging takes away."""
    removed_notional: float
    """USD of it at the final mark."""
    removed_profit: float
    """USD of profit that the share carried, which pays for others' losses."""


@dataclass(frozen=True)
class LoanStep:
    """One liquidation of a loan: its round, and USD repaid and seized, at the prices of the moment."""

    round: int
    repaid: float
    seized: float


@dataclass(frozen=True)
class LoanStory:
    """A loan before, at the shocked market and at the end: USD of collateral and debt left, and its health factor."""

    collateral: tuple[float, float, float]
    debt: tuple[float, float, float]
    health_factor: tuple[float, float, float]
    steps: tuple[LoanStep, ...]


@dataclass(frozen=True)
class PoolStory:
    """One margin pool, from the snapshot to the end of the scenario."""

    name: str
    kind: Literal["margin", "portfolio", "loan"]
    before: HealthAt
    shocked: HealthAt
    tested: HealthAt
    """Where it failed: at the prices of the round that closed it; else at the final ones."""
    closed_in: int
    """Round; 0 = never. Of a loan the first one that liquidated any of it."""
    why_open: WhyOpen
    """"" = it was closed."""
    is_called: bool
    """Open and short of its initial margin at the end."""
    ray_point: float
    """How far prices had moved to the shocked market, before impact, when it was closed: 1 = whole; NaN = open."""
    true_equity: float
    """USD left after the close-out, no haircuts, before the fee; NaN = open."""
    fee: float
    """USD that the closing fee takes."""
    shortfall: float
    """USD, weighted, that others must pay."""
    positions: tuple[PositionStory, ...]
    loan: LoanStory | None = None


@dataclass(frozen=True)
class FundStory:
    """A fund that the account's shortfall falls to: the account's part, the fund's whole, and who pays the part."""

    fund: str
    shortfall: float
    fund_shortfall: float
    paid: tuple[tuple[str, float], ...]
    """By stage of the waterfall, pro rata: nobody's shortfall comes first."""


@dataclass(frozen=True)
class Tipping:
    """A shock that would have made a survivor fail, all else as the scenario ends; `axis` moves from `now` to `at`."""

    axis: str
    now: float
    at: float


@dataclass(frozen=True)
class PriceStep:
    """A contract's mark and forced flow so far (USD, all accounts) after a round; round 0 is the shock itself."""

    instrument: str
    round: int
    mark: float
    flow: float


@dataclass(frozen=True)
class AccountStory:
    """One account in one scenario."""

    account: str
    venue: str
    entity: str
    """"" where the owner is not known."""
    segment: str
    weight: float
    is_exempt: bool
    rounds: int
    """Of the whole cascade."""
    is_cut_off: bool
    pools: tuple[PoolStory, ...]
    funds: tuple[FundStory, ...]
    prices: tuple[PriceStep, ...]
    """Of the contracts that it holds, round by round."""
    tippings: tuple[Tipping, ...]
    distance_down: float
    """Smallest fall of the index axis alone, from the snapshot, that makes it liquidatable; NaN = none on the axis."""
    distance_up: float

    @property
    def equity(self) -> float:
        """USD before, over all pools; as `/accounts` has it."""
        return sum(pool.before.equity for pool in self.pools)

    @property
    def maintenance_margin(self) -> float:
        """USD before, over all pools."""
        return sum(pool.before.maintenance_margin for pool in self.pools)

    @property
    def shortfall(self) -> float:
        """USD, weighted, over all pools."""
        return sum(pool.shortfall for pool in self.pools)

    @property
    def closed_in(self) -> int:
        """First round that closed any of its pools; 0 = none did."""
        return min((pool.closed_in for pool in self.pools if pool.closed_in), default=0)
