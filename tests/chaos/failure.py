"""Failure: a law that a disturbed night broke."""


class Failure(AssertionError):
    """What differed, for the person who runs the seed again."""
