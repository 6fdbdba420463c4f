"""The report's page in a real browser, Debian's chromium, without a console error."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
needs_browser = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="a browser needs Debian's package chromium"),
]
_FLAGS = (
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
SCHEMES = {"dark": 0, "light": 1}  # blink::mojom::PreferredColorScheme


def browse(folder, page, *options, size="1400,2000", scheme="light"):
    """What the browser prints of a page, after nothing was written to its console."""
    command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={size}"]
    command += [f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", *options, f"file://{page}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "CONSOLE" not in shown.stderr, shown.stderr
    return shown.stdout


def opened(folder, page, size, **options):
    """The page as the browser leaves it."""
    return browse(folder, page, "--dump-dom", size=size, **options)


def asked(folder, page, width, question, *, scheme="light", scripts=()):
    """What JavaScript (an expression, or a promise) says inside the page at a width below that of any window.

    The page's own policy lets no other script run: it is taken off the copy that is asked.
    """
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", Path(page).read_text(encoding="utf-8"))
    tell = f"addEventListener('load', async () => parent.postMessage(JSON.stringify(await ({question})), '*'))"
    added = "".join(f"<script>{script}</script>" for script in (*scripts, tell))
    (folder / "page.html").write_text(text.replace("</body>\n</html>", f"{added}</body>\n</html>"), encoding="utf-8")
    heard = "addEventListener('message', (one) => { told.textContent = one.data })"
    frame = f'<meta name="color-scheme" content="light dark"><pre id=told></pre><script>{heard}</script>'
    frame += f'<iframe src="page.html" width="{width}" height="2000" style="border:0"></iframe>'
    (folder / "frame.html").write_text(frame, encoding="utf-8")
    shown = opened(folder, folder / "frame.html", f"{width + 410},2200", scheme=scheme)
    told = re.search(r'<pre id="told">(.+?)</pre>', shown, flags=re.DOTALL)
    assert told, "the page did not answer in time"
    letters = {"&lt;": "<", "&gt;": ">", "&nbsp;": "\u00a0", "&amp;": "&"}
    return json.loads(re.sub("|".join(letters), lambda found: letters[found[0]], told[1]))
