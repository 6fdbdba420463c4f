"""Scenario sets: axes and grids."""
