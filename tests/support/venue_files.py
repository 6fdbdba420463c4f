"""Venue files as shipped, and their tables as margin models."""

from datetime import UTC, datetime
from functools import cache

from riskpipe.config import resolve, shipped
from riskpipe.margin.model import Holding, Tiered
from riskpipe.venues import in_force

PLAIN = {"snapshot": "s", "store": "t", "executor": "serial"}
FOLDER = shipped("venues")
FILES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
DATED = (
    "aave_v3",
    "binance_coinm",
    "binance_usdm",
    "bybit",
    "compound_v3",
    "deribit",
    "dydx_v4",
    "hyperliquid",
    "morpho",
    "okx",
)


@cache
def venue_file(name):
    return resolve(PLAIN | {"venues": {"it": name}}, subject=name).venues["it"]


def day(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rules_at(name, text):
    return in_force(venue_file(name), day(text))


def tiered(margin, *names):
    rows = list(zip(*margin.tiers_of(*names), strict=True))
    return Tiered(*rows, unit=margin.unit, valued_at=margin.valued_at, fee_rate=margin.fee_rate)


def linear(size, mark, entry=None):
    """A position quoted and settled in a dollar."""
    return Holding(size, False, entry or mark, mark, 1.0, 1.0)


def inverse(size, mark, entry=None):
    return Holding(size, True, entry or mark, mark, 1.0, mark)
