"""Cube to numbers: pure functions, each declaring the variables it reads. Nothing here computes a scenario."""
