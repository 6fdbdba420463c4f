"""What a night keeps of its book: labels of the small dimensions of /book, and its variables.

The group holds plain amounts by owner, instrument and venue that no scenario changes. An *owner* is an entity, or an
account whose entity is not known. Rows that stand for several identical accounts of unknown owners are no owner: they
count, weighted, in totals, and enter no list.
"""

from itertools import pairwise

from riskpipe.domain.scenarios import DIRECTIONS

NEARBY = 0.10  # index move, down or up, within which an account counts as liquidatable
INTEREST, COLLATERAL = "open interest", "collateral"
# positions, and debt of loans, in accounts that are liquidatable within NEARBY
LIQUIDATABLE = tuple(f"liquidatable {direction}" for direction in DIRECTIONS)
HOLDINGS = (INTEREST, COLLATERAL, *LIQUIDATABLE)  # what owners are ranked by
NEUTRAL_TOLERANCE = 0.10  # of the larger of long and short, up to which an owner is delta-neutral
RATIO_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of accounts, weighted

# price levels relative to the mark: bins outward from it on both sides, each with its inner edge left out
LEVEL_EDGES = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
PASSED, BEYOND = "passed", f"above +{100 * LEVEL_EDGES[-1]:g}%"
_BINS = tuple(pairwise(LEVEL_EDGES))


def _percent(share: float) -> str:
    return f"{100 * share:+g}%" if share else "0%"


LEVELS = (
    *(f"{_percent(-high)} to {_percent(-low)}" for low, high in reversed(_BINS)),
    PASSED,
    *(f"{_percent(low)} to {_percent(high)}" for low, high in _BINS),
    BEYOND,
)
PASSED_IX = LEVELS.index(PASSED)

_MAP = ("venue", "underlying", "level")
_LABEL = ("label", "string")
# dimensions, name, units, long name, sign, type
BOOK_VARIABLES: tuple[tuple[object, ...], ...] = (
    (("instrument",), "open_interest_long", "USD", "long positions of the book at the snapshot's mark, weighted"),
    (("instrument",), "open_interest_short", "USD", "short positions of the book at the snapshot's mark, weighted"),
    (("instrument",), "interest_hhi", "HHI", "HHI of both sides by owner, 0 to 10,000; NaN = nothing held"),
    (("instrument",), "depth_sale", "USD", "sales that move the price by 1%; NaN = unknown"),
    (("instrument",), "depth_purchase", "USD", "purchases that move the price by 1%; NaN = unknown"),
    (("instrument",), "daily_volume", "USD", "average daily volume as given; NaN = not given"),
    (("instrument", "rank"), "position", "USD", "net position of the owner of this rank, by size", "signed"),
    (("instrument", "rank"), "position_entity", "1", "index of that owner; -1 = none", "label"),
    (("holding",), "holding_total", "USD", "what the book holds of it, weighted"),
    (("holding",), "holding_hhi", "HHI", "HHI of it by owner, 0 to 10,000; NaN = nothing held"),
    (("holding",), "holding_pseudo", "USD", "part of it in rows that stand for several accounts of unknown owners"),
    (("holding",), "holding_unknown", "USD", "part of it in accounts without a known owner, those rows included"),
    (("holding", "rank"), "holding_amount", "USD", "what the owner of this rank holds of it"),
    (("holding", "rank"), "holding_entity", "1", "index of that owner; -1 = none", "label"),
    (
        ("direction", "rank", "underlying"),
        "liquidatable_position",
        "USD",
        "net contracts in accounts that an index move of 10% makes liquidatable, of the owner with this rank of them",
        "signed",
    ),
    (("underlying",), "underlying_depth", "USD", "flow over all markets of it that moves their prices by 1%"),
    (
        ("venue", "other_venue"),
        "shared_interest",
        "USD",
        "positions on the venue of owners that have positions on the other one, too; a lower bound",
    ),
    (_MAP, "map_long", "USD", "longs of accounts' main positions whose liquidation price is at this level, weighted"),
    (_MAP, "map_short", "USD", "shorts of accounts' main positions whose liquidation price is at this level, weighted"),
    (_MAP, "map_accounts", "accounts", "accounts whose liquidation price is at this level, weighted"),
    (_MAP, "call_accounts", "accounts", "accounts whose margin-call price is at this level, weighted"),
    (_MAP, "call_notional", "USD", "main positions whose margin-call price is at this level, weighted"),
    (("venue",), "equity", "USD", "equity of accounts that must hold maintenance margin, weighted", "signed"),
    (("venue",), "maintenance_margin", "USD", "their maintenance margin, weighted"),
    (("venue",), "index_delta", "USD", "their gain per unit of index move, first order; NaN = with options", "signed"),
    (
        ("venue", "share"),
        "collateral_ratio",
        "1",
        "equity over maintenance margin, of loans the health factor, that so large a share of accounts does not exceed",
        "signed",
    ),
    (("venue", "share"), "ratio_slope", "1", "change of that ratio per unit of index move, as a size, likewise"),
    (("venue",), "ratio_accounts", "accounts", "accounts in those shares, weighted: portfolio accounts are left out"),
    (("venue",), "neutral_interest", "USD", "positions of delta-neutral owners; a lower bound"),
    (("venue",), "neutral_equity", "USD", "equity of delta-neutral owners' accounts", "signed"),
    (("venue",), "neutral_maintenance_margin", "USD", "maintenance margin of delta-neutral owners' accounts"),
    (("venue", "direction"), "neutral_nearby", "USD", "positions of theirs in accounts within 10% of liquidation"),
    (("venue",), "neutral_owners", "1", "delta-neutral owners with positions on the venue"),
    (("fund",), "fund_venue", "1", "venue whose losses fall to the fund", *_LABEL),
    (("fund",), "fund_balance", "USD", "the fund at the snapshot's index prices, before any haircut"),
)  # fmt: skip
