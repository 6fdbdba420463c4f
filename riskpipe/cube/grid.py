"""The grid scenarios of a dataset as N-D axes, read from the store only as far as a selection needs."""

from typing import Any, cast

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from riskpipe.domain.scenarios import AXES, own_coordinates

GRID_AXES = (*AXES, "variant")


class _GridArray(BackendArray):
    """A variable whose flat `scenario` axis is shown as the grid's axes."""

    def __init__(self, variable: xr.Variable, at: np.ndarray[Any, Any]) -> None:
        self._variable = variable
        self._at = at
        self.shape = (*at.shape, *variable.shape[1:])
        self.dtype = variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:  # noqa: ANN401 - xarray's own contract
        """Return the cells asked for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        """Read the scenarios needed, once each and in stored order, then put them in the grid's order."""
        n_axes = self._at.ndim
        axes = [[part] if isinstance(part, int | np.integer) else np.arange(size)[part]
                for part, size in zip(key[:n_axes], self._at.shape, strict=True)]  # fmt: skip
        rows = self._at[np.ix_(*axes)]
        wanted, position = np.unique(rows, return_inverse=True)
        rest = dict(zip(self._variable.dims[1:], key[n_axes:], strict=True))
        values = np.asarray(self._variable.isel({self._variable.dims[0]: wanted, **rest}).values)
        values = values[position.reshape(rows.shape)]
        drop = tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in key[:n_axes])
        return cast("np.ndarray[Any, Any]", values[drop])


def as_grid(dataset: xr.Dataset | xr.DataTree) -> xr.Dataset:
    """Turn the scenarios of set "grid" into the axes index_shock, basis_shock, vol_shock, depth_factor and variant,
    between them a run's own basis axes.

    `.sel(index_shock=-0.2, basis_shock=0)` then works. Axes ascend, variants keep their order, so the central one is
    first. Types and attributes are kept; nothing is read before it is asked for. The coordinate `scenario` gives each
    cell's number; other coordinates of the scenarios become scalars where the grid has one value, else N-D coordinates.

    Parameters
    ----------
    dataset: a group of the cube (or an opened DataTree node's dataset) with dimension `scenario`.

    Raises
    ------
    ValueError: when there is no `scenario` dimension or axis, there are no grid scenarios, or the grid is not complete:
    a combination of axis values is missing or there twice.
    """  # noqa: D205
    dataset = dataset.to_dataset() if isinstance(dataset, xr.DataTree) else dataset
    needed = ("set", *GRID_AXES)
    missing = [name for name in needed if name not in dataset.coords]
    if "scenario" not in dataset.dims or missing:
        raise ValueError(f"not a dataset over scenarios: it lacks {', '.join(missing) or 'the dimension scenario'}")
    rows = np.flatnonzero(dataset["set"].values.astype(object) == "grid")
    if not len(rows):
        raise ValueError('there are no scenarios of set "grid"')
    grid_axes = (*AXES, *own_coordinates(dataset.coords), "variant")
    labels, codes = [], []
    for name in grid_axes:
        values = dataset[name].values[rows]
        unique, first, code = np.unique(values.astype(object).astype(str) if name == "variant" else values,
                                        return_index=True, return_inverse=True)  # fmt: skip
        if name == "variant":
            order = np.argsort(first)
            unique, code = unique[order].astype(object), np.argsort(order)[code]
        labels.append(unique)
        codes.append(code)
    shape = tuple(len(unique) for unique in labels)
    cells = np.ravel_multi_index(codes, shape)
    counts = np.bincount(cells, minlength=int(np.prod(shape)))
    if np.any(counts != 1):
        worst = int(np.flatnonzero(counts != 1)[0])
        where = ", ".join(f"{name}={unique[at]}" for name, unique, at in
                          zip(grid_axes, labels, np.unravel_index(worst, shape), strict=True))  # fmt: skip
        raise ValueError(
            f"the grid is not complete: {int(np.sum(counts == 0))} combinations are missing and "
            f"{int(np.sum(counts > 1))} are there more than once, the first at {where}"
        )
    at = rows[np.argsort(cells)].reshape(shape)
    data = {name: _gridded(variable.variable, at, grid_axes) for name, variable in dataset.data_vars.items()}
    coordinates: dict[Any, Any] = {
        name: xr.Variable((name,), unique, dataset[name].attrs) for name, unique in zip(grid_axes, labels, strict=True)
    }
    for key, coordinate in dataset.coords.items():
        if key in coordinates:
            continue
        variable = coordinate.variable
        if "scenario" in variable.dims:
            values = variable.values[at]
            is_constant = key != "scenario" and len(set(values.ravel().tolist())) == 1
            if values.dtype.kind == "f" and np.all(np.isnan(values)):
                is_constant = True
            variable = (
                xr.Variable((), values.ravel()[0], variable.attrs)
                if is_constant
                else xr.Variable(grid_axes, values, variable.attrs)
            )
        coordinates[key] = variable
    return xr.Dataset(data, coordinates, dataset.attrs)


def _gridded(variable: xr.Variable, at: np.ndarray[Any, Any], grid_axes: tuple[str, ...]) -> xr.Variable:
    """Show one variable on the grid's axes; one without `scenario` stays as it is."""
    if "scenario" not in variable.dims:
        return variable
    flat = variable.transpose("scenario", ...)
    lazy = indexing.LazilyIndexedArray(_GridArray(flat, at))
    return xr.Variable((*grid_axes, *flat.dims[1:]), lazy, variable.attrs)
