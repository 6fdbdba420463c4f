"""The document tree: what the report says, before anything decides how it looks.

Texts are plain: names from data stand in them as they are, and every renderer escapes everything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "code", "usd", "share", "signed_share", "factor", "count", "number", "seconds", "flag", "id",
    "matched", "cents"]  # fmt: skip
Tone = Literal["plain", "good", "warn", "bad", "unknown"]


@dataclass(frozen=True)
class Source:
    """Where a number comes from: cube variables, and the command that reads it."""

    variables: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Point:
    """One sentence of what to know, with its source; `grade` of the numbers in it, "" for none."""

    text: str
    tone: Tone = "plain"
    source: Source | None = None
    grade: str = ""


@dataclass(frozen=True)
class KeyFigure:
    """One number in large type: what it is, the value as read by people, what stands beside it, its source, its grade
    ("" for none).
    """  # noqa: D205

    label: str
    value: str
    note: str
    source: Source | None = None
    grade: str = ""


@dataclass(frozen=True)
class KeyFigures:
    """Key figures side by side."""

    figures: tuple[KeyFigure, ...]


@dataclass(frozen=True)
class Paragraph:
    """Plain sentences."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Column:
    """A column of a table: `kind` says how a value is written and how it is stored."""

    name: str
    label: str
    kind: Kind
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """A table, stored whole as `<name>.parquet`; pages show its first n_shown rows.

    `tone_column` names a text column whose words (ok, differs, passes, fails, widens, steady,
    not checked, not measured, error, warning, info, breach, warn, A, B, C) are marked.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    source: Source | None = None
    n_shown: int = 40
    tone_column: str = ""

    @property
    def n_rows(self) -> int:
        """Count the rows."""
        return len(self.columns[0].values) if self.columns else 0

    def rows(self, limit: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Iterate over the first rows, all by default."""
        return zip(*(column.values[:limit] for column in self.columns), strict=True)


@dataclass(frozen=True)
class Chart:
    """An interactive figure as plain data, drawn by the page according to its kind; `table` says the same in words."""

    name: str
    title: str
    description: str
    kind: Literal["heatmap", "bars", "ranges", "waterfall"]
    data: Mapping[str, Any]
    table: Table | None = None
    source: Source | None = None


@dataclass(frozen=True)
class Code:
    """Text to be shown letter by letter, as the resolved configuration."""

    caption: str
    text: str


Block = Paragraph | KeyFigures | Table | Chart | Code


@dataclass(frozen=True)
class Section:
    """A heading and its blocks; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report: what it is about, where its data come from, what to know, and the sections."""

    title: str
    subtitle: str
    source: str
    points: tuple[Point, ...]
    figures: KeyFigures
    sections: tuple[Section, ...]

    def tables(self) -> dict[str, Table]:
        """Return every table by name, those of charts included. Raises ValueError when a name is taken twice."""
        found: dict[str, Table] = {}
        for section in self.sections:
            for block in section.blocks:
                table = block.table if isinstance(block, Chart) else block
                if isinstance(table, Table):
                    if found.get(table.name, table) is not table:
                        raise ValueError(f"two tables of the report are called {table.name}")
                    found[table.name] = table
        return found
