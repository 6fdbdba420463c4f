"""Single rows of a stored cube: what one scenario or account has, without opening the rest."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import zarr

from riskpipe.cube.adapter import WholeCube
from riskpipe.cube.parallel import map_objects
from riskpipe.cube.protocol import Store
from riskpipe.errors import StoreError


def read_rows(store: Store, prefix: str, keys: Iterable[str], row: int) -> dict[str, np.ndarray[Any, Any]]:
    """Read one place along the first dimension of some variables of the cube at `prefix`, by `Variable.key`.

    Raises StoreError where there is no cube, a variable is absent or the row lies outside it.
    """
    wanted = list(keys)
    try:
        root: Any = zarr.open_group(WholeCube(store.zarr_store(prefix)), mode="r", zarr_format=3, use_consolidated=True)
        arrays = {key: root[key] for key in wanted}
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise StoreError(f"{store.uri}/{prefix} cannot be read: {error}. Run verify on it") from error
    outside = [key for key, array in arrays.items() if not 0 <= row < array.shape[0]]
    if outside:
        raise StoreError(f"{store.uri}/{prefix}: row {row} lies outside {', '.join(outside)}")
    return dict(zip(wanted, map_objects(lambda key: np.asarray(arrays[key][row]), wanted), strict=True))


def read_whole(store: Store, prefix: str, key: str) -> np.ndarray[Any, Any]:
    """Read one variable whole, also of a cube without a manifest yet; StoreError where it is absent."""
    try:
        root: Any = zarr.open_group(WholeCube(store.zarr_store(prefix)), mode="r", zarr_format=3, use_consolidated=True)
        return np.asarray(root[key][...])
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise StoreError(f"{store.uri}/{prefix} cannot be read: {error}. Run verify on it") from error
