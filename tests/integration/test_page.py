"""The report's page in a real browser (Debian's chromium), of a night whose accounts and owners have hostile names."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.axe import axe_script
from support.browser import asked, browse, needs_browser, opened
from support.nights import run_on, write_inputs

pytestmark = needs_browser
HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>"
LIMIT = {"measure": "fund_losses", "variable": "uncovered_loss", "reduce": "max", "breach": 1.0, "owner": "desk",
         "action": HOSTILE}  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    inputs = write_inputs(folder / "inputs", n_accounts=100, fitted=None)
    for name in ("accounts", "balances", "positions"):
        path = inputs / f"snapshot/{name}.parquet"
        table = pq.read_table(path)
        for column in {"account_id", "entity_id"} & set(table.column_names):
            at = table.schema.get_field_index(column)
            names = [None if one is None else f"{HOSTILE}{one}" for one in table[column].to_pylist()]
            table = table.set_column(at, table.schema.field(at), pa.array(names, table.schema.field(at).type))
        pq.write_table(table, path)
    simulated = {"method": "fhs", "n": 40, "horizon": "1d", "seed": 1}
    grid = {"index_shock": [-0.4, 0.0, 0.2], "depth_factor": [1.0, 0.2]}
    scenarios = {"grid": grid, "simulated": simulated}
    return Path(run_on(inputs, folder / "store", scenarios=scenarios, risk_limits={"planted": LIMIT}).report)


@pytest.mark.parametrize("size", ["1400,2000", "500,2000"])
def test_the_page_opens_without_a_console_error_draws_its_charts_and_runs_no_name(page, tmp_path, size):
    shown = opened(tmp_path, page, size)
    assert shown.count("js-plotly-plot") >= 5
    assert "<title>Liquidation and basis risk</title>" in shown
    elements = re.sub(r"<script.*?</script>", "", shown, flags=re.DOTALL)
    assert "<img" not in elements
    assert "&lt;img src=x" in elements, "a hostile name is shown letter by letter"
    summary = (page.parent / "summary.md").read_text(encoding="utf-8")
    assert "<" not in summary
    assert "&lt;img src=x" in summary


def test_no_page_scrolls_sideways_on_a_phone(page, tmp_path):
    wide, window = asked(tmp_path, page, 390, "[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window == 390


def test_a_number_that_is_not_there_is_a_gap_in_a_bar_chart_and_said(page, tmp_path):
    def without_first(found):
        charts = json.loads(found[2])
        bars = charts["distances"]
        for series in bars["series"]:
            at = [value if place else None for value, place in zip(series["values"], bars["x"]["codes"], strict=True)]
            series["values"] = at
        return found[1] + json.dumps(charts).replace("<", "\\u003c") + found[3]

    text = page.read_text(encoding="utf-8")
    (tmp_path / "gap.html").write_text(
        re.sub(r'(<script type="application/json" id="charts">)(.*?)(</script>)', without_first, text, flags=re.DOTALL),
        encoding="utf-8",
    )
    question = """(() => {
      const figure = document.querySelector("#chart-distances");
      return [figure.querySelector(".state").textContent, figure.querySelector(".plot").data[0].y];
    })()"""
    said, heights = asked(tmp_path, tmp_path / "gap.html", 1366, question)
    assert said.startswith("No number at ")
    assert heights[0] is None
    assert all(height is not None for height in heights[1:])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1366])
def test_axe_finds_nothing_serious(page, tmp_path, request, width, scheme):
    question = """(async () => {
      document.querySelectorAll("details").forEach((one) => { one.open = true; });
      const found = await axe.run(document, { resultTypes: ["violations"] });
      const where = (one) => one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160));
      const told = found.violations.map((one) => [one.impact, one.id, one.help, where(one)]);
      return [matchMedia("(prefers-color-scheme: dark)").matches, found.passes.length, told];
    })()"""
    script = axe_script(request.config.cache.mkdir("axe-core"))
    is_dark, n_passed, found = asked(tmp_path, page, width, question, scheme=scheme, scripts=(script,))
    assert is_dark == (scheme == "dark")
    assert n_passed > 20, "axe looked at the page"
    assert [one for one in found if one[0] in {"serious", "critical"}] == []


def test_on_paper_every_table_and_chart_lies_between_the_margins(page, tmp_path):
    styled = page.read_text(encoding="utf-8").replace("@media print", "@media all")
    (tmp_path / "paper.html").write_text(styled, encoding="utf-8")
    question = """(async () => {
      window.dispatchEvent(new Event("beforeprint"));
      await new Promise((ready) => setTimeout(ready, 500));
      const parts = [...document.querySelectorAll("table, .main-svg, .figures, p, li, h2, h3, pre")];
      const drawn = document.querySelectorAll(".main-svg").length;
      const out = parts.filter((one) => one.getBoundingClientRect().right > innerWidth + 1);
      const colour = getComputedStyle(document.documentElement).getPropertyValue("--heat-low").trim();
      window.dispatchEvent(new Event("afterprint"));
      await new Promise((ready) => setTimeout(ready, 500));
      const drawnOn = [...document.querySelectorAll(".plot")];
      const width = (one) => one.getBoundingClientRect().width;
      const is_back = drawnOn.every((one) => width(one.querySelector(".main-svg")) === one.clientWidth);
      return [drawn, out.map((one) => `${one.tagName} ${one.textContent.slice(0, 60)}`), colour, is_back];
    })()"""
    between_margins_of_a4 = 703
    drawn, out, colour, is_back = asked(
        tmp_path, tmp_path / "paper.html", between_margins_of_a4, question, scheme="dark"
    )
    assert drawn >= 5
    assert out == []
    assert colour == "#f1f5f9", "paper is light on a dark screen, too"
    assert is_back, "after printing charts are as wide as the screen lets them be"


def test_a_night_prints_on_fewer_than_fifty_pages(page, tmp_path):
    browse(tmp_path, page, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    printed = (tmp_path / "page.pdf").read_bytes()
    n_pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 10 <= n_pages < 50


def test_the_page_of_a_night_is_below_eight_megabytes(page):
    assert page.stat().st_size < 8_000_000
