"""Limits: which level a number has, and how far an acknowledgement goes."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from riskpipe.domain.limits import Acknowledgement, Limit, LimitState

NIGHT = datetime(2024, 8, 5, tzinfo=UTC)
ABOVE = Limit(
    "fund", "fund_losses", "drawdown", {"fund": ("alpha", 1.0)}, "max", "above", 0.5, 0.9, False, "desk", "call"
)
BELOW = replace(ABOVE, direction="below", warn=0.9, breach=0.5)
numbers = st.floats(allow_nan=False)


def state_of(value, limit=ABOVE):
    return LimitState(limit, limit.level_of(value), value, "share")


def said_of(state, **changes):
    given = {"limit": state.limit.name, "by": "anna", "why": "hedged", "at": NIGHT, "until": NIGHT + timedelta(days=7)}
    of = {"level": state.level, "value": state.value, "run_id": "r", "number": state.limit.number()}
    return Acknowledgement(**(given | of | changes))


@given(numbers)
def test_a_level_itself_is_reached_and_nothing_short_of_it_but_rounding(value):
    assume(value in {0.5, 0.9} or not any(math.isclose(value, level, rel_tol=1e-11) for level in (0.5, 0.9)))
    expected = "breach" if value >= 0.9 else "warn" if value >= 0.5 else "ok"
    assert ABOVE.level_of(value) == expected
    expected = "breach" if value <= 0.5 else "warn" if value <= 0.9 else "ok"
    assert BELOW.level_of(value) == expected
    assert replace(ABOVE, warn=None).level_of(value) == ("breach" if value >= 0.9 else "ok")


@pytest.mark.parametrize("limit", [ABOVE, BELOW])
def test_a_number_that_was_not_measured_is_over(limit):
    state = state_of(math.nan, limit)
    assert state.level == "not measured"
    assert state.is_over
    assert state.is_told("breach")


@given(numbers, numbers, st.sampled_from([ABOVE, BELOW]))
def test_an_acknowledgement_covers_what_is_no_worse_and_nothing_else(then, now, limit):
    said = said_of(state_of(then, limit))
    state = state_of(now, limit)
    is_worse = now > then if limit is ABOVE else now < then
    assert said.covers(state, NIGHT) == (not is_worse)
    assert state.acknowledged(said, NIGHT).is_over == (state.level == "breach" and is_worse)


def test_an_acknowledgement_ends_with_its_time_and_holds_for_its_number_only():
    state = state_of(1.0)
    said = said_of(state)
    assert said.covers(state, said.until)
    assert not said.covers(state, said.until + timedelta(seconds=1))
    assert said.covers(replace(state, limit=replace(ABOVE, breach=0.8, action="other")), NIGHT)
    for changed in ({"at": {}}, {"reduce": "min"}, {"variable": "shortfall"}, {"direction": "below"}):
        assert not said.covers(replace(state, limit=replace(ABOVE, **changed)), NIGHT)


def test_what_was_not_measured_and_what_is_breached_never_cover_each_other():
    unmeasured, breached, warned = state_of(math.nan), state_of(1.0), state_of(0.6)
    assert said_of(unmeasured).covers(unmeasured, NIGHT)
    assert not said_of(unmeasured).covers(breached, NIGHT)
    assert not said_of(unmeasured).covers(warned, NIGHT)
    assert not said_of(breached).covers(unmeasured, NIGHT)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.0])
def test_states_and_acknowledgements_survive_json_without_nan(value):
    state = state_of(value)
    state = replace(state, cell={"fund": "alpha", "index_shock": -0.4}, acknowledgement=said_of(state))
    text = json.dumps(state.as_json(), allow_nan=False)
    again = LimitState.from_json(json.loads(text))
    assert again.as_json() == state.as_json()
    assert again.limit == state.limit
    assert again.acknowledgement.covers(again, NIGHT)
