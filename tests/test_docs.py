"""The words of the project: what they show runs, and what they name exists."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from riskpipe import errors

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "infra/README.md")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROOMS = "calibrate|cube|domain|ingest|liquidation|margin|measures|numerics|pricing|report|run|scenarios"


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def section(text, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL).group(1)


def test_every_example_of_the_readme_runs_in_the_order_shown(tmp_path):
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": "error"}
    shell, python = fenced(README, "sh"), fenced(README, "python")
    assert len(shell) >= 4
    assert len(python) >= 3

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    shown = run("bash", "-euc", "\n".join(shell))
    assert "mine/snapshot is valid" in shown
    assert re.search(r"night \S+ is done and published", shown)
    assert re.search(r"night \S+ is done, not published", shown)
    assert "as promised" in shown
    printed = run(sys.executable, "-c", "\n".join(python))
    assert "USD closed by force" in printed
    assert "2020-03-12 Black Thursday" in printed


def test_the_command_reference_names_every_command_and_every_option():
    import typer

    from riskpipe.cli import app

    rows = {
        row.split("`")[1].split()[1]: row
        for row in section(README, "Commands").splitlines()
        if row.startswith("| `riskpipe ")
    }
    commands = typer.main.get_command(app).commands
    assert rows.keys() == commands.keys()
    for name, command in commands.items():
        options = {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("--")
        }
        documented = re.split(r"(?<!\\)\|", rows[name])[3]  # cells; a bar inside a cell is escaped
        assert set(re.findall(r"--[a-z][a-z-]*", documented)) == options - {"--help"}, name


def test_the_exit_codes_are_those_of_the_errors():
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", section(README, "Commands"), flags=re.MULTILINE)}
    raised = {found.exit_code for found in vars(errors).values() if hasattr(found, "exit_code")}
    assert documented == raised | {0, 130}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere_and_fences_are_closed(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count("```") % 2 == 0
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)", prose):
        assert target.startswith("https://") or ((ROOT / page).parent / target).exists(), target
    for path in re.findall(r"`((?:riskpipe|configs|tests|flows)/[\w./-]+)`", prose):
        assert (ROOT / path).exists(), path


def test_the_house_in_the_architecture_is_the_house():
    folders, named = [], set()
    for line in fenced(section(ARCHITECTURE, "The house"), "text")[0].splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        path = "/".join([*folders[:depth], name.rstrip("/")])
        if name.endswith("/"):
            folders[depth:] = [name.rstrip("/")]
        else:
            named.add(path)
    there = {
        path.relative_to(ROOT).as_posix()
        for folder in ("riskpipe", "flows")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".js", ".css", ".j2"} and path.name != "__init__.py"
    }
    assert named == there


def test_every_function_that_the_architecture_names_exists():
    names = set(re.findall(rf"`((?:{ROOMS})(?:\.\w+)+)`", ARCHITECTURE))
    assert len(names) > 30
    for name in sorted(names):
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found = import_module(".".join(["riskpipe", *parts[:cut]]))
                break
            except ModuleNotFoundError:
                continue
        for attribute in parts[cut:]:
            assert hasattr(found, attribute), name
            found = getattr(found, attribute)
