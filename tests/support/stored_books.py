"""Books to be stored: of the right types, with numbers that mean nothing."""

from dataclasses import fields
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import Book

DTYPES = {"FloatArray": np.float64, "IntArray": np.int32, "OffsetArray": np.int64, "BoolArray": np.bool_}
LABELS = ("account", "venue", "asset", "instrument", "fund", "entity", "segment")


def make_book(seed=0, size=50):
    """A book of the right types; its numbers mean nothing."""
    rng = np.random.default_rng(seed)
    values = {
        "as_of": datetime(2024, 8, 5, tzinfo=UTC),
        "numeraire": "USD",
        "labels": {name: pa.array([f"{name} {index} é" for index in range(size)]) for name in LABELS},
    }
    for spec in fields(Book):
        if spec.name not in values:
            shape = (3, 4) if spec.name == "venue_price" else size
            dtype = spec.type.__args__[1].__args__[0]
            values[spec.name] = (rng.normal(size=shape) * 100).astype(dtype)
    return Book(**values)
