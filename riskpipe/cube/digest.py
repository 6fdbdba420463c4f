"""Canonical JSON and hashes of decoded content: equal content, equal hash, however it was compressed or cut."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def canonical_json(value: object) -> bytes:
    """Encode plain values as JSON with sorted keys and no spaces; ValueError on NaN and infinity, which JSON lacks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(data: bytes | memoryview) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_arrays(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 of named arrays by sorted name: dtype, shape and decoded values (numbers bit by bit, text as text)."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        is_text = array.dtype.kind in "OUT"
        dtype = "string" if is_text else array.dtype.newbyteorder("<").str
        digest.update(canonical_json([name, dtype, list(array.shape)]))
        if is_text:
            digest.update(canonical_json([str(text) for text in array.ravel()]))
        else:
            digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
