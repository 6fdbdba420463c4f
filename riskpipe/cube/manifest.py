"""Manifest: every object of a complete run with size and hash. Written last; it holds no times or hosts."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from riskpipe.cube.blocks import open_arrays, read_blocks, read_digests
from riskpipe.cube.books import book_problems
from riskpipe.cube.catalogue import catalogue_at, read_catalogue
from riskpipe.cube.digest import canonical_json, digest_arrays, sha256
from riskpipe.cube.layout import (
    BLOCK_INPUTS,
    cube_prefix,
    inputs_key,
    manifest_key,
    mark_key,
    part_key,
    plan_key,
    run_prefix,
)
from riskpipe.cube.marks import Mark, read_marks
from riskpipe.cube.parallel import map_objects
from riskpipe.cube.parts import part_digest
from riskpipe.cube.protocol import Store
from riskpipe.cube.template import read_template_digest
from riskpipe.domain.instant import format_as_of, parse_as_of
from riskpipe.domain.schema import CUBE_FORMAT_VERSION
from riskpipe.errors import StoreError, VerifyError


@dataclass(frozen=True)
class Wrote:
    """What a run's stages say that they wrote besides blocks: SHA-256 hashes."""

    plan: str
    """Of the plan's bytes."""
    template: str
    """Of the cube's template."""
    variables: Mapping[str, str]
    """Of the decoded array of each variable that no block writes, by its key."""


def write_manifest(
    store: Store,
    run_id: str,
    *,
    as_of: datetime,
    bounds: Sequence[tuple[int, int]],
    wrote: Wrote,
    about: Mapping[str, Any],
) -> str:
    """Reconcile a finished run with what its marks promise, write its manifest, and return the manifest's SHA-256.

    Writing the same manifest again changes nothing.

    Parameters
    ----------
    bounds: (start, stop) of every block, as planned.
    wrote: what its stages promise.
    about: more to be kept, plain JSON values without times or hosts: input hashes, hash of the findings, versions.

    Raises
    ------
    StoreError: listing every block without mark or part, mark of other bounds or fingerprint, object of the cube
    that is missing or does not belong, and whatever is not as it was written; and when the run already has another
    manifest.
    """
    marks = read_marks(store, run_id)
    prefix, cube = run_prefix(run_id), cube_prefix(run_id)
    plan = store.get(plan_key(run_id))
    problems = [] if plan is not None else ["plan.json is missing"]
    problems += _mark_problems(marks, bounds)
    wanted = {part_key(run_id, block) for block in range(len(bounds))} | _cube_keys(store, cube)
    held = set(store.list(cube)) | set(store.list(f"{prefix}/parts"))
    inputs = {key for name in BLOCK_INPUTS if store.exists(key := inputs_key(run_id, name))}
    problems += [f"{key} is missing" for key in sorted(wanted - held)]
    problems += [f"{key} does not belong" for key in sorted(held - wanted)]
    if not problems:
        # what was changed after its mark was written must not be sealed
        problems += _plan_problems(plan, wrote.plan)
        problems += _template_problems(store, cube, wrote.template)
        problems += _variable_problems(store, cube, wrote.variables)
        problems += _block_problems(store, run_id, [marks[block] for block in range(len(bounds))])
    if problems or plan is None:
        raise StoreError(
            f"run {run_id} is not as its marks say: {_listed(problems)}. Delete {prefix} in the store and run the "
            "night again"
        )
    content = canonical_json(
        {
            "format": "riskpipe-manifest",
            "version": CUBE_FORMAT_VERSION,
            "run_id": run_id,
            "as_of": format_as_of(as_of),
            "about": dict(about),
            "plan_sha256": sha256(plan),
            "template_sha256": wrote.template,
            "fingerprint": marks[0].fingerprint,
            "n_blocks": len(bounds),
            "blocks": [asdict(marks[block]) for block in range(len(bounds))],
            "objects": dict(
                map_objects(lambda key: (key.removeprefix(f"{prefix}/"), _entry(store.read(key))), held | inputs)
            ),
        }
    )
    key = manifest_key(run_id)
    if not store.create(key, content) and store.read(key) != content:
        raise StoreError(
            f"{store.uri}/{key} is there and differs from what was to be written: the run was completed before, with "
            "other content. A complete run never changes; verify it, or delete it and compute it again"
        )
    return sha256(content)


def read_manifest(store: Store, run_id: str, manifest_sha256: str | None = None) -> dict[str, Any]:
    """Read a run's manifest.

    Raises StoreError when there is none, and VerifyError when its hash is not the one given (a pointer's) or it does
    not hold what a manifest holds.
    """
    key = manifest_key(run_id)
    data = store.get(key)
    if data is None:
        raise StoreError(
            f"run {run_id} does not exist in {store.uri}: it has no manifest (unfinished, or another store)"
        )
    if manifest_sha256 is not None and sha256(data) != manifest_sha256:
        raise VerifyError(f"{store.uri}/{key} has SHA-256 {sha256(data)}, but the pointer says {manifest_sha256}")
    try:
        return _parsed(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VerifyError(f"{store.uri}/{key} is torn: {type(error).__name__}: {error}") from error


def _parsed(data: bytes) -> dict[str, Any]:
    """Parse a manifest, and use all that is used of it in the way in which it is used."""
    manifest: dict[str, Any] = json.loads(data)
    parse_as_of(manifest["as_of"])
    texts = [manifest[name] for name in ("run_id", "plan_sha256", "template_sha256", "fingerprint")]
    entries = list(manifest["objects"].values())
    texts += [entry["sha256"] for entry in entries]
    numbers = [entry["size"] for entry in entries]
    for mark in [Mark(**entry) for entry in manifest["blocks"]]:
        texts += [mark.sha256, mark.part_sha256, mark.fingerprint]
        numbers += [mark.block, mark.start, mark.stop]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(number, int) for number in numbers):
        raise TypeError("a hash that is no text, or a number that is none")
    return manifest


def verify(store: Store, run_id: str) -> tuple[str, ...]:
    """Compare a complete run with its manifest, and list every difference; empty = all is as promised.

    Checked: pointers' hash of the manifest; the plan; the book that it names; every object present, none besides, sizes
    and hashes equal; the template; each block's decoded arrays and account part against its mark; marks against the
    manifest. StoreError when the run has no manifest, VerifyError when it is torn.
    """
    manifest = read_manifest(store, run_id)
    prefix, cube = run_prefix(run_id), cube_prefix(run_id)
    of_manifest = sha256(store.read(manifest_key(run_id)))
    problems = [
        f"published as {night.pointer.as_of} of book {night.book!r} with another manifest"
        for night in catalogue_at(store, parse_as_of(manifest["as_of"])).nights
        if night.pointer.run_id == run_id and night.pointer.manifest_sha256 != of_manifest
    ]
    plan = store.get(plan_key(run_id))
    problems += _plan_problems(plan, manifest["plan_sha256"])
    problems += _book_problems(store, plan)
    problems += _object_problems(store, prefix, manifest["objects"])
    problems += _template_problems(store, cube, manifest["template_sha256"])
    problems += _block_problems(store, run_id, [Mark(**entry) for entry in manifest["blocks"]])
    return tuple(problems)


def verify_published(store: Store) -> dict[str, tuple[str, ...]]:
    """Verify every published run, and return every difference by run id; a torn pointer is a problem by its key.

    Nothing that is wrong with one run or pointer keeps the others from being compared.
    """
    catalogue = read_catalogue(store)
    problems: dict[str, tuple[str, ...]] = {key: (problem,) for key, problem in catalogue.problems.items()}
    for run_id in sorted({night.pointer.run_id for night in catalogue.nights}):
        try:
            problems[run_id] = verify(store, run_id)
        except StoreError as error:
            problems[run_id] = (str(error),)
    return problems


def require_verified(store: Store, run_id: str) -> None:
    """Raise VerifyError listing every difference that `verify` finds."""
    problems = verify(store, run_id)
    if problems:
        raise VerifyError(f"run {run_id} in {store.uri} is damaged: {_listed(problems)}")


def _plan_problems(plan: bytes | None, expected: str) -> list[str]:
    if plan is None:
        return ["plan.json is missing"]
    return [] if sha256(plan) == expected else [f"plan.json has SHA-256 {sha256(plan)}, expected {expected}"]


def _book_problems(store: Store, plan: bytes | None) -> list[str]:
    """Compare the book that a plan names, if it does, with what its files promise."""
    try:
        sha = json.loads(plan or b"{}").get("book_sha256")
    except (ValueError, AttributeError):
        return []  # the plan is told as damaged
    if sha is None:
        return []
    try:
        return [f"book {sha}: {problem}; run the night again to write it anew" for problem in book_problems(store, sha)]
    except StoreError as error:
        return [f"book {sha}: {error}; run the night again to write it anew"]


def _template_problems(store: Store, cube: str, expected: str) -> list[str]:
    try:
        found = read_template_digest(store, cube)
    except Exception as error:  # noqa: BLE001 - damaged metadata fails in as many ways as there are codecs
        return [f"the cube's template cannot be read: {type(error).__name__}: {error}"]
    return [] if found == expected else [f"the cube's template has SHA-256 {found}, expected {expected}"]


def _variable_problems(store: Store, cube: str, expected: Mapping[str, str]) -> list[str]:
    """Compare what no block writes with what its stage wrote."""
    problems = []
    for key, found in read_digests(store, cube).items():
        if isinstance(found, Exception):
            problems.append(f"{key} cannot be read: {type(found).__name__}: {found}")
        elif key not in expected:
            problems.append(f"{key} is there, but no stage says that it wrote it")
        elif found != expected[key]:
            problems.append(f"{key}: decoded array has SHA-256 {found}, its stage's mark says {expected[key]}")
    return problems


def _mark_problems(marks: Mapping[int, Mark], bounds: Sequence[tuple[int, int]]) -> list[str]:
    """Reconcile N of N blocks."""
    problems = [f"block {block} has no done-mark" for block in range(len(bounds)) if block not in marks]
    problems += [
        f"a mark speaks of block {block}, but there are {len(bounds)}" for block in marks if block >= len(bounds)
    ]
    problems += [
        f"block {block} was done as {mark.start}:{mark.stop}, planned as {bounds[block][0]}:{bounds[block][1]}"
        for block, mark in marks.items()
        if block < len(bounds) and (mark.start, mark.stop) != tuple(bounds[block])
    ]
    fingerprints = sorted({mark.fingerprint for mark in marks.values()})
    if len(fingerprints) > 1:
        problems.append(
            f"blocks were computed under different numerics fingerprints: {', '.join(fingerprints)}; another command "
            "may be computing this run on another kind of machine: let it end first"
        )
    return problems


def _cube_keys(store: Store, cube: str) -> set[str]:
    """List the keys that a cube with every chunk written has."""
    root = open_arrays(store, cube)
    keys = {f"{cube}/zarr.json"}
    for group_name, group in root.groups():
        keys.add(f"{cube}/{group_name}/zarr.json")
        for name, array in group.arrays():
            path = f"{cube}/{group_name}/{name}"
            keys.add(f"{path}/zarr.json")
            counts = [-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True)]
            keys.update(
                "/".join((path, "c", *map(str, at))) for at in itertools.product(*(range(count) for count in counts))
            )
    return keys


def _object_problems(store: Store, prefix: str, objects: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Compare every object of the cube, the parts and what blocks were computed from with the manifest."""
    held = {key.removeprefix(f"{prefix}/") for name in ("cube.zarr", "parts") for key in store.list(f"{prefix}/{name}")}
    problems = [f"{key} is not in the manifest" for key in sorted(held - objects.keys())]

    def compare(key: str) -> list[str]:
        data, entry = store.get(f"{prefix}/{key}"), objects[key]
        if data is None:
            return [f"{key} is missing"]
        found = _entry(data)
        if found != entry:
            expected = f"expected {entry['size']}, {entry['sha256']}"
            return [f"{key} has {found['size']} bytes, SHA-256 {found['sha256']}; {expected}"]
        return []

    return problems + list(itertools.chain.from_iterable(map_objects(compare, objects)))


def _block_problems(store: Store, run_id: str, marks: Sequence[Mark]) -> list[str]:
    """Compare blocks' decoded arrays, parts and marks with the manifest."""
    others = map_objects(lambda mark: _mark_and_part_problems(store, run_id, mark), marks)
    decoded = read_blocks(store, cube_prefix(run_id), [(mark.start, mark.stop) for mark in marks])
    problems = []
    for mark, found, other in zip(marks, decoded, others, strict=True):
        problems += other
        if isinstance(found, Exception):
            problems.append(f"block {mark.block} cannot be read: {type(found).__name__}: {found}")
        elif (digest := digest_arrays(found)) != mark.sha256:
            problems.append(f"block {mark.block}: decoded arrays have SHA-256 {digest}, its mark says {mark.sha256}")
    return problems


def _mark_and_part_problems(store: Store, run_id: str, mark: Mark) -> list[str]:
    problems = []
    key = mark_key(run_id, mark.block)
    data = store.get(key)
    if data != canonical_json(asdict(mark)):
        problems.append(f"{key.removeprefix(run_prefix(run_id) + '/')} {'is missing' if data is None else 'differs'}")
    try:
        found = part_digest(store, part_key(run_id, mark.block))
        if found != mark.part_sha256:
            problems.append(f"block {mark.block}: its part has SHA-256 {found}, its mark says {mark.part_sha256}")
    except StoreError as error:
        problems.append(f"block {mark.block}: {error}")
    return problems


def _entry(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": sha256(data)}


def _listed(problems: Sequence[str]) -> str:
    count = len(problems)
    return f"{count} difference{'s' if count != 1 else ''}" + "".join(f"\n  - {problem}" for problem in problems)
