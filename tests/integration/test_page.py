"""The report's page in a real browser (Debian's chromium), of a night whose accounts and owners have hostile names."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.nights import run_on, write_inputs

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="a browser needs Debian's package chromium"),
]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=8000",
)
HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>"
LIMIT = {"measure": "fund_losses", "variable": "uncovered_loss", "reduce": "max", "breach": 1.0, "owner": "desk",
         "action": HOSTILE}  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    inputs = write_inputs(folder / "inputs", n_accounts=100)
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


def opened(tmp_path, page, size):
    """The page as the browser leaves it, after nothing was written to its console."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}", "--dump-dom"]
    shown = subprocess.run([*command, f"file://{page}"], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in shown.stderr
    return shown.stdout


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
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    told = f"<script>addEventListener('load', () => parent.postMessage({widths}, '*'))</script>"
    (tmp_path / "page.html").write_text(text.replace("</body>", f"{told}</body>"), encoding="utf-8")
    heard = "addEventListener('message', (one) => { told.textContent = JSON.stringify(one.data) })"
    frame = f"<pre id=told></pre><script>{heard}</script>"
    frame += '<iframe src="page.html" width="390" height="2000" style="border:0"></iframe>'
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    shown = opened(tmp_path, tmp_path / "frame.html", "800,2200")
    wide, window = json.loads(re.search(r'<pre id="told">(.*?)</pre>', shown)[1])
    assert wide <= window == 390


def test_the_page_of_a_night_is_below_eight_megabytes(page):
    assert page.stat().st_size < 8_000_000
