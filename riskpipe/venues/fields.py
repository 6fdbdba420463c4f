"""Fields that every configuration shares: strict keys, numbers that are no booleans, shares, ladders."""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

DEFAULT = "*"
"""The entry of every name that has none of its own."""


class Strict(BaseModel):
    """A mapping whose keys are all known and whose values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _not_boolean(value: Any) -> Any:  # noqa: ANN401  what a YAML file may hold
    if isinstance(value, bool):
        raise ValueError(  # noqa: TRY004  pydantic lists ValueErrors only
            "expected a number (YAML reads yes, no, on and off as true and false)"
        )
    return value


def _bands(rows: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    floors = [row[0] for row in rows]
    if floors[:1] != [0.0] or not all(low < high for low, high in pairwise(floors)):
        raise ValueError("floors must be 0 first and then rise")
    if not all(0.0 <= haircut <= 1.0 for _, haircut in rows):
        raise ValueError("a haircut is a share from 0 to 1")
    return rows


Float = Annotated[float, BeforeValidator(_not_boolean)]
Int = Annotated[int, BeforeValidator(_not_boolean)]
Text = Annotated[str, Field(min_length=1)]
Share = Annotated[Float, Field(ge=0.0, le=1.0)]
BelowOne = Annotated[Float, Field(ge=0.0, lt=1.0)]
NotNegative = Annotated[Float, Field(ge=0.0)]
Positive = Annotated[Float, Field(gt=0.0)]
Law = Literal["exponential", "linear"]
Bands = Annotated[tuple[tuple[Float, Float], ...], AfterValidator(_bands)]
"""Haircut bands of a collateral: [floor_usd, haircut], floors from 0 up."""
