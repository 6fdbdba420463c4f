"""Stories of real nights: they agree with the cube, on the command line too, for whoever is hit and whoever is not."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt
from support.nights import riskpipe_command, run_on, write_inputs

import riskpipe
from riskpipe.config import load, shipped
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.errors import ComputeError, ConfigError
from riskpipe.run.explain import explain, explain_row
from riskpipe.run.inputs import read_arrays, write_arrays
from riskpipe.run.nightly import run_night
from riskpipe.run.replay import open_replay
from riskpipe.run.selection import find_account, find_scenario, scenario_words
from riskpipe.run.synthesis import record_loans, write_options

SHARED = Path(__file__).parents[3] / "shared/data"
AAVE, DERIBIT = SHARED / "aave_steth_2023_06", SHARED / "deribit_options"


@pytest.fixture(scope="module")
def store(inputs, tmp_path_factory):
    place = tmp_path_factory.mktemp("explained") / "store"
    run_on(inputs, place)
    return place


MODULES = """
import sys
from riskpipe.run.explain import explain
before = set(sys.modules)
explain(sys.argv[1], scenario="0", account=sys.argv[2]).as_text()
late = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(late & {"numba", "scipy", "pandas", "xarray", "numpy", "pyarrow"}))
print(sorted({"pandas", "xarray"} & set(sys.modules)))
"""


def test_what_is_heavy_to_import_is_imported_before_a_story_is_told_or_never(store):
    """In a process of its own: seconds of imports are not to hide in the time of a story, nor of words for it."""
    account = open_replay(str(store)).book.names("account")[0]
    found = subprocess.run(
        [sys.executable, "-c", MODULES, str(store), account], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == ["[]", "[]"]


def worst(replay):
    cube = riskpipe.open_cube(str(replay.store.uri), run_id=replay.run_id)
    return int(np.argmax(cube["funds"]["shortfall"].values.sum(axis=1)))


def assert_stories_add_up(replay, row, accounts):
    """Sum of the stories told, against the cube; returns how many accounts were hit and how many survived."""
    stories = [explain_row(replay, row, a).story for a in accounts]
    kept = replay.kept(("funds/shortfall", "funds/adl_notional", "instruments/forced_flow"), row)
    names, funds = replay.book.names("instrument"), replay.book.names("fund")
    shortfall, flow, removed = np.zeros(len(funds)), np.zeros(len(names)), 0.0
    for story in stories:
        for fund in story.funds:
            shortfall[funds.index(fund.fund)] += fund.shortfall
        for position in (position for pool in story.pools for position in pool.positions):
            flow[names.index(position.instrument)] += position.flow
            removed += position.removed_notional
    scale = 1e-9 * float(np.abs(kept["instruments/forced_flow"]).max(initial=1.0))
    assert np.allclose(shortfall, kept["funds/shortfall"], rtol=1e-9, atol=scale)
    assert np.allclose(flow, kept["instruments/forced_flow"], rtol=1e-9, atol=scale)
    assert removed == pytest.approx(kept["funds/adl_notional"].sum(), rel=1e-9, abs=scale)
    n_hit = sum(story.closed_in > 0 for story in stories)
    return n_hit, len(stories) - n_hit


def test_a_replay_has_the_bits_of_the_run(store):
    replay = open_replay(str(store))
    assert replay.differs_by == ()
    rows = np.array([worst(replay), 0, len(replay.scenarios) - 1])
    values = replay.compute(rows)
    assert values["funds/shortfall"].shape[0] == 3


def test_the_stories_of_a_whole_book_add_up_to_the_cube(store):
    replay = open_replay(str(store))
    n_hit, n_alive = assert_stories_add_up(replay, worst(replay), range(replay.book.n_accounts))
    assert n_hit > 10
    assert n_alive > 10


@pytest.mark.skipif(not AAVE.is_dir(), reason=f"recorded loans are not at ../shared/data ({AAVE})")
def test_stories_of_recorded_loans_agree_with_their_night(tmp_path):
    record_loans(tmp_path, AAVE)
    places = (f"snapshot={tmp_path / 'snapshot'}", f"store={tmp_path / 'store'}", "executor=serial")
    config = load(shipped("aave-2023-06.yaml"), places)
    run_night(config)
    replay = open_replay(str(tmp_path / "store"), book=config.book)
    row = worst(replay)
    hits = riskpipe.open_cube(str(tmp_path / "store"), book=config.book)["accounts"]["liquidated_scenarios"].values
    hit = np.flatnonzero(hits.sum(axis=1) > 0)[:40].tolist()
    stories = [explain_row(replay, row, a).story for a in (*hit, *np.flatnonzero(hits.sum(axis=1) == 0)[:10].tolist())]
    assert sum(story.closed_in > 0 for story in stories) > 10
    assert any(story.closed_in == 0 for story in stories)
    assert any(story.pools[0].loan.steps for story in stories)


@pytest.mark.skipif(not DERIBIT.is_dir(), reason=f"recorded chains are not at ../shared/data ({DERIBIT})")
def test_stories_of_option_portfolios_add_up_to_their_night(tmp_path):
    write_options(tmp_path, DERIBIT, n_accounts=40)
    places = (
        f"snapshot={tmp_path / 'snapshot'}", f"store={tmp_path / 'store'}", "executor=serial",
        "scenarios={grid: {index_shock: [-0.4, 0.0, 0.4], vol_shock: [0.0, 1.0]}}",
    )  # fmt: skip
    config = load(shipped("deribit-options.yaml"), places)
    run_night(config)
    replay = open_replay(str(tmp_path / "store"), book=config.book)
    n_hit, n_alive = assert_stories_add_up(replay, worst(replay), range(replay.book.n_accounts))
    assert n_hit
    assert n_alive


def test_the_command_tells_a_story_as_text_and_as_json(store):
    replay = open_replay(str(store))
    hits = riskpipe.open_cube(str(store))["accounts"]["liquidated_scenarios"].values[:, 0]
    name = replay.book.names("account")[int(np.argmax(hits))]
    selection = "index_shock=-40%,depth_factor=0.2,gap_share=1"
    text = riskpipe_command("explain", store, "--scenario", selection, "--account", name, check=True).stdout
    assert text.startswith(f"# Account `{name}`: ")
    assert "Replayed with" not in text
    found = json.loads(
        riskpipe_command("explain", store, "--scenario", selection, "--account", name, "--json", check=True).stdout
    )
    assert found["account"]["account"] == name
    assert found["replayed_with"] == []
    assert "NaN" not in json.dumps(found)
    row = find_scenario(replay.scenarios, selection)
    assert found["scenario"] == row
    cube = riskpipe.open_cube(str(store))["accounts"]
    assert found["account"]["equity"] == pytest.approx(float(cube["equity"][int(np.argmax(hits))]), rel=1e-9)


def test_who_and_what_is_not_there_is_named_with_what_is_near(store):
    found = riskpipe_command("explain", store, "--scenario", 0, "--account", "alpha-00\x1b[31m")
    assert found.returncode == 2
    assert "nearest: alpha-0" in found.stderr
    assert "\x1b" not in found.stderr
    replay = open_replay(str(store))
    for text, said in (
        ("100000", "the run has scenarios 0 to"),
        ("index_shok=0", "did you mean 'index_shock'"),
        ("index_shock=-0.3", "nothing has index_shock=-0.3; there are -0.4, -0.15, 0, 0.2"),
        ("index_shock=much", "is not a number"),
        ("variant=gap_share=7", "nothing has variant"),
        ("index_shock", "is no number of a scenario"),
        ("index_shock=0,index_shock=0", "given twice"),
    ):
        with pytest.raises(ConfigError, match=said):
            find_scenario(replay.scenarios, text)
    with pytest.raises(ConfigError, match="no account 'x'"):
        find_account(replay.book, "x")


def test_a_selection_that_names_less_means_the_central_and_neutral_scenario(store):
    scenarios = open_replay(str(store)).scenarios
    row = find_scenario(scenarios, "index_shock=-0.4")
    assert scenario_words(scenarios, row) == (
        "index_shock=-0.4, basis_shock=0, vol_shock=0, depth_factor=1, haircut_shock=0, set=grid, variant=gap_share=1"
    )
    other = find_scenario(scenarios, "index_shock=-0.4,variant=gap_share=0")
    assert scenarios.variants[scenarios.variant[other]].gap_share == 0.0
    assert find_scenario(scenarios, "gap_share=0,index_shock=-0.4") == other
    assert isinstance(scenarios, ScenarioSet)


def test_a_hostile_name_in_a_snapshot_does_nothing_in_the_story(tmp_path):
    inputs = write_inputs(tmp_path / "inputs", n_accounts=40)
    hostile = "<img src=x onerror=alert(1)>[red]`*\u202e"
    tables = {
        name: pq.read_table(inputs / f"snapshot/{name}.parquet") for name in ("accounts", "balances", "positions")
    }
    first = tables["positions"]["account_id"][0].as_py()
    for name, table in tables.items():
        at = table.schema.get_field_index("account_id")
        names = [hostile if one == first else one for one in table["account_id"].to_pylist()]
        changed = table.set_column(at, table.schema.field(at), pa.array(names, table.schema.field(at).type))
        pq.write_table(changed, inputs / f"snapshot/{name}.parquet")
    run_on(inputs, tmp_path / "store", scenarios={"grid": {"index_shock": [-0.4, 0.0]}})
    told = riskpipe_command("explain", tmp_path / "store", "--scenario", 0, "--account", hostile, check=True).stdout
    assert "`` <img src=x onerror=alert(1)>[red]`*\\u202e ``" in told
    assert "\u202e" not in told
    page = MarkdownIt("commonmark", {"html": True}).render(told)
    assert "<img" not in page


def test_a_replay_that_is_not_what_the_run_keeps_is_refused(inputs, tmp_path):
    run_on(inputs, tmp_path / "store", scenarios={"grid": {"index_shock": [-0.4, 0.0]}})
    replay = open_replay(str(tmp_path / "store"))
    market = read_arrays(replay.store, replay.run_id, "market")
    write_arrays(replay.store, replay.run_id, "market", market | {"depth_bid": market["depth_bid"] * 1.001})
    with pytest.raises(ComputeError, match="cannot be replayed: instruments/"):
        explain(str(tmp_path / "store"), scenario="0", account=replay.book.names("account")[0])
