"""Cancellation: Dask's own, which is a lost connection, and an orchestrator's, which must reach it untouched."""

import asyncio


def is_imposed(error: BaseException) -> bool:
    """Tell whether a cancellation was thrown into this thread from outside, as for a flow that has taken too long.

    Such a one is of a subclass of its own; what asyncio and Dask raise by themselves is not.
    """
    return isinstance(error, asyncio.CancelledError) and type(error) is not asyncio.CancelledError
