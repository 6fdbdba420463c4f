"""Colours of the page: text is readable on what it stands on, light and dark."""

import re
from pathlib import Path

import pytest

from riskpipe.report import html

STYLE = (Path(html.__file__).parent / "page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    for block in re.findall(r":root(?::not\(\.paper\))? \{(.*?)\}", STYLE, re.DOTALL)[:2]
)


def luminance(colour):
    """Relative luminance (WCAG 2.2, definition of relative luminance)."""
    channels = [int(colour[at : at + 2], 16) / 255.0 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "panel"])
@pytest.mark.parametrize("ink", ["text", "soft", "accent", "good", "warn", "bad"])
def test_text_has_a_contrast_of_at_least_4_5(palette, ground, ink):
    assert contrast(palette[ink], palette[ground]) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_on_the_heat_map_are_readable_wherever_they_stand(palette):
    low, high = palette["heat-low"], palette["heat-high"]
    channels = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (low, high)]
    for step in range(101):
        mixed = [a + (b - a) * step / 100.0 for a, b in zip(*channels, strict=True)]
        ground = "#" + "".join(f"{round(one):02x}" for one in mixed)
        assert max(contrast(ground, ink) for ink in ("#000000", "#ffffff")) >= 4.5
