"""Render a report: one document tree in four forms."""

from collections.abc import Mapping

from riskpipe.report.build import build
from riskpipe.report.html import html_bytes
from riskpipe.report.json_form import json_bytes
from riskpipe.report.markdown import markdown_bytes
from riskpipe.report.report_input import ReportInput
from riskpipe.report.tables import file_name, parquet_bytes


def render(report_input: ReportInput) -> Mapping[str, bytes]:
    """Render a night's report: file name -> content, the same bytes for the same input.

    `index.html` is the page for people, `report.json` the tree for programs, `summary.md` what to know, and one Parquet
    file for each table.
    """
    document = build(report_input)
    return {
        "index.html": html_bytes(document),
        "report.json": json_bytes(report_input, document),
        "summary.md": markdown_bytes(document),
        **{file_name(table): parquet_bytes(table) for table in document.tables().values()},
    }
