"""Findings: what a night noticed about its inputs and its own work, carried to the report.

Nothing is silently dropped or repaired: whatever a stage drops, defaults or clips becomes a finding with a reason
from a closed list, a count and a few examples.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding matters to the reader of the report."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Reason(StrEnum):
    """Closed list of reasons. A row is quarantined, a value defaulted or a cell flagged for one of these only."""

    # rows of an account (quarantined with every row of that account)
    BAD_VALUE = "bad_value"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    UNKNOWN_ASSET = "unknown_asset"
    UNKNOWN_ACCOUNT = "unknown_account"
    OTHER_VENUE = "position_on_other_venue"
    UNSUPPORTED = "not_computed_by_this_version"
    NO_PORTFOLIO_RULES = "no_portfolio_margin_rules"
    # market rows and columns
    UNUSED_MARKET_ROW = "unused_market_row_dropped"
    UNKNOWN_COLUMN = "unknown_column_ignored"
    UNKNOWN_FILE = "unknown_file_ignored"
    VENUE_PRICE_DIFFERS = "venue_price_differs"
    DEFAULT_BETA = "default_index_beta"
    DEFAULT_DEPTH = "depth_from_volume_and_volatility"
    NO_INDEX_DEPTH = "contagion_channel_off"
    DEDUCTION_DIFFERS = "tier_deduction_differs"
    VENUE_TABLE = "venue_table_used"
    APPROXIMATED = "rule_approximated"
    NO_THRESHOLD = "collateral_without_liquidation_threshold"
    NO_BONUS = "collateral_without_liquidation_bonus"
    UNREAD_VALUE = "value_not_read"
    DEFAULT_VENUE = "venue_defaults_used"
    UNUSED_VENUE = "configured_venue_absent"
    NO_STRESS = "no_stressed_scenario"
    OBSERVED_MOVES = "observed_moves_contain_cascades"
    NOT_MOVED = "basis_without_volatility_not_moved"
    # control totals
    LONG_SHORT = "long_short_imbalance"
    EQUITY_DIFFERS = "reported_equity_differs"
    MAINTENANCE_DIFFERS = "reported_maintenance_margin_differs"
    NOT_CHECKED = "not_checked"
    UNKNOWN_ENTITIES = "entities_unknown"
    # history and calibration
    STALE_PRICE = "stale_price_dropped"
    MISSING_PRICE = "missing_price"
    LISTING_PERIOD = "listing_period_dropped"
    SHORT_HISTORY = "history_too_short"
    NO_HISTORY = "no_history"
    FALLBACK_ESTIMATOR = "fallback_estimator_used"
    NO_ESTIMATOR = "no_estimator_passes"
    FAILED_DIAGNOSTIC = "diagnostic_failed"
    PAIRS_LEFT_OUT = "pairs_left_out"
    FORECAST_FAILS = "forecast_fails_validation"
    LATER_THAN_AS_OF = "later_than_as_of"
    INDEX_AS_FORWARD = "index_used_as_forward"
    QUOTED_VOL = "quoted_implied_vol_used"
    NO_VOL = "option_without_volatility"
    VOL_DIFFERS = "implied_vol_differs"
    # the computation
    MAX_ROUNDS = "max_rounds_reached"
    PRICE_LIMIT = "price_limit_hit"
    EXTRAPOLATED = "innovation_beyond_sample"


@dataclass(frozen=True)
class Finding:
    """One thing noticed: where, why, how often, with a few examples."""

    severity: Severity
    reason: Reason
    where: str
    message: str
    count: int = 1
    examples: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **asdict(self),
            "severity": str(self.severity),
            "reason": str(self.reason),
            "examples": list(self.examples),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Finding":
        """Read back what `as_json` wrote."""
        return cls(
            severity=Severity(data["severity"]),
            reason=Reason(data["reason"]),
            where=data["where"],
            message=data["message"],
            count=int(data["count"]),
            examples=tuple(data["examples"]),
        )


@dataclass
class Findings:
    """An ordered collection of findings; stages add to it, the report prints it."""

    items: list[Finding] = field(default_factory=list)

    def add(
        self,
        severity: Severity,
        reason: Reason,
        where: str,
        message: str,
        *,
        count: int = 1,
        examples: Iterable[object] = (),
    ) -> None:
        """Append one finding, keeping at most five examples."""
        shown = tuple(str(example) for _, example in zip(range(5), examples, strict=False))
        self.items.append(Finding(severity, reason, where, message, count, shown))

    def extend(self, other: Iterable[Finding]) -> None:
        """Append the findings of another stage."""
        self.items.extend(other)

    def __iter__(self) -> Iterator[Finding]:
        """Iterate in the order of discovery."""
        return iter(self.items)

    def __len__(self) -> int:
        """Count the findings."""
        return len(self.items)

    def as_json(self) -> list[dict[str, Any]]:
        """Plain values for JSON."""
        return [finding.as_json() for finding in self.items]

    @classmethod
    def from_json(cls, data: Iterable[dict[str, Any]]) -> "Findings":
        """Read back what `as_json` wrote."""
        return cls([Finding.from_json(item) for item in data])
