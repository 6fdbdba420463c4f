"""Venue files: the rules of a venue over time, and those in force at an instant.

A file is flat, one venue's rules for every date, or dated: `title`, `approximated` and `rules`, each with the day or
instant from which it is in force and its source, in rising order.
"""

from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, field_validator

from riskpipe.domain.instant import parse_as_of
from riskpipe.errors import ConfigError
from riskpipe.venues.fields import Strict, Text
from riskpipe.venues.rules import VenueConfig


def _instant(value: Any) -> datetime:  # noqa: ANN401  what a YAML file may hold
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if isinstance(value, str):
        try:
            return parse_as_of(value)
        except ValueError:
            pass
    raise ValueError("expected a day or an instant, such as 2022-01-11 or 2022-01-11T09:00Z")


Instant = Annotated[datetime, BeforeValidator(_instant)]


class Approximation(Strict):
    """A rule of the venue that is not computed as it is."""

    rule: Text
    instead: Text
    effect: Text


class DatedRule(VenueConfig):
    """A venue's rules from an instant on, whole: nothing is taken over from the rule before."""

    effective_from: Instant
    source: Text


class VenueFile(Strict):
    """A venue's rules over time."""

    title: Text
    approximated: tuple[Approximation, ...] = ()
    rules: tuple[DatedRule, ...]

    @field_validator("rules")
    @classmethod
    def _rising(cls, rules: tuple[DatedRule, ...]) -> tuple[DatedRule, ...]:
        if not rules:
            raise ValueError("a venue needs one rule at least")
        for earlier, later in pairwise(rules):
            if earlier.effective_from >= later.effective_from:
                raise ValueError(
                    f"effective_from must rise from rule to rule: {_written(later.effective_from)}"
                    f" follows {_written(earlier.effective_from)}"
                )
        return rules


def in_force(venue: VenueConfig | VenueFile, as_of: datetime, name: str = "the venue") -> VenueConfig:
    """Return the rules in force at an instant (with a time zone): the last whose effective_from is not after it.

    Flat rules are in force at any instant. Raises ConfigError naming the earliest date where no rule is in force yet.
    """
    if isinstance(venue, VenueConfig):
        return venue
    applying = [rule for rule in venue.rules if rule.effective_from <= as_of]
    if not applying:
        raise ConfigError(
            f"no rules of {name} ({venue.title}) are in force as of {_written(as_of)}: the earliest are from"
            f" {_written(venue.rules[0].effective_from)}; write its rules into the run's file, or take a later snapshot"
        )
    return applying[-1]


def approximations(venue: VenueConfig | VenueFile | None) -> tuple[Approximation, ...]:
    """Return which of its rules a venue's file says are computed otherwise; flat rules say nothing."""
    return venue.approximated if isinstance(venue, VenueFile) else ()


def not_computed(venue: VenueConfig) -> list[str]:
    """Name the keys that no night computes yet but that a night can do without, and what happens instead."""
    found = []
    if venue.initial_collateral:
        assets = ", ".join(venue.initial_collateral)
        found.append(f"initial_collateral ({assets}): margin calls credit these assets as the trigger does")
    return found


def _written(instant: datetime) -> str:
    text = instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
    return text.removesuffix("T00:00Z")
