"""Margin models: what a venue requires of a position and credits to collateral."""
