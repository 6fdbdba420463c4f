"""Venue rules as configuration: strict models of configs/venues, and the rules in force at an instant."""

from riskpipe.venues.files import DatedRule, VenueFile, in_force, not_computed_yet
from riskpipe.venues.rules import VenueConfig

__all__ = ["DatedRule", "VenueConfig", "VenueFile", "in_force", "not_computed_yet"]
