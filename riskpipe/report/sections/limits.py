"""Limits and breaches: what is over, by how much, whose it is, what to do, and what somebody has acknowledged."""

from collections.abc import Mapping, Sequence

from riskpipe.domain.limits import LEVELS, Acknowledgement, LimitState
from riskpipe.report import numbers
from riskpipe.report.document import Paragraph, Point, Section, Source, Table, Tone
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import AXES, UNIT_KINDS, cell_words, column, source

_TONES: Mapping[str, Tone] = {"breach": "bad", "not measured": "unknown", "warn": "warn", "ok": "good"}
_LEVEL_WORDS = {"breach": "breached", "not measured": "not measured", "warn": "at warning level", "ok": "ok"}
_NOT_SHOWN = {"probability", "haircut_shock", "set", "units"}
MAX_POINTS = 3


def level_words(states: Sequence[LimitState]) -> str:
    """How many limits are how far: `1 limit breached, 2 limits ok`; those acknowledged are among them."""
    counts = {level: sum(state.level == level for state in states) for level in LEVELS}
    return ", ".join(f"{numbers.plural(n, 'limit')} {_LEVEL_WORDS[level]}" for level, n in counts.items() if n)


def limits_section(report: ReportInput) -> list[Section]:
    """Every limit of the night, the worst first; nothing where none is configured."""
    states = report.limits
    if not states:
        return []
    table = Table(
        "limits",
        f"{numbers.plural(len(states), 'limit')}, the worst first",
        (
            column("level", "State", "text", [state.level for state in states]),
            column("limit", "Limit", "text", [state.limit.name for state in states]),
            column("value", "Value", "text", [_value(state) for state in states]),
            column("breach", "Breached", "text", [_level(state, state.limit.breach) for state in states]),
            column("what", "Of", "text", [what_words(state) for state in states]),
            column("action", "To do", "text", [state.limit.action for state in states]),
            column("owner", "Owner", "text", [state.limit.owner for state in states]),
            column("acknowledged", "Acknowledged", "text", [_known(state.acknowledgement) for state in states]),
            column("warn", "Warns", "text", [_level(state, state.limit.warn) for state in states]),
            column("number", "Number", "number", [state.value for state in states]),
        ),
        n_shown=200,
        tone_column="level",
    )
    about = (
        "Levels are the operator's, held against this night's measures when the report was made; a level itself is "
        "reached. What has no number is not measured, which counts as breached. An acknowledged limit is shown, and "
        "nobody is told of it until it worsens or the acknowledgement runs out."
    )
    return [Section("limits", "Limits and breaches", (Paragraph(about), table))]


def limit_points(report: ReportInput) -> list[Point]:
    """What to know first: every limit that is over, then how many are not."""
    over = [state for state in report.limits if state.level != "ok"]
    shown = over[:MAX_POINTS]
    points = [
        Point(f"{_opening(state)}: {state_words(state)}.", _tone(state), _source(report, state)) for state in shown
    ]
    rest = [state for state in report.limits if state not in shown]
    if rest:
        worst = max((_tone(state) for state in rest), key=("good", "plain", "warn", "unknown", "bad").index)
        points.append(Point(f"{'Besides, ' if shown else ''}{level_words(rest)}.", worst))
    return points


def state_words(state: LimitState) -> str:
    """What was found of a limit: its number beside its levels, and of what; or why there is none."""
    of = what_words(state)
    if state.level == "not measured":
        return f"{of} was not measured: {state.reason}"
    levels = [] if state.limit.warn is None else [f"warns {_level(state, state.limit.warn)}"]
    levels.append(f"breached {_level(state, state.limit.breach)}")
    return f"{of} is {_value(state)} ({', '.join(levels)}){_known_clause(state.acknowledgement)}"


def what_words(state: LimitState) -> str:
    """Which number a limit is on: its measure, what of it, and the cell that set it."""
    limit = state.limit
    reduced = f"{limit.reduce} of " if limit.reduce else ""
    text = f"{reduced}{limit.measure}/{limit.variable}"
    if state.cell:
        return f"{text} at {_cell(state.cell)}"
    chosen = ", ".join(f"{key} {' or '.join(map(str, labels))}" for key, labels in sorted(limit.at.items()))
    return f"{text} at {chosen}" if chosen else text


def _cell(cell: Mapping[str, str | float]) -> str:
    """Labels of a cell: names first, then where its scenario stands."""
    axes = {name: float(cell[name]) for name in AXES if name in cell and name != "haircut_shock"}
    names = [
        f"{name} {numbers.number(label) if isinstance(label, float) else label}"
        for name, label in sorted(cell.items())  # states that were kept have no other order
        if name not in axes and name not in _NOT_SHOWN
    ]
    return ", ".join([*names, *([cell_words(axes)] if axes else [])])


def _opening(state: LimitState) -> str:
    words = _LEVEL_WORDS[state.level]
    known = ", acknowledged" if state.acknowledgement else ""
    return f"Limit {state.limit.name} is {words}{known}"


def _tone(state: LimitState) -> Tone:
    return "plain" if state.acknowledgement is not None else _TONES[state.level]


def _known_clause(said: Acknowledgement | None) -> str:
    return "" if said is None else f"; acknowledged {_known(said)}"


def _known(said: Acknowledgement | None) -> str:
    if said is None:
        return ""
    at, until = (instant.strftime("%Y-%m-%d %H:%MZ") for instant in (said.at, said.until))
    return f"by {said.by} on {at} until {until}: {said.why}"


def _value(state: LimitState) -> str:
    return "not measured" if state.level == "not measured" else _written(state, state.value)


def _level(state: LimitState, level: float | None) -> str:
    if level is None:
        return "never"
    return f"{'from' if state.limit.direction == 'above' else 'down from'} {_written(state, level)}"


def _written(state: LimitState, number: float) -> str:
    return numbers.written(UNIT_KINDS.get(state.units, "number"), number)


def _source(report: ReportInput, state: LimitState) -> Source | None:
    return source(report, state.sources) if state.sources else None
