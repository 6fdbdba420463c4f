import base64
import hashlib
import io
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from riskpipe.report import numbers
from riskpipe.report.build import build
from riskpipe.report.html import drawing_code, embedded_json
from riskpipe.report.markdown import escape
from riskpipe.report.render import render

ATTACK = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Every element, attribute and text of a page, as a browser would find them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.scripts, self.texts, self.open = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        pass

    def handle_data(self, data):
        if self.scripts and self.lasttag == "script" and data.strip():
            self.scripts[-1] += data
        self.texts.append(data)


@pytest.fixture(scope="session")
def page(files):
    return Page(files["index.html"].decode())


def test_the_page_is_small_and_loads_nothing(files, page):
    assert len(files["index.html"]) < 8_000_000
    loading = {"src", "srcset", "data", "poster", "action", "background"}
    assert not [one for one in page.attributes if one[1] in loading]
    assert not [one for one in page.attributes if one[2] and re.match(r"\s*(https?:)?//", one[2])]
    style = next(text for text in page.texts if "--accent" in text)
    assert "url(" not in style
    assert "@import" not in style


def test_only_the_scripts_of_the_page_may_run_and_nothing_may_load(page):
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    _, *scripts = page.scripts  # the first is data
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts} == allowed
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_headings_descend_one_step_at_a_time_and_tables_have_captions(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption")
    identifiers = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    assert all(landmark in tags for landmark in ("header", "nav", "main", "footer"))
    assert all(attrs.get("aria-label") for _, attrs in page.tags if attrs.get("class") == "plot")


def test_the_same_night_renders_to_the_same_bytes(night, files):
    assert dict(render(night)) == dict(files)


def test_every_table_is_a_parquet_file_that_duckdb_reads_whole(night, files, tmp_path):
    tables = build(night).tables()
    assert {f"{name}.parquet" for name in tables} == {name for name in files if name.endswith(".parquet")}
    for name, table in tables.items():
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(files[path.name])
        assert duckdb.read_parquet(str(path)).aggregate("count(*)").fetchall() == [(table.n_rows,)]
    cells = duckdb.read_parquet(str(tmp_path / "cells.parquet"))
    worst = cells.aggregate("max(uncovered_loss)").fetchall()[0][0]
    assert worst == float(night.measures["fund_losses"]["uncovered_loss"].sum("fund").max())


def test_the_json_is_the_tree_and_holds_no_nan(night, files):
    def refuse(text):
        raise AssertionError(text)

    content = json.loads(files["report.json"], parse_constant=refuse)
    assert (content["schema"], content["schema_version"]) == ("riskpipe-report", 2)
    assert [one["name"] for one in content["sections"]] == [one.name for one in build(night).sections]
    assert content["points"][0]["source"]["command"].startswith('riskpipe.open_cube(store, run_id="2024-08-05T')


def test_the_first_lines_say_what_to_know(files):
    text = "\n".join(files["summary.md"].decode().splitlines()[:13])
    for word in ("liquidated", "exhausted", "low USD", "finding", "not checked"):
        assert word in text


def test_a_command_of_the_report_reads_the_number_it_stands_beside(night):
    point = build(night).points[0]
    group, name, row = re.search(r'\["(\w+)"\]\["(\w+)"\]\.sel\(scenario=(\d+)\)', point.source.command).groups()
    value = float(night.cube[group].to_dataset()[name].sel(scenario=int(row)))
    assert value == float(night.measures["worst_index_move"]["liquidated_notional"])
    assert f"{value / 1e6:.3g}M" in point.text or f"{value / 1e3:.3g}K" in point.text


def test_what_was_not_checked_is_never_good(quiet, night):
    assert build(quiet).points[-1].tone == "unknown"
    assert build(night).points[-1].tone == "unknown"
    assert 'class="mark mark-not-checked"' in render(night)["index.html"].decode()


def test_a_night_without_liquidations_says_so_in_words_and_draws_no_losses(quiet):
    files = render(quiet)
    text = files["index.html"].decode()
    assert "Nothing is liquidated and nothing is lost in any of 2 scenarios." in text
    assert "No mark is pushed off its index" in text
    drawn = {attrs["data-chart"] for tag, attrs in Page(text).tags if "data-chart" in attrs}
    assert drawn == {"distances"}
    assert "Nothing is liquidated" in files["summary.md"].decode()
    assert "nan" not in files["summary.md"].decode().lower()


def test_hostile_names_do_nothing_in_the_page(hostile):
    text = render(hostile)["index.html"].decode()
    page = Page(text)
    data, *scripts = page.scripts
    assert len(page.scripts) == 3
    assert scripts[0] == drawing_code()
    assert "<" not in data
    assert any(ATTACK in json.dumps(chart, ensure_ascii=False) for chart in json.loads(data).values())
    assert "b" not in {tag for tag, _ in page.tags}
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [one for one in page.attributes if one[1].startswith("on")]
    assert "\u202e" not in text
    assert any(ATTACK in shown for shown in page.texts)  # shown letter by letter


def test_hostile_names_do_nothing_in_markdown(hostile):
    text = render(hostile)["summary.md"].decode()
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "http://" not in text
    assert "a\\|b" in text
    for line in text.splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert cells >= 3
    tables = re.split(r"\n\n", text)
    for table in (one for one in tables if one.startswith("|")):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("-40%", "-40%"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("0.1x", "0.1x"),
        ("a_b*c`d", "a\\_b\\*c\\`d"),
        ("two\nlines", "two lines"),
        ("&lt;", "&amp;lt;"),
        ("@everyone", "\\@everyone"),
    ],
)
def test_markdown_shows_text_letter_by_letter(text, escaped):
    assert escape(text) == escaped


def test_embedded_json_cannot_end_its_element_and_survives_the_way_there():
    value = {"a": ["</script>", "<!--", "\u2028", float("nan")]}
    text = embedded_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": ["</script>", "<!--", "\u2028", None]}


def test_parquet_keeps_full_precision(night, files):
    stored = pq.read_table(io.BytesIO(files["fund_losses.parquet"]))["shortfall"].to_numpy()
    np.testing.assert_array_equal(stored, night.measures["fund_losses"]["shortfall"].values.reshape(-1))


def test_where_the_data_come_from_stands_at_the_head_of_every_form(night):
    files = render(replace(night, sources=("synthetic accounts",), summary={"gross_notional_usd": 2.5e9}))
    assert "Source: synthetic accounts" in files["summary.md"].decode().split("\n\n")[0]
    assert "USD 2.5B gross notional" in files["summary.md"].decode().split("\n\n")[0]
    assert files["index.html"].decode().count("Source: synthetic accounts") == 2
    assert json.loads(files["report.json"])["sources"] == ["synthetic accounts"]


def test_the_worst_named_scenario_is_a_point_of_its_own(night):
    texts = [point.text for point in build(night).points]
    named = next(text for text in texts if text.startswith("Worst named scenario"))
    assert "a bad day (index -50%)" in named
    is_named = night.measures["liquidation"]["name"] == "a bad day"
    losses = night.measures["fund_losses"]["uncovered_loss"].sum("fund").values[is_named.values]
    assert numbers.usd(float(losses[0])) in named


def test_every_key_figure_names_its_own_cell_and_the_limits_that_set_it(night):
    cells = night.measures["headline_cells"]
    hit = cells.assign(price_limits_hit=cells["price_limits_hit"] * 0 + 2)
    report = replace(night, measures={**night.measures, "headline_cells": hit})
    for figure in build(report).figures.figures:
        assert " at index" in f" {figure.note}"
        assert "2 impact laws stand at their floor or cap there" in figure.note


def test_the_controls_point_names_what_was_not_checked(night):
    assert "not checked: coverage (alpha)" in build(night).points[-1].text
    assert build(night).tables()["controls"].columns[0].values == ("not checked", "ok")


def test_unpaid_losses_stay_in_the_summary(files):
    assert "| Unpaid |" in files["summary.md"].decode()


def test_a_fund_without_balance_or_loss_is_a_placeholder_and_shows_no_scenario(quiet):
    assert any("placeholder" in point.text for point in build(quiet).points)
    assert build(quiet).tables()["funds"].columns[1].values == (None,)
