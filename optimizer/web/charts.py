"""Pictures as Vega-Lite specs: plain data in, a spec out, rendered without a browser and without a network.

One function a picture, so that a page, a report, a notebook and the command line show the same one. Colours are told
apart by colour-blind people, keep their contrast on light and on dark, and never carry a meaning alone: shape, dash
and words repeat it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from optimizer.web.drawing import AMBER, BLUE, GREEN, GREY, PURPLE, VERMILLION, Spec, config, log_ticks, spread

Tone = Literal["good", "bad", "neutral"]
TONES: dict[Tone, tuple[str, str]] = {  # colour and shape of the point
    "good": (BLUE, "triangle-up"),
    "bad": (VERMILLION, "triangle-down"),
    "neutral": (GREY, "circle"),
}
LINES = ((BLUE, [1, 0]), (VERMILLION, [7, 3]), (GREEN, [2, 2]), (PURPLE, [9, 3, 2, 3]), (AMBER, [4, 2]))
ROW_HEIGHT = 44
LABEL_GAP = 14
LABEL_HEIGHT = 16
WIDEST = 4.0
LONGEST_TITLE, LONGEST_LINE = 90, 120  # letters


@dataclass(frozen=True, slots=True)
class Estimate:
    """One row of a forest plot.

    Attributes:
        label: What was estimated.
        detail: Smaller, below the label.
        value: The estimate; None leaves the row without a mark.
        interval: Its interval.
        words: Shown at the right: the figures, or why there are none.
        tone: Whether the interval lies on the good side, on the bad side, or over the reference.
        margin: A tolerated loss, drawn as a tick.
    """

    label: str
    detail: str
    value: float | None
    interval: tuple[float, float] | None
    words: str
    tone: Tone = "neutral"
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a diagram.

    Attributes:
        label: Written at its end.
        points: (x, y), in the order of x; one or more.
        mark: A point to single out, such as the plan.
        band: (x, low, high) around the line.
    """

    label: str
    points: Sequence[tuple[float, float]]
    mark: tuple[float, float] | None = None
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a diagram.

    Attributes:
        title: What it counts, with its unit.
        format: A d3 format.
        log: Whether its scale is logarithmic.
        domain: Its ends; by default those of the data.
        reference: A value to draw a dashed line at (of the vertical axis).
        step: Least distance between two labels, such as 1 for what is counted.
    """

    title: str
    format: str = ","
    log: bool = False
    domain: tuple[float, float] | None = None
    reference: float | None = None
    step: float = 0.0


def forest(
    rows: Sequence[Estimate], *, title: str, subtitle: str, axis: str, percent: bool = True, width: int = 380
) -> Spec:
    """Draw estimates with their intervals, one row each, around 0.

    An interval far wider than the others is cut, with an arrow where it goes on.

    Args:
        rows: From top to bottom.
        title: What is seen.
        subtitle: How to read it.
        axis: Title of the axis, with its unit.
        percent: Whether values are shares, shown as percentages.
        width: Of the plot without its texts, in pixels.
    """
    ends, count = _ends(rows), max(1, len(rows))
    form = "+.2~%" if percent else "+.4~g"
    ticks = alt.Axis(title=axis, tickCount=6, labelExpr=f"datum.value == 0 ? '0' : format(datum.value, '{form}')")
    x = alt.X("value:Q", axis=ticks, scale=alt.Scale(domain=list(ends), nice=False))
    y = alt.Y("middle:Q", axis=None, scale=alt.Scale(domain=[0, count], reverse=True, nice=False))
    base = alt.Chart(alt.InlineData(values=[_forest_row(place, row, ends) for place, row in enumerate(rows)])).encode(
        y=y
    )
    colours, shapes = (
        alt.Scale(domain=list(TONES), range=[tone[part] for tone in TONES.values()]) for part in (0, 1)
    )
    toned = alt.Color("tone:N", scale=colours, legend=None)
    left, right = alt.value(-LABEL_GAP), alt.value(width + LABEL_GAP)
    layers = [
        _at([float(place) for place in range(1, len(rows))])
        .mark_rule(color=GREY, opacity=0.25)
        .encode(y=alt.Y("value:Q", axis=None)),
        _at([0.0]).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=x),
        _where(base, "value").mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", title=axis), x2="high:Q", color=toned),
        _where(base, "value")
        .mark_point(filled=True, size=120, opacity=1)
        .encode(x=x, color=toned, shape=alt.Shape("tone:N", scale=shapes, legend=None)),
        *(
            _where(base, cut)
            .mark_point(filled=True, size=90, opacity=1, shape=shape)
            .encode(x=alt.X(f"{cut}:Q", title=axis), color=toned)
            for cut, shape in (("cut_low", "triangle-left"), ("cut_high", "triangle-right"))
        ),
        _where(base, "margin")
        .mark_tick(color=VERMILLION, thickness=2, size=24, opacity=1)
        .encode(x=alt.X("margin:Q", title=axis)),
        base.mark_text(align="right", dy=-7, fontWeight="bold", limit=280).encode(x=left, text="label:N"),
        base.mark_text(align="right", dy=8, fontSize=11, limit=280).encode(x=left, text="detail:N"),
        base.mark_text(align="left", limit=460).encode(x=right, text="words:N"),
    ]
    return titled(alt.layer(*layers).properties(width=width, height=count * ROW_HEIGHT), title, subtitle)


def diagram(
    lines: Sequence[Line], *, x: Axis, y: Axis, title: str, subtitle: str, width: int = 400, height: int = 260
) -> Spec:
    """Draw lines, each labelled at its end and with one point singled out.

    Args:
        lines: Up to five are told apart by colour and dash.
        x: The horizontal axis.
        y: The vertical axis.
        title: What is seen.
        subtitle: How to read it.
        width: Of the plot without its texts, in pixels.
        height: Likewise.
    """
    across, up = alt.X("x:Q", **_scaled(x, _reach(lines, 0, x))), alt.Y("y:Q", **_scaled(y, _reach(lines, 1, y)))
    names = [line.label for line in lines]
    styles = [LINES[place % len(LINES)] for place in range(len(lines))]
    toned = alt.Color("line:N", scale=alt.Scale(domain=names, range=[style[0] for style in styles]), legend=None)
    dashed = alt.StrokeDash(
        "line:N", scale=alt.Scale(domain=names, range=[style[1] for style in styles]), legend=None
    )
    every = [(line.label, point) for line in lines for point in line.points]
    marked = [(line.label, line.mark) for line in lines if line.mark]
    layers = [
        _at([] if y.reference is None else [y.reference])
        .mark_rule(color=GREY, strokeDash=[4, 3])
        .encode(alt.Y("value:Q", title=y.title)),
        _banded(lines).mark_area(opacity=0.18).encode(x=across, y=up, y2="high:Q", color=toned),
        _points(every).mark_line(strokeWidth=2.5).encode(x=across, y=up, color=toned, strokeDash=dashed),
        _points(marked).mark_point(filled=True, size=110, opacity=1).encode(x=across, y=up, color=toned),
        _points(_ends_of_lines(lines, y, height))
        .mark_text(align="left", dx=8, fontWeight="bold", limit=220)
        .encode(x=across, y=up, color=toned, text="line:N"),
    ]
    return titled(alt.layer(*layers).properties(width=width, height=height), title, subtitle)


def beside(specs: Sequence[Spec], *, title: str, subtitle: str) -> Spec:
    """Set pictures side by side under one title; their own titles become captions."""
    parts = []
    data: Spec = {}
    for spec in specs:
        own = {name: part for name, part in spec.items() if name not in {"$schema", "config", "datasets"}}
        data |= spec.get("datasets", {})
        parts.append({**own, "title": {**own["title"], "fontSize": 12, "subtitleFontSize": 11, "frame": "group"}})
    head = {"text": title, "subtitle": _lines(subtitle), "offset": 24}
    return {
        "$schema": specs[0]["$schema"],
        "description": f"{title}. {subtitle}",
        "title": head,
        "datasets": data,
        "hconcat": parts,
        "spacing": 48,
        "config": config(),
    }


def titled(chart: alt.LayerChart | alt.FacetChart, title: str, subtitle: str) -> Spec:
    """Give a chart its title, its subtitle, a description and the config of every picture."""
    head = alt.TitleParams(text=textwrap.wrap(title, LONGEST_TITLE), subtitle=_lines(subtitle))
    described: Spec = chart.properties(title=head).to_dict()
    return {**described, "description": f"{title}. {subtitle}", "config": config()}


def _lines(text: str) -> list[str]:
    return [line for part in text.splitlines() for line in textwrap.wrap(part, LONGEST_LINE)]


def _forest_row(place: int, row: Estimate, ends: tuple[float, float]) -> Spec:
    low, high = row.interval or (None, None)
    return {
        "middle": place + 0.5,
        "label": row.label,
        "detail": row.detail,
        "words": row.words,
        "tone": row.tone,
        "value": row.value,
        "low": None if low is None else max(low, ends[0]),
        "high": None if high is None else min(high, ends[1]),
        "cut_low": ends[0] if low is not None and low < ends[0] else None,
        "cut_high": ends[1] if high is not None and high > ends[1] else None,
        "margin": row.margin,
    }


def _ends(rows: Sequence[Estimate]) -> tuple[float, float]:
    # One hopelessly wide interval must not squeeze the others to dots.
    reaches = sorted(max(abs(row.interval[0]), abs(row.interval[1])) for row in rows if row.interval)
    marks = [mark for row in rows for mark in (row.value, row.margin) if mark is not None]
    if not reaches:
        return -1.0, 1.0
    reach = max(min(reaches[-1], WIDEST * reaches[len(reaches) // 2]), *(abs(mark) for mark in marks)) or 1.0
    every = [0.0, *marks, *(end for row in rows if row.interval for end in row.interval)]
    low, high = max(min(every), -reach), min(max(every), reach)
    room = 0.04 * (high - low)
    return low - room, high + room


def _reach(lines: Sequence[Line], part: Literal[0, 1], axis: Axis) -> tuple[float, float]:
    if axis.domain:
        return axis.domain
    every = [point[part] for line in lines for point in (*line.points, *([line.mark] if line.mark else []))]
    if part == 1:
        every += [end for line in lines for _, *ends in line.band for end in ends]
    every += [] if axis.reference is None else [axis.reference]
    low, high = min(every), max(every)
    if axis.log:
        return (low, high) if part == 0 else (low / 1.5, high * 1.5)
    room = 0.05 * (high - low) if part == 1 else 0.0
    return (low - room, high + room) if high > low else (low - 1, high + 1)


def _scaled(axis: Axis, reach: tuple[float, float]) -> dict[str, Any]:
    ticks = {"values": log_ticks(*reach)} if axis.log else {"tickCount": 6, "tickMinStep": axis.step}
    scale = alt.Scale(type="log" if axis.log else "linear", domain=list(reach), nice=False, zero=False)
    return {"axis": alt.Axis(title=axis.title, format=axis.format, labelOverlap=True, **ticks), "scale": scale}


def _ends_of_lines(lines: Sequence[Line], axis: Axis, height: int) -> list[tuple[str, tuple[float, float]]]:
    low, high = _reach(lines, 1, axis)

    def to_pixels(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if axis.log else (value - low) / (high - low)
        return height * share

    def to_value(pixels: float) -> float:
        return low * (high / low) ** (pixels / height) if axis.log else low + (high - low) * pixels / height

    moved = spread([to_pixels(line.points[-1][1]) for line in lines], LABEL_HEIGHT, height)
    return [(line.label, (line.points[-1][0], to_value(at))) for line, at in zip(lines, moved, strict=True)]


def _at(values: Sequence[float]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[{"value": value} for value in values]))


def _where(base: alt.Chart, field: str) -> alt.Chart:
    return base.transform_filter(f"isValid(datum.{field})")


def _points(rows: Sequence[tuple[str, tuple[float, float]]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[{"line": label, "x": at[0], "y": at[1]} for label, at in rows]))


def _banded(lines: Sequence[Line]) -> alt.Chart:
    rows = [{"line": line.label, "x": at, "y": low, "high": high} for line in lines for at, low, high in line.band]
    return alt.Chart(alt.InlineData(values=rows))
