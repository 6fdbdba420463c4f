"""Headlines of a book's last published nights, as their own reports hold them."""

import io
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from riskpipe.cube.catalogue import night_names, pointer_of
from riskpipe.cube.layout import run_prefix
from riskpipe.cube.protocol import Store
from riskpipe.domain.instant import format_as_of
from riskpipe.errors import StoreError
from riskpipe.report.report_input import PastNight
from riskpipe.run.night import Night

MAX_NIGHTS = 30


def recent_nights(night: Night) -> list[PastNight]:
    """Return the headlines of at most 30 published nights of the book before this one, the oldest first.

    They are read from the tables of their reports, over the grid. A night whose pointer or report cannot be read (swept
    meanwhile, torn, or of a version that kept no such table) is kept without numbers, so that a gap shows.
    """
    store, before = night.store, format_as_of(night.as_of)
    names = sorted(one.as_of for one in night_names(store, night.config.book) if format_as_of(one.as_of) < before)
    return [_read(store, as_of, night.config.book) for as_of in names[-MAX_NIGHTS:]]


def _read(store: Store, as_of: datetime, book: str) -> PastNight:
    run_id = ""
    try:
        run_id = pointer_of(store, as_of, book).run_id
        table = pq.read_table(io.BytesIO(store.read(f"{run_prefix(run_id)}/report/range_values.parquet")))
        rows = [row for row in table.to_pylist() if row["scope"] == "grid"]
        values = {row["headline"]: (row["low"], row["central"], row["high"], row["grade"]) for row in rows}
    except (StoreError, pa.ArrowException, KeyError):
        values = {}
    return PastNight(as_of.isoformat(), run_id, values)
