"""YAML as a configuration should be read: a key that stands twice or is not known is an error with its place.

YAML readers take the last of two equal keys without a word, so that a line added at the top of a file does nothing.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from riskpipe.errors import ConfigError

_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(text: str, subject: str) -> Any:  # noqa: ANN401  what a YAML text may hold
    """Return the values of a YAML text.

    Raises ConfigError when it is no valid YAML, or naming every key that stands twice in one mapping, with its lines.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        problems = [] if root is None else list(_repeated_keys(root, (), set()))
        if not problems:
            return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{subject} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{subject} is nested too deeply") from error
    listed = "".join(f"\n  - {problem}" for problem in problems)
    raise ConfigError(f"{subject}: {len(problems)} problem{'s' if len(problems) > 1 else ''}{listed}")


def _repeated_keys(node: yaml.Node, path: tuple[str, ...], seen: set[int]) -> Iterator[str]:
    """List the keys that stand twice in a mapping below a node; a node that an alias repeats is looked at once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for n, item in enumerate(node.value):
            yield from _repeated_keys(item, (*path[:-1], f"{path[-1] if path else ''}[{n}]"), seen)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        line, name = key.start_mark.line + 1, (key.tag, str(key.value))
        where = (*path, str(key.value))
        if name in lines and key.tag != _MERGE:
            yield f"line {line}: key {'.'.join(where)} stands on line {lines[name]} already: keep one of them"
        lines.setdefault(name, line)
        yield from _repeated_keys(value, where, seen)


def unknown_keys(model: type[BaseModel], data: Any, path: tuple[str, ...] = ()) -> list[str]:  # noqa: ANN401
    """List the keys of a raw mapping that its model, or a model below, does not know, each with the nearest known."""
    if not isinstance(data, Mapping):
        return []
    fields = _keys(model)
    problems = []
    for key, value in data.items():
        where = ".".join((*path, str(key)))
        if key not in fields:
            problems.append(f"unknown key {where}{nearest(str(key), list(fields))}")
            continue
        annotation = fields[key].annotation
        models = _models(annotation)
        if not models:
            continue
        if get_origin(annotation) is dict and isinstance(value, Mapping):  # keys are names, such as venues
            parts = [((*path, str(key), str(name)), item) for name, item in value.items()]
        elif isinstance(value, list):
            parts = [((*path, f"{key}[{n}]"), item) for n, item in enumerate(value)]
        else:
            parts = [((*path, str(key)), value)]
        for place, item in parts:
            problems += unknown_keys(closest_model(models, item), item, place)
    return problems


def closest_model(models: Sequence[type[BaseModel]], data: Any) -> type[BaseModel]:  # noqa: ANN401
    """Return the model that a raw mapping was most likely meant for: by its tag, required keys, then any keys."""
    given = data if isinstance(data, Mapping) else {}

    def likeness(model: type[BaseModel]) -> tuple[int, int, int]:
        fields = {name: spec for name, spec in _keys(model).items() if name in given}
        hints = [(given[name], spec.annotation) for name, spec in fields.items()]
        n_tags = sum(get_origin(hint) is Literal and value in get_args(hint) for value, hint in hints)
        return n_tags, sum(spec.is_required() for spec in fields.values()), len(fields)

    return max(models, key=likeness)  # the first of equals


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {spec.alias or name: spec for name, spec in model.model_fields.items()}


def _models(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def nearest(key: str, known: list[str]) -> str:
    """Return the end of a message about a mistyped name: the nearest known one, else all of them."""
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f" (known: {', '.join(known)})" if known else ""


def explained(item: Any) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    """Return one of pydantic's errors as a line: where, what was expected, what was got."""
    where = ".".join(str(part) for part in item["loc"]) or "configuration"
    if item["type"] == "missing":
        return f"{where}: required and missing"
    return f"{where}: {item['msg'].removeprefix('Value error, ')} (got {item['input']!r})"
