"""The report as one self-contained page: nothing is loaded, whatever names the data holds.

Three locks, any of which is enough: every text is escaped by the template; data for charts travels as JSON without an
angle bracket; and the page's own policy lets only its three scripts run, named by their hashes, and nothing be loaded.
"""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from riskpipe.report import numbers
from riskpipe.report.document import Chart, Code, Document, KeyFigures, Paragraph, Table
from riskpipe.report.json_form import plain
from riskpipe.report.tables import file_name

_HERE = Path(__file__).parent
_KINDS = {Chart: "chart", Code: "code", KeyFigures: "figures", Paragraph: "paragraph", Table: "table"}


def html_bytes(document: Document) -> bytes:
    """Render the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.filters["written"] = lambda value, kind: shown(numbers.written(kind, value))
    charts = {
        block.name: {"kind": block.kind, "title": block.title, **block.data}
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Chart)
    }
    scripts = (drawing_code(), _asset("page.js")) if charts else ()
    page = environment.get_template("template.html.j2").render(
        document=document,
        kind_of=lambda block: _KINDS[type(block)],
        file_name=file_name,
        style=Markup(_asset("page.css")),  # noqa: S704  the package's own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704  the package's own file and plotly's
        policy=_policy(scripts),
        charts=Markup(embedded_json(charts)),  # noqa: S704  holds no angle bracket, see there
    )
    return page.encode()


def shown(text: object) -> str:
    """Text safe to look at: control letters and those that turn the reading direction are replaced by a mark."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\u00a0" else "\N{REPLACEMENT CHARACTER}" for letter in str(text)
    )


def embedded_json(value: Any) -> str:  # noqa: ANN401  any JSON value
    """JSON that can stand in a script element: no text in it can end the element or open another."""
    text = json.dumps(plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def drawing_code() -> str:
    """Return plotly.js as installed, with line ends as browsers hash them. Raises ValueError when it could end its own
    element.
    """  # noqa: D205
    text = str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("the installed plotly.js holds text that ends a script element: it cannot be inlined")
    return text


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _policy(scripts: tuple[str, ...]) -> str:
    """Content security policy of the page: its own scripts by hash, inline styles, images it draws itself."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
