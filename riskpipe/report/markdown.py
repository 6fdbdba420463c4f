"""The report as Markdown, for chat and task artifacts: its first ten lines say what to know."""

import re

from riskpipe.report import numbers
from riskpipe.report.document import Chart, Document, Table

_SPECIAL = re.compile(r"([\\`*_\[\]#|~$@])")
_LEADING = re.compile(r"^(\s*)(?:([-+=])(?=[\s\-=]|$)|(\d+)([.)])(?=\s|$))")
_TABLES = ("limits", "ranges", "exhaustion", "funds", "worst_cells", "replication", "replication_mismatches",
           "controls", "findings")  # fmt: skip
_MARKS = {"good": "OK", "warn": "NOTE", "bad": "ALERT", "unknown": "UNKNOWN"}
MAX_ROWS = 10
MAX_COLUMNS = 13
# what a reader of chat can do without, so that who is left unpaid still stands in the row
_LEFT_OUT = {"funds": {"drawdown"}, "worst_cells": {"set", "shortfall"}}


def escape(text: str) -> str:
    """Write any text so that Markdown shows it letter by letter: no markup, link, table cell, mention or HTML."""
    one_line = "".join(letter if letter.isprintable() else " " for letter in text)
    escaped = _SPECIAL.sub(r"\\\1", one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    escaped = escaped.replace("://", "\\://").replace("www.", "www\\.")
    return _LEADING.sub(lambda found: f"{found[1]}{found[3] or ''}\\{found[2] or found[4]}", escaped)


def markdown_bytes(document: Document) -> bytes:
    """Write the summary: what to know, then the few tables that a reader of chat may want."""
    lines = [f"# {escape(document.title)}", f"{escape(document.subtitle)}. {escape(document.source)}", ""]
    lines += [
        f"- {_MARKS.get(point.tone, 'INFO')}: {escape(point.text)}"
        + (f" (grade {escape(point.grade)})" if point.grade else "")
        for point in document.points
    ]
    tables = document.tables()
    titles = {
        block.table.name: block.title
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Chart) and block.table is not None
    }
    for name in _TABLES:
        if name in tables and tables[name].n_rows:
            lines += ["", *_table(tables[name], titles.get(name, tables[name].caption))]
    lines += ["", "Sources:"]
    lines += [
        f"- {code(point.source.command)}"
        for point in {point.source: point for point in document.points if point.source}.values()
        if point.source
    ]
    return ("\n".join(lines) + "\n").encode()


def _table(table: Table, title: str) -> list[str]:
    left_out = _LEFT_OUT.get(table.name, set())
    kept = [ix for ix, one in enumerate(table.columns) if one.name not in left_out][:MAX_COLUMNS]
    columns = [table.columns[ix] for ix in kept]
    head = "| " + " | ".join(escape(one.label) for one in columns) + " |"
    rule = "|" + "|".join(" --- " if one.kind in {"text", "code", "flag"} else " ---: " for one in columns) + "|"
    rows = [
        "| "
        + " | ".join(
            escape(numbers.written(one.kind, value))
            for one, value in zip(columns, (row[ix] for ix in kept), strict=True)
        )
        + " |"
        for row in table.rows(MAX_ROWS)
    ]
    lines = [f"**{escape(title)}**", "", head, rule, *rows]
    if table.n_rows > MAX_ROWS:
        lines += ["", f"{numbers.count(table.n_rows - MAX_ROWS)} more rows in `{table.name}.parquet`."]
    return lines


def code(text: str) -> str:
    """A code span that no backtick in the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}"
