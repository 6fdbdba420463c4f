"""Blocks into the cube: whole chunks, read back and compared before anybody calls them done."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import zarr

from riskpipe.cube.digest import digest_arrays, sha256
from riskpipe.cube.parallel import map_objects
from riskpipe.cube.protocol import Store
from riskpipe.cube.store import open_store
from riskpipe.domain.schema import VARIABLES, Variable, block_variables
from riskpipe.errors import StoreError

AnyArray = np.ndarray[Any, Any]
READ_BYTES = 64_000_000
"""Decoded values of blocks that are read together: a request for several costs little more than a request for one."""
_DTYPES = {"float64": np.dtype(np.float64), "int64": np.dtype(np.int64)}


def write_block(store: Store, prefix: str, start: int, stop: int, arrays: Mapping[str, AnyArray]) -> str:
    """Write one block into the cube at `prefix` and return the SHA-256 of its decoded arrays.

    Idempotent: the same block may be written again, by anyone, at any time.

    Parameters
    ----------
    start, stop: the block's scenarios, stop exclusive.
    arrays: every per-block variable by `Variable.key`, shape [stop - start, ...], float64; NaN is a value like others.

    Raises
    ------
    StoreError: when the block does not cover whole chunks, listing every variable missing, unknown, of wrong shape or
    dtype, and when what is read back differs from what was computed.
    """
    cube = _cube(store, prefix)
    _refuse_misaligned(cube, prefix, start, stop)
    return _write(cube, arrays, block_variables(), prefix, (start, stop))


def read_block(store: Store, prefix: str, start: int, stop: int) -> dict[str, AnyArray]:
    """Read a block's decoded arrays by `Variable.key`."""
    cube = _cube(store, prefix)
    keys = [variable.key for variable in block_variables()]
    return dict(zip(keys, map_objects(lambda key: np.asarray(cube[key][start:stop]), keys), strict=True))


def read_blocks(
    store: Store, prefix: str, bounds: Sequence[tuple[int, int]]
) -> Iterator[dict[str, AnyArray] | Exception]:
    """Yield what `read_block` returns for each (start, stop) in turn, or the error with which it cannot be read."""
    try:
        cube = _cube(store, prefix)
        arrays = [cube[variable.key] for variable in block_variables()]
    except Exception as error:  # noqa: BLE001 - as below
        yield from [error] * len(bounds)
        return
    at_once = max(1, READ_BYTES * arrays[0].shape[0] // max(1, sum(array.nbytes for array in arrays)))
    for several in _adjacent(bounds, at_once):
        first, last = several[0][0], several[-1][1]
        found = _read_or_error(store, prefix, first, last)
        for start, stop in several:
            if isinstance(found, Exception):
                yield found if len(several) == 1 else _read_or_error(store, prefix, start, stop)
            else:
                yield {key: values[start - first : stop - first] for key, values in found.items()}


def _adjacent(bounds: Sequence[tuple[int, int]], at_once: int) -> Iterator[list[tuple[int, int]]]:
    """Cut blocks into runs of neighbours that cover at most so many scenarios, or one block."""
    several: list[tuple[int, int]] = []
    for start, stop in bounds:
        if several and (several[-1][1] != start or stop - several[0][0] > at_once):
            yield several
            several = []
        several.append((start, stop))
    if several:
        yield several


def _read_or_error(store: Store, prefix: str, start: int, stop: int) -> dict[str, AnyArray] | Exception:
    try:
        return read_block(store, prefix, start, stop)
    except Exception as error:  # noqa: BLE001 - damaged chunks fail in as many ways as there are codecs
        return error


def write_once(store: Store, prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, str]:
    """Write whole variables that no block writes and return the SHA-256 of each one's decoded array.

    May be called for some variables at a time; the manifest is refused until each has been written. Raises StoreError
    as `write_block` does, and for variables that blocks write.
    """
    asked = tuple(variable for key, variable in VARIABLES.items() if key in arrays and not variable.per_block)
    _write(_cube(store, prefix), arrays, asked, prefix, None)
    return digests_of(arrays)


def digests_of(arrays: Mapping[str, AnyArray]) -> dict[str, str]:
    """Return the SHA-256 of each array by its key, as `write_once` does."""
    return {key: digest_arrays({key: np.asarray(values)}) for key, values in arrays.items()}


def read_digests(store: Store, prefix: str) -> dict[str, str | Exception]:
    """Return the SHA-256 of each whole variable that no block writes as it lies there, or why it cannot be read."""
    cube = _cube(store, prefix)

    def digest(key: str) -> str | Exception:
        try:
            return digest_arrays({key: np.asarray(cube[key][...])})
        except Exception as error:  # noqa: BLE001 - as in _read_or_error
            return error

    keys = [key for key, variable in VARIABLES.items() if not variable.per_block]
    return dict(zip(keys, map_objects(digest, keys), strict=True))


def open_arrays(store: Store, prefix: str) -> zarr.Group:
    """Open the cube's root group for reading and writing, from its consolidated metadata: one small read."""
    try:
        return zarr.open_group(store.zarr_store(prefix), mode="r+", zarr_format=3, use_consolidated=True)
    except (FileNotFoundError, ValueError) as error:
        raise StoreError(f"{store.uri}/{prefix} holds no cube: create the template first") from error


def _cube(store: Store, prefix: str) -> dict[str, Any]:
    """Return the cube's arrays by key, opened once per process and template."""
    metadata = store.get(f"{prefix}/zarr.json")
    if metadata is None:
        raise StoreError(f"{store.uri}/{prefix} holds no cube: create the template first")
    return _arrays(store.uri, prefix, sha256(metadata))


@lru_cache(maxsize=4)
def _arrays(uri: str, prefix: str, _metadata_sha256: str) -> dict[str, Any]:
    root: Any = open_arrays(open_store(uri), prefix)
    # A chunk of nothing but fill value must exist too: one that is missing reads as NaN without a word.
    return {key: root[key].with_config({"write_empty_chunks": True}) for key in VARIABLES}


def _refuse_misaligned(cube: Mapping[str, Any], prefix: str, start: int, stop: int) -> None:
    """Refuse a region that shares a chunk with another block's."""
    array = cube[block_variables()[0].key]
    n_scenarios, chunk = array.shape[0], array.chunks[0]
    if not 0 <= start < stop <= n_scenarios:
        raise StoreError(f"{prefix}: block {start}:{stop} lies outside its {n_scenarios} scenarios")
    if start % chunk or (stop % chunk and stop != n_scenarios):
        raise StoreError(
            f"{prefix}: block {start}:{stop} does not cover whole chunks of {chunk} scenarios, so two blocks would "
            "read, change and write the same chunk, and the later would undo the earlier without a word. Cut blocks "
            f"with block_bounds({n_scenarios}, {chunk}), or make the template with the block size you want"
        )


def _write(
    cube: Mapping[str, Any],
    arrays: Mapping[str, AnyArray],
    variables: tuple[Variable, ...],
    prefix: str,
    bounds: tuple[int, int] | None,
) -> str:
    """Check, write, read back and compare."""
    region = slice(*bounds) if bounds else slice(None)
    where = f"{prefix}: block {bounds[0]}:{bounds[1]}" if bounds else f"{prefix}: whole variables"
    known = {variable.key for variable in variables}
    problems = [f"{key} is missing" for key in sorted(known - arrays.keys())]
    problems += [f"{key} is not a variable written here" for key in sorted(arrays.keys() - known)]
    checked: dict[str, AnyArray] = {}
    for variable in variables:
        if variable.key not in arrays:
            continue
        array, shape = np.asarray(arrays[variable.key]), cube[variable.key].shape
        if bounds:
            shape = (bounds[1] - bounds[0], *shape[1:])
        dtype = _DTYPES.get(variable.dtype)
        if array.shape != shape:
            problems.append(f"{variable.key} has shape {array.shape}, expected {shape}")
        if array.dtype != dtype if dtype else array.dtype.kind not in "OUT":
            problems.append(f"{variable.key} has dtype {array.dtype}, expected {variable.dtype}")
        checked[variable.key] = array
    if problems:
        raise StoreError(f"{where} is refused: {'; '.join(problems)}")

    def write(key: str) -> AnyArray:
        if checked[key].size:
            cube[key][region] = checked[key]
        return np.asarray(cube[key][region])

    expected = digest_arrays(checked)
    found = dict(zip(checked, map_objects(write, checked), strict=True))
    if digest_arrays(found) != expected:
        differing = [key for key in checked if digest_arrays({key: found[key]}) != digest_arrays({key: checked[key]})]
        raise StoreError(f"{where} reads back otherwise than it was written: {', '.join(differing)}. Check the disk")
    return expected
