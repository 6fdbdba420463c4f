"""Reading a cube back: from the store by name, as an `xarray.DataTree`, lazily."""

from datetime import datetime

import xarray as xr
from zarr.storage import LocalStore

from riskpipe.cube.adapter import WholeCube
from riskpipe.cube.catalogue import pointer_of
from riskpipe.cube.grid import as_grid
from riskpipe.cube.layout import cube_prefix
from riskpipe.cube.manifest import read_manifest
from riskpipe.cube.protocol import Store
from riskpipe.cube.store import open_store
from riskpipe.domain.instant import format_as_of, parse_as_of
from riskpipe.errors import StoreError

__all__ = ["as_grid", "open_cube"]


def open_cube(
    store: str | Store, as_of: datetime | str | None = None, run_id: str | None = None, book: str = ""
) -> xr.DataTree:
    """Open a complete run's cube; values are read when asked for, and StoreError when they are there no more.

    Parameters
    ----------
    store: a store or its URI.
    as_of: the night's instant (None = the newest published), a datetime or text such as 2024-08-05T000000Z.
    run_id: a run by its id, published or not; with `as_of` too, it must be of that instant.
    book: name under which nights are published.

    Raises
    ------
    StoreError: when there is no such night or run; a run without a manifest does not exist. VerifyError: when the
    manifest is not the one that was published.
    """
    store = open_store(store) if isinstance(store, str) else store
    instant = _instant(as_of)
    if run_id is None:
        pointer = pointer_of(store, instant, book)
        run_id = pointer.run_id
        read_manifest(store, run_id, pointer.manifest_sha256)
    else:
        found = read_manifest(store, run_id)["as_of"]
        if instant is not None and format_as_of(instant) != found:
            raise StoreError(f"run {run_id} is of {found}, not of {format_as_of(instant)}")
    prefix = cube_prefix(run_id)
    path = store.local_path(prefix)
    folder = store.zarr_store(prefix) if path is None else LocalStore(path, read_only=True)
    try:
        return xr.open_datatree(WholeCube(folder), engine="zarr", chunks=None, consolidated=True)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{store.uri}/{prefix} cannot be opened: {error}. Run verify on {run_id}") from error


def _instant(as_of: datetime | str | None) -> datetime | None:
    """Read an instant given as text."""
    try:
        return parse_as_of(as_of) if isinstance(as_of, str) else as_of
    except ValueError as error:
        raise StoreError(f"as_of {as_of!r} is not an instant such as 2024-08-05T000000Z") from error
