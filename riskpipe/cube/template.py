"""The cube's template: every group, coordinate and variable, written before any block, filled with NaN.

Blocks then write only whole chunks of what exists. Metadata is consolidated, because plain `xarray.open_datatree` warns
about a cube whose metadata is not.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from riskpipe.cube.digest import canonical_json, digest_arrays, sha256
from riskpipe.cube.parallel import map_objects
from riskpipe.cube.protocol import Store
from riskpipe.domain.scenarios import ASSET_AXIS, AXES, BASIS_AXIS, ScenarioSet, own_axis_of
from riskpipe.domain.schema import CUBE_FORMAT_VERSION, DIMENSIONS, GROUPS, N_RANKS, VARIABLES
from riskpipe.errors import StoreError

ACCOUNTS_PER_CHUNK = 1 << 17
_FILL: dict[str, Any] = {"float64": np.nan, "int64": 0, "string": ""}
_COORDINATES = {
    "index_shock": "relative move of the index, times each asset's beta; of simulated scenarios that of the market, "
    "the asset that the book holds most of",
    "basis_shock": "added to the basis of every perpetual and future",
    "vol_shock": "relative change of implied volatility",
    "depth_factor": "factor on every market's depth",
    "haircut_shock": "added to every collateral haircut",
    "probability": "probability of the scenario in its set; NaN where the set has none",
    "name": "name of a preset scenario; empty in the grid",
    "variant": "reading of the uncertain rules",
    "set": "scenario set: grid, historical, simulated (drawn from observed moves, which contain their own cascades)",
}

AnyArray = np.ndarray[Any, Any]
Labels: TypeAlias = Sequence[Any] | AnyArray | pa.StringArray


@dataclass(frozen=True)
class TemplateArray:
    """One array of the template; coordinates bring their values, variables wait for theirs."""

    path: str
    dims: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    attributes: Mapping[str, Any]
    values: AnyArray | None

    def described(self) -> dict[str, Any]:
        """Plain values that identify the array, its values by their hash."""
        return {
            "dims": list(self.dims),
            "dtype": self.dtype,
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "attributes": dict(self.attributes),
            "values": None if self.values is None else digest_arrays({"values": self.values}),
        }


@dataclass(frozen=True)
class Template:
    """Everything known about a cube before its first block."""

    arrays: tuple[TemplateArray, ...]
    attributes: Mapping[str, Any]
    block_size: int

    @property
    def digest(self) -> str:
        """SHA-256 of the decoded template: names, shapes, chunks, attributes and coordinates."""
        return template_digest({array.path: array.described() for array in self.arrays}, self.attributes)

    def chunk_shapes(self) -> dict[str, list[int]]:
        """Return the chunk shape of each array by path, for the plan."""
        return {array.path: list(array.chunks) for array in self.arrays}


def template_digest(arrays: Mapping[str, Mapping[str, Any]], attributes: Mapping[str, Any]) -> str:
    """Hash described arrays and root attributes."""
    return sha256(canonical_json({"arrays": dict(arrays), "attributes": dict(attributes)}))


def scenario_coordinates(scenarios: ScenarioSet) -> dict[str, AnyArray]:
    """Return what labels each scenario: the axes, probability, its own name, and the labels of its variant and set."""
    variants = np.array([variant.label for variant in scenarios.variants], dtype=object)
    sets = np.array(scenarios.sets, dtype=object)
    return {
        **{name: getattr(scenarios, name) for name in (*AXES, "haircut_shock", "probability")},
        **{name: scenarios.on_axis(name) for name in scenarios.own_axes},
        "name": scenarios.name.astype(object),
        "variant": variants[scenarios.variant],
        "set": sets[scenarios.set_index],
    }


def cube_template(
    *,
    dimensions: Mapping[str, Labels],
    scenario_coordinates: Mapping[str, AnyArray],
    attributes: Mapping[str, Any],
    block_size: int,
) -> Template:
    """Describe a cube.

    Parameters
    ----------
    dimensions: labels of every dimension of the schema but `scenario` (and `rank`, which is 1 to 10): strings.
    scenario_coordinates: arrays [scenario]: the axes and `probability` float64, `variant` and `set` strings.
    attributes: root attributes, plain JSON values, at least run_id and as_of; `config` as one JSON string.
    block_size: scenarios per block, which is the chunk along `scenario`.

    Raises
    ------
    StoreError: listing every dimension missing, label repeated and coordinate of wrong length or type.
    """
    labels = {"rank": np.arange(1, N_RANKS + 1), **{name: _label_array(given) for name, given in dimensions.items()}}
    coordinates = {name: _coordinate_array(values) for name, values in scenario_coordinates.items()}
    n_scenarios = len(coordinates.get("variant", ()))
    problems = _problems(labels, coordinates, n_scenarios, attributes, block_size)
    if problems:
        raise StoreError(f"cube template: {'; '.join(problems)}")
    sizes = {"scenario": n_scenarios, **{name: len(values) for name, values in labels.items()}}
    chunks = {name: max(1, size) for name, size in sizes.items()}
    chunks["scenario"] = max(1, min(block_size, n_scenarios))
    chunks["account"] = min(chunks["account"], ACCOUNTS_PER_CHUNK)

    def array(path: str, dims: tuple[str, ...], dtype: str, about: Mapping[str, Any], values: AnyArray | None = None,
              *, is_whole: bool = False) -> TemplateArray:  # fmt: skip
        shape = tuple(sizes[name] for name in dims)
        cut = tuple(max(1, size) for size in shape) if is_whole else tuple(chunks[name] for name in dims)
        return TemplateArray(path, dims, dtype, shape, cut, about, values)

    arrays = []
    for group in GROUPS:
        variables = [variable for variable in VARIABLES.values() if variable.group == group]
        names = {variable.name for variable in variables}
        for dimension in dict.fromkeys(name for variable in variables for name in variable.dims):
            about = {"long_name": DIMENSIONS[dimension].long_name, "units": "1"}
            values = np.arange(n_scenarios) if dimension == "scenario" else labels[dimension]
            dtype = "int64" if values.dtype.kind == "i" else "string"
            is_long = dimension == "account"
            arrays.append(array(f"{group}/{dimension}", (dimension,), dtype, about, values, is_whole=not is_long))
            if dimension == "scenario":
                arrays += [
                    array(
                        f"{group}/{name}",
                        ("scenario",),
                        "float64" if values.dtype.kind == "f" else "string",
                        {"long_name": _long_name(name), "units": "1"},
                        values,
                        is_whole=True,
                    )
                    for name, values in coordinates.items()
                    if name not in names
                ]
        for variable in variables:
            about = {"long_name": variable.long_name, "units": variable.units, "sign": variable.sign}
            arrays.append(array(variable.key, variable.dims, variable.dtype, about))
    root = {"format": "riskpipe-cube", "format_version": CUBE_FORMAT_VERSION, **attributes}
    return Template(tuple(arrays), json.loads(canonical_json(root)), block_size)


def _long_name(coordinate: str) -> str:
    if (axis := own_axis_of(coordinate, ASSET_AXIS)) is not None:
        return f"own move of the assets of axis {axis}, a fraction on top of what the index moves them by"
    if (axis := own_axis_of(coordinate, BASIS_AXIS)) is not None:
        return f"basis move of axis {axis}, standard deviations of a day, fading before expiry"
    return _COORDINATES.get(coordinate, coordinate.replace("_", " "))


def create_cube(store: Store, prefix: str, template: Template) -> str:
    """Write the template and return its hash; a cube that is there already is left alone.

    Root metadata is written last, so a template cut off by a crash is written again whole. Raises StoreError when
    another template is there: the run's plan says which one belongs.
    """
    digest = template.digest
    if store.exists(f"{prefix}/zarr.json"):
        found = read_template_digest(store, prefix)
        if found != digest:
            raise StoreError(f"{store.uri}/{prefix} was made from another template ({found[:16]}, not {digest[:16]})")
        return digest
    memory = zarr.storage.MemoryStore()
    root = zarr.create_group(memory, zarr_format=3, attributes=dict(template.attributes))
    coordinates: dict[str, list[str]] = {}
    for array in template.arrays:
        group, _, name = array.path.rpartition("/")
        names = coordinates.setdefault(group, [])
        if array.values is not None and (name,) != array.dims:
            names.append(name)
    # xarray takes these from the group's attribute `coordinates`; dimensions' own labels it finds by name.
    for group, names in coordinates.items():
        root.create_group(group, attributes={"coordinates": " ".join(names)} if names else {})
    for array in template.arrays:
        _create_array(root, array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part", UserWarning)
        zarr.consolidate_metadata(memory)
    objects = {key: buffer.to_bytes() for key, buffer in memory._store_dict.items()}  # noqa: SLF001 - its only listing
    root_metadata = objects.pop("zarr.json")
    map_objects(lambda key: store.write(f"{prefix}/{key}", objects[key]), sorted(objects))
    store.write(f"{prefix}/zarr.json", root_metadata)
    return digest


def read_template_digest(store: Store, prefix: str) -> str:
    """Hash the template as a stored cube shows it: equal to `Template.digest` where nothing has been touched."""
    root = zarr.open_group(store.zarr_store(prefix), mode="r", zarr_format=3, use_consolidated=True)
    described = {}
    for group_name, group in root.groups():
        for name, array in group.arrays():
            path = f"{group_name}/{name}"
            dtype = "string" if array.dtype.kind in "OUT" else str(array.dtype)
            values = None if path in VARIABLES else np.asarray(array[...])
            metadata: Any = array.metadata
            dims = tuple(metadata.dimension_names)
            described[path] = TemplateArray(
                path, dims, dtype, array.shape, array.chunks, dict(array.attrs), values
            ).described()
    return template_digest(described, dict(root.attrs))


def _create_array(root: zarr.Group, array: TemplateArray) -> None:
    """Create one array, and write it when its values are known."""
    is_text = array.dtype == "string"
    compressor = ZstdCodec(level=1) if is_text else BloscCodec(typesize=8, cname="zstd", clevel=1, shuffle="shuffle")
    created = root.create_array(
        array.path,
        shape=array.shape,
        chunks=array.chunks,
        dtype=array.dtype,
        fill_value=_FILL[array.dtype],
        compressors=compressor,
        dimension_names=array.dims,
        attributes=dict(array.attributes),
        config={"write_empty_chunks": True},
    )
    if array.values is not None and array.values.size:
        created[...] = array.values


def _label_array(given: Labels) -> AnyArray:
    """Return labels as text."""
    values = given.to_pylist() if isinstance(given, pa.Array) else list(given)
    return np.array([str(value) for value in values], dtype=object)


def _coordinate_array(values: AnyArray) -> AnyArray:
    """Return a coordinate as float64 or text."""
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype.kind in "fiub" else array.astype(object)


def _problems(
    labels: Mapping[str, AnyArray],
    coordinates: Mapping[str, AnyArray],
    n_scenarios: int,
    attributes: Mapping[str, Any],
    block_size: int,
) -> list[str]:
    """List what keeps a template from being made."""
    needed = {name for variable in VARIABLES.values() for name in variable.dims} - {"scenario"}
    problems = [f"dimension {name} has no labels" for name in sorted(needed - labels.keys())]
    problems += [f"dimension {name} is not in the schema" for name in sorted(labels.keys() - needed)]
    for name, values in labels.items():
        if len(set(values.tolist())) < len(values):
            problems.append(f"dimension {name} has repeated labels")
    wanted = (*AXES, "probability", "variant", "set")
    problems += [f"scenario coordinate {name} is missing" for name in wanted if name not in coordinates]
    for name, values in coordinates.items():
        if values.shape != (n_scenarios,):
            problems.append(f"scenario coordinate {name} has shape {values.shape}, expected ({n_scenarios},)")
        if (values.dtype.kind == "f") == (name in {"name", "variant", "set"}):
            problems.append(f"scenario coordinate {name} has type {values.dtype}")
    problems += [f"root attribute {name} is missing" for name in ("run_id", "as_of") if name not in attributes]
    if n_scenarios < 1:
        problems.append("there are no scenarios")
    if block_size < 1:
        problems.append(f"block_size must be at least 1, got {block_size}")
    return problems
