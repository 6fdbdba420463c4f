"""The report's page in a real browser (Debian's chromium)."""

import shutil
import subprocess

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


@pytest.mark.parametrize("size", ["1400,2000", "390,2000"])
def test_the_page_opens_without_a_console_error_and_draws_its_charts(tmp_path, size):
    inputs = write_inputs(tmp_path / "inputs", n_accounts=100)
    result = run_on(inputs, tmp_path / "store")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}", "--dump-dom"]
    shown = subprocess.run(
        [*command, f"file://{result.report}"], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in shown.stderr
    assert shown.stdout.count("js-plotly-plot") >= 2
    assert result.run_id in shown.stdout
