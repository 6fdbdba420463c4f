"""The head of the report: at most ten sentences, and none of the others lost."""

import json
from dataclasses import replace
from importlib.resources import files as package_files

import jsonschema
import pytest

from riskpipe.domain.limits import Limit, LimitState
from riskpipe.report.build import build
from riskpipe.report.document import Paragraph, Point, Section
from riskpipe.report.head import IN_ITS_SECTION, MAX_POINTS, Candidate, candidates, head_points, with_rest
from riskpipe.report.render import render

LIMIT = Limit("x", "fund_losses", "drawdown", {}, "max", "above", 0.5, 0.9, False, "desk", "call")


def breach(n):
    return LimitState(
        replace(LIMIT, name=f"limit-{n}"), "breach", 0.95, "share", {"fund": "alpha"}, "", ("funds/shortfall",)
    )


def test_the_ten_of_least_rank_stay_in_the_order_of_reading():
    ranks = [3, 0, 5, 1, 1, 0, 9, 2, 2, 4, 0, 7, 6]
    found = [Candidate(rank, "a", Point(str(at))) for at, rank in enumerate(ranks)]
    kept = [int(point.text) for point in head_points(found)]
    assert kept == sorted(kept)
    assert len(kept) == MAX_POINTS
    assert {6, 11, 12}.isdisjoint(kept)


def test_what_is_not_at_the_head_heads_its_section():
    found = [Candidate(0, "a", Point(str(at))) for at in range(MAX_POINTS)]
    found += [Candidate(1, "b", Point("moved", "warn")), Candidate(1, IN_ITS_SECTION, Point("said there"))]
    one, other = with_rest(found, (Section("a", "A", ()), Section("b", "B", (Paragraph("own"),))))
    assert one.blocks == ()
    assert other.blocks == (Paragraph("moved", "warn"), Paragraph("own"))


def test_a_night_of_many_alarms_is_still_headed_by_ten_sentences_and_loses_none(night):
    report = replace(night, limits=[breach(n) for n in range(8)])
    document = build(report)
    assert len(document.points) == MAX_POINTS
    said = {block.text for one in document.sections for block in one.blocks if isinstance(block, Paragraph)}
    said |= {point.text for point in document.points}
    names = {section.name for section in document.sections}
    for one in candidates(report):
        assert one.section in names | {IN_ITS_SECTION}
        assert one.point.text in said or one.section == IN_ITS_SECTION
    assert any(point.text.startswith("The uncovered loss has grade") for point in document.points)


@pytest.mark.parametrize("name", ["night", "quiet", "hostile"])
def test_the_json_follows_its_published_schema(name, request):
    schema = json.loads((package_files("riskpipe.report") / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(render(request.getfixturevalue(name))["report.json"])
    jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)
    del data["points"][0]["tone"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)
