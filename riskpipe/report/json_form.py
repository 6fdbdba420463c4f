"""The report as JSON: the document tree itself, for programs, as `report.schema.json` beside this file describes it.

Grows by addition; anything else raises the version.
"""

import json
import math
from typing import Any

from riskpipe.report.document import Block, Chart, Code, Document, KeyFigures, Paragraph, Point, Source, Table
from riskpipe.report.grade import grade_parts, suppressed_words
from riskpipe.report.report_input import ReportInput
from riskpipe.report.tables import file_name

SCHEMA = "riskpipe-report"
SCHEMA_VERSION = 2
MAX_ROWS = 1000


def json_bytes(report: ReportInput, document: Document) -> bytes:
    """Write the report as JSON; NaN is null; of a long table the first rows, the whole is in its Parquet file."""
    content = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "run_id": report.run_id,
        "book": report.book,
        "as_of": report.as_of.isoformat(),
        "n_blocks": report.n_blocks,
        "title": document.title,
        "subtitle": document.subtitle,
        "sources": list(report.sources),
        "book_summary": None if report.summary is None else dict(report.summary),
        "points": [_point(point) for point in document.points],
        "key_figures": _block(document.figures),
        "suppressed": suppressed_words(report) or None,
        "grade": [{"part": part.name, "grade": part.grade, "why": part.why} for part in grade_parts(report)],
        "sections": [
            {"name": section.name, "title": section.title, "blocks": [_block(block) for block in section.blocks]}
            for section in document.sections
        ],
        "findings": report.findings.as_json(),
        "controls": [control.as_json() for control in report.controls],
        "replication": report.replication.as_json(),
        "config": report.config,
        "versions": dict(report.versions),
        "input_hashes": dict(report.input_hashes),
        "timings": dict(report.timings),
    }
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False).encode()


def plain(value: Any) -> Any:  # noqa: ANN401  any tree of JSON values
    """Replace what JSON cannot hold: numbers that are not finite become null, other objects their text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _source(source: Source | None) -> dict[str, Any] | None:
    return None if source is None else {"variables": list(source.variables), "command": source.command}


def _point(point: Point) -> dict[str, Any]:
    return {"text": point.text, "tone": point.tone, "grade": point.grade or None, "source": _source(point.source)}


def _table(table: Table) -> dict[str, Any]:
    return {
        "type": "table",
        "name": table.name,
        "caption": table.caption,
        "columns": [{"name": one.name, "label": one.label, "kind": one.kind} for one in table.columns],
        "rows": [list(row) for row in table.rows(MAX_ROWS)],
        "n_rows": table.n_rows,
        "file": file_name(table),
        "source": _source(table.source),
    }


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Table():
            return _table(block)
        case Chart():
            table = None if block.table is None else _table(block.table)
            return {"type": "chart", "name": block.name, "title": block.title, "description": block.description,
                    "kind": block.kind, "table": table, "source": _source(block.source)}  # fmt: skip
        case KeyFigures():
            figures = [
                {"label": one.label, "value": one.value, "note": one.note, "grade": one.grade or None,
                 "source": _source(one.source)}
                for one in block.figures
            ]  # fmt: skip
            return {"type": "key_figures", "figures": figures}
        case Paragraph():
            return {"type": "paragraph", "text": block.text, "tone": block.tone}
        case Code():
            return {"type": "code", "caption": block.caption, "text": block.text}
