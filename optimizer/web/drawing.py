"""What every picture shares: the font that comes with the renderer, colours, ticks, and the renderer itself."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import vl_convert

Spec = dict[str, Any]
Format = Literal["svg", "png", "vega"]

MEDIA_TYPES: dict[Format, str] = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "vega": "application/vnd.vegalite.v6+json",
}
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
# Okabe and Ito's colours, and a grey that has the same contrast (4.5) against white and against black.
BLUE, VERMILLION, GREEN, PURPLE, AMBER, GREY = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#B8860B", "#767676"
INK = "#24292f"
PNG_SCALE = 2
MANY_DECADES = 3.0


def render(spec: Spec, form: Format) -> bytes:
    """Turn a spec into the bytes of an SVG, of a PNG (twice the size, on white) or of the spec's own JSON.

    The SVG has no background and greys that can be read on light and on dark.

    Raises:
        ValueError: The form is another one.
    """
    if form == "svg":
        return vl_convert.vegalite_to_svg(spec).encode()
    if form == "png":
        return bytes(vl_convert.vegalite_to_png({**spec, "config": config(INK, "white")}, scale=PNG_SCALE))
    if form == "vega":
        return json.dumps(spec, ensure_ascii=False).encode()
    raise ValueError("form must be one of svg, png, vega")


def config(ink: str = GREY, background: str | None = None) -> Spec:
    """Return the Vega-Lite config of every picture.

    Args:
        ink: Colour of texts.
        background: Colour behind; None leaves it to the page.
    """
    text = {"labelFont": FONT, "titleFont": FONT, "labelColor": ink, "titleColor": ink, "titleFontWeight": "normal"}
    return {
        "font": FONT,
        "background": background,
        "padding": 16,
        "view": {"stroke": None},
        "axis": {
            **text, "labelFontSize": 12, "titleFontSize": 12, "titlePadding": 10,
            "gridColor": GREY, "gridOpacity": 0.2, "domain": False, "tickColor": GREY, "tickOpacity": 0.4,
        },
        "text": {"font": FONT, "fontSize": 12, "color": ink},
        "title": {
            "font": FONT, "subtitleFont": FONT, "color": ink, "subtitleColor": ink, "anchor": "start",
            "frame": "bounds", "fontSize": 15, "subtitleFontSize": 12, "offset": 16, "subtitlePadding": 6,
        },
    }  # fmt: skip


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values from `low` to `high`, both positive: powers of ten, with 2 and 5 between where few fit."""
    steps = (1, 2, 5) if math.log10(high / low) <= MANY_DECADES else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = (step * 10.0**decade for decade in decades for step in steps)
    return [tick for tick in every if low * 0.999 <= tick <= high * 1.001]


def spread(values: Sequence[float], gap: float, highest: float) -> list[float]:
    """Move values apart: their order kept, `gap` between neighbours, none above `highest`."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    moved = list(values)
    for before, place in pairwise(order):
        moved[place] = max(moved[place], moved[before] + gap)
    above = max([0.0, *(value - highest for value in moved)])
    together = (sum(moved) - sum(values)) / max(1, len(values))
    return [value - max(above, together) for value in moved]
