"""Synthetic snapshots: invented accounts on an invented or a recorded market, reproducible from a seed."""
