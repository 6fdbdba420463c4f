"""Venue rules as configuration: strict models of configs/venues, and the rules in force at an instant."""

from riskpipe.venues.files import Approximation, DatedRule, VenueFile, approximations, in_force, not_computed
from riskpipe.venues.margin import ContractMargin
from riskpipe.venues.rules import VenueConfig

__all__ = [
    "Approximation",
    "ContractMargin",
    "DatedRule",
    "VenueConfig",
    "VenueFile",
    "approximations",
    "in_force",
    "not_computed",
]
