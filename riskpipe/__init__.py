"""riskpipe: nightly scenario grids of liquidation exposure and basis-spread volatility.

The public API, on one screen. Everything loads on first use, so that importing the package costs nothing.

- `open_cube(store, as_of=None, run_id=None, book="")`: a published night as an `xarray.DataTree`
- `as_grid(dataset)`: its grid scenarios as N-D axes
- `verify(store, run_id)`: compare every stored byte with the manifest
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "as_grid", "open_cube", "verify"]

_HOMES = {"as_grid": "riskpipe.cube.read", "open_cube": "riskpipe.cube.read", "verify": "riskpipe.cube.manifest"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  the API is typed where it lives
    """Load a public name from its home on first use."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
