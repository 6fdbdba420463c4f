"""A planted breach: shown, told once to real receivers, acknowledged; and its addresses appear nowhere."""

import json
import os
import re
import shutil

import pytest
from support.nights import riskpipe_command, run_on, settings, write_config
from support.receivers import Webhook, mail_server

import riskpipe
from riskpipe.errors import ConfigError
from riskpipe.run.limits import acknowledge
from riskpipe.run.publish import render_again

CANARY = "canary0Tweet0secret"


def limit(variable="uncovered_loss", **changes):
    given = {"measure": "fund_losses", "variable": variable, "reduce": "max", "warn": 1.0, "breach": 1000.0}
    return given | {"owner": "treasury desk", "action": "top up the fund"} | changes


BREACHED = {"funds-uncovered": limit()}
LIMITS = BREACHED | {
    "gone": limit("drawdown", at={"fund": "delisted"}, warn=0.5, breach=0.9),
    "rounds": limit("rounds", measure="liquidation", warn=None, breach=1e6),
}


@pytest.fixture(scope="module")
def kept(inputs, tmp_path_factory):
    """A store with the night, computed once: what follows only reports, publishes and tells."""
    store = tmp_path_factory.mktemp("kept") / "store"
    run_on(inputs, store, is_published=False)
    return store


@pytest.fixture
def store(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "store")


def test_a_planted_breach_reaches_a_mail_server_and_a_webhook_once_and_no_secret_is_kept(inputs, store, tmp_path):
    alerts = {"addresses": ["RISKPIPE_DESK", "RISKPIPE_CHAT"], "on_breach": 10}
    config = write_config(tmp_path / "night.yaml", settings(inputs, store, risk_limits=LIMITS, alerts=alerts))
    with Webhook() as hook, mail_server("desk", CANARY) as (port, messages):
        environment = os.environ | {
            "RISKPIPE_DESK": f"mailto://desk:{CANARY}@127.0.0.1:{port}?smtp=127.0.0.1&from=a@x.example&to=b@y.example",
            "RISKPIPE_CHAT": f"json://127.0.0.1:{hook.port}/{CANARY}",
        }
        hook.is_down = True
        first = riskpipe_command("run", config, "--log-format", "json", env=environment)
        assert first.returncode == 6, first.stderr
        assert riskpipe.open_cube(str(store)), "a failure to tell does not un-publish"
        assert (len(messages), len(hook.posts)) == (1, 0)
        assert "RISKPIPE_CHAT" in first.stderr
        assert "503" in first.stderr
        hook.is_down = False
        again = riskpipe_command("run", config, env=environment)
        assert again.returncode == 10, again.stderr
        assert "funds-uncovered" in again.stderr
        third = riskpipe_command("run", config, "--json", env=environment)
        assert third.returncode == 10
        assert (len(messages), len(hook.posts)) == (1, 1)
    (message,), ((_, post),) = messages, hook.posts
    for text in (message.get_body(("plain", "html")).get_content(), post["message"]):
        assert "BREACH: funds-uncovered" in text
        assert "NOT MEASURED: gone" in text
        assert "rounds" not in text.split("Run ")[0].split("To do")[-1]
        assert "top up the fund" in text
    assert "1 limit breached, 1 limit not measured" in post["title"]
    assert {one["limit"]["name"]: one["level"] for one in json.loads(third.stdout)["limits"]} == {
        "funds-uncovered": "breach", "gone": "not measured", "rounds": "ok",
    }  # fmt: skip
    said = "".join(one.stdout + one.stderr for one in (first, again, third))
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert CANARY not in said
    assert CANARY.encode() not in held


def test_the_report_says_first_what_is_over_and_shows_every_limit(inputs, store, tmp_path):
    result = run_on(inputs, store, risk_limits=LIMITS)
    assert result.headline[0].startswith("Limit funds-uncovered is breached: max of fund_losses/uncovered_loss at ")
    assert "no fund 'delisted'" in result.headline[1]
    folder = store / "runs" / result.run_id / "report"
    page = (folder / "index.html").read_text()
    assert re.search(r"<section id=\"limits\".*mark-breach.*mark-not-measured.*mark-ok.*</section>", page, re.DOTALL)
    assert [one["level"] for one in json.loads((folder / "limits.json").read_text())["limits"]] == [
        "breach", "not measured", "ok",
    ]  # fmt: skip
    for file in render_again(str(store), as_of=None, book="", out=tmp_path / "again"):
        assert file.read_bytes() == (folder / file.name).read_bytes()


def test_limits_change_the_report_and_neither_the_run_nor_its_cube(inputs, store):
    before = run_on(inputs, store, risk_limits=BREACHED)
    after = run_on(inputs, store, risk_limits={"funds-uncovered": limit(breach=1e12)})
    assert (after.run_id, after.was_complete) == (before.run_id, True)
    assert [state.level for state in (*before.limits, *after.limits)] == ["breach", "warn"]
    none = run_on(inputs, store)
    assert none.limits == ()
    assert not (store / "runs" / none.run_id / "report" / "limits.json").exists()


def test_an_acknowledged_breach_is_shown_and_told_to_nobody_until_it_worsens(inputs, store, monkeypatch):
    with Webhook() as hook:
        monkeypatch.setenv("RISKPIPE_NOTIFY_URL", f"json://127.0.0.1:{hook.port}/")
        run_on(inputs, store, is_published=False, risk_limits=BREACHED)
        assert hook.posts == [], "a night that is not published tells nobody"
        run_on(inputs, store, risk_limits=BREACHED, alerts={"addresses": []})
        said = acknowledge(str(store), "funds-uncovered", by="anna", why="hedged elsewhere")
        known = run_on(inputs, store, risk_limits=BREACHED, alerts={"on_breach": 10})
        assert hook.posts == []
        known.conclude()
        assert "acknowledged by anna on" in known.headline[0]
        assert "hedged elsewhere" in known.headline[0]
        assert said.until > known.as_of
        harder = run_on(inputs, store, risk_limits={"funds-uncovered": limit(at={"index_shock": -0.4})})
        assert harder.limits[0].acknowledgement is None, "it was another number"
        assert len(hook.posts) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limit": "rounds"}, "is ok"),
        ({"limit": "nothing"}, "has no limit 'nothing'; its limits are: funds-uncovered"),
        ({"by": " "}, "--by"),
        ({"why": "two\nlines"}, "--why"),
        ({"until": "2001-01-01"}, "before the night"),
    ],
)
def test_what_cannot_be_acknowledged_is_refused(inputs, store, changes, words):
    run_on(inputs, store, risk_limits=LIMITS)
    asked = {"limit": "funds-uncovered", "by": "anna", "why": "hedged"} | changes
    with pytest.raises(ConfigError, match=words):
        acknowledge(str(store), asked.pop("limit"), **asked)
    assert not (store / "acknowledgements").exists()


def test_everything_wrong_with_limits_is_found_before_the_night_starts_all_at_once(inputs, tmp_path):
    wrong = {"one": limit(measure="fund_loses"), "two": limit("nothing"), "three": limit(at={"fnd": "x"})}
    with pytest.raises(ConfigError) as refused:
        run_on(inputs, tmp_path / "store", risk_limits=wrong, alerts={"addresses": ["RISKPIPE_NOBODY"]})
    for words in ("risk_limits.one", "risk_limits.two", "risk_limits.three", "RISKPIPE_NOBODY is not set"):
        assert words in str(refused.value)
    with pytest.raises(ConfigError) as disordered:
        run_on(inputs, tmp_path / "store", risk_limits={
            "one": limit(warn=2000.0), "two": limit(direction="below"), "three": limit(breach=float("nan")),
            "Four": limit(), "five": limit() | {"owner": ""},
        })  # fmt: skip
    for words in ("one: warn 2000 must lie below", "two: warn 1 must lie above", "three.breach", "Four", "five.owner"):
        assert words in str(disordered.value)
    assert not (tmp_path / "store" / "runs").exists()
