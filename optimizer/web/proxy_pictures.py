"""Past effects of a proxy against the goal's: with the noise in each, and the slope with and without it.

A plot of points alone is what misleads. Here every point has the ellipse that its noise makes; where the ellipses
lean as the points do, it is the noise that agrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from optimizer.signals.proxy_shapes import EffectPoint, EffectsAnswer
from optimizer.web.charts import LABEL_HEIGHT, titled
from optimizer.web.drawing import BLUE, GREY, VERMILLION, Spec, spread

MOST_ELLIPSES = 60
CORNERS = 36
WIDTH, HEIGHT = 480, 360
KEY = (
    "One mark a past comparison (triangles: stopped early), one standard error of its noise around it. "
    "Lines cross at the mean true effect; the band is the 95% interval of the slope."
)
NAMES = ("noise taken out", "naive")
Reach = tuple[float, float]
Row = dict[str, Any]


def effects_scatter(found: EffectsAnswer) -> Spec:
    """Draw past effects with noise ellipses and both slopes."""
    across, up = _reach(found.points, 0), _reach(found.points, 1)
    x = alt.X("x:Q", **_axis(f"Effect on {found.proxy}", across))
    y = alt.Y("y:Q", **_axis(f"Effect on {found.goal}", up))
    lines = _lines(found, across, up)
    toned = alt.Color("line:N", scale=alt.Scale(domain=list(NAMES), range=[BLUE, VERMILLION]), legend=None)
    dashed = alt.StrokeDash("line:N", scale=alt.Scale(domain=list(NAMES), range=[[1, 0], [7, 3]]), legend=None)
    shape = alt.Shape("early:N", scale=alt.Scale(domain=["no", "yes"], range=["circle", "triangle-up"]), legend=None)
    layers = [
        _data([{"x": 0.0}]).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=x),
        _data([{"y": 0.0}]).mark_rule(color=GREY, strokeDash=[4, 3]).encode(y=y),
        _data(_band(found, across, up)).mark_area(color=BLUE, opacity=0.12).encode(x=x, y=y, y2="high:Q"),
        _data(_ellipses(found.points))
        .mark_line(filled=True, interpolate="linear-closed", color=GREY, opacity=0.13, strokeWidth=0)
        .encode(x=x, y=y, detail="of:N", order="corner:O"),
        _data(_marks(found.points)).mark_point(size=45, opacity=0.9, color=GREY).encode(x=x, y=y, shape=shape),
        _data(lines)
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(x=x, y=y, color=toned, strokeDash=dashed, order="x:Q"),
        _data(_ends(lines, up))
        .mark_text(align="left", dx=8, fontWeight="bold", limit=200)
        .encode(x=x, y=y, color=toned, text="words:N"),
    ]
    chart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    return titled(chart, _title(found), f"{found.detail}\n{KEY}{_fewer(found.points)}")


def _title(found: EffectsAnswer) -> str:
    if found.status == "ok" and found.slope is not None:
        naive = "" if found.naive_slope is None else f", not {_plain(found.naive_slope)} as the points alone suggest"
        return f"1 of true effect on {found.proxy} goes with {_plain(found.slope)} on {found.goal}{naive}"
    return f"Past experiments do not say whether {found.goal} follows {found.proxy}"


def _plain(slope: float) -> str:
    return f"{slope:.3g}".replace("-", "−")


def _reach(points: Sequence[EffectPoint], part: int) -> Reach:
    ends = [0.0]
    for point in points:
        effect = (point.proxy_effect, point.goal_effect)[part]
        error = math.sqrt((point.proxy_variance, point.goal_variance)[part])
        ends += [effect - error, effect + error]
    room = 0.04 * (max(ends) - min(ends)) or 1.0
    return min(ends) - room, max(ends) + room


def _axis(title: str, reach: Reach) -> dict[str, Any]:
    label = "datum.value == 0 ? '0' : format(datum.value, '+.3~g')"
    return {
        "axis": alt.Axis(title=f"{title}, treatment − control", tickCount=6, labelExpr=label),
        "scale": alt.Scale(domain=list(reach), nice=False, zero=False),
    }


def _marks(points: Sequence[EffectPoint]) -> list[Row]:
    return [
        {"x": one.proxy_effect, "y": one.goal_effect, "early": "yes" if one.stopped_early else "no"} for one in points
    ]


def _ellipses(points: Sequence[EffectPoint]) -> list[Row]:
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    circle = np.array([np.cos(turn), np.sin(turn)])
    rows: list[Row] = []
    for place, one in enumerate(_largest(points)):
        noise = np.array([[one.proxy_variance, one.covariance], [one.covariance, one.goal_variance]])
        values, vectors = np.linalg.eigh(noise)
        x, y = (vectors * np.sqrt(np.maximum(values, 0.0))) @ circle
        rows += [
            {"of": place, "corner": corner, "x": one.proxy_effect + dx, "y": one.goal_effect + dy}
            for corner, (dx, dy) in enumerate(zip(x.tolist(), y.tolist(), strict=True))
        ]
    return rows


def _largest(points: Sequence[EffectPoint]) -> list[EffectPoint]:
    return sorted(points, key=lambda one: one.proxy_variance)[:MOST_ELLIPSES]


def _fewer(points: Sequence[EffectPoint]) -> str:
    return f" (of the {MOST_ELLIPSES} most precise)" if len(points) > MOST_ELLIPSES else ""


def _lines(found: EffectsAnswer, across: Reach, up: Reach) -> list[Row]:
    if found.mean is None:
        return []
    rows: list[Row] = []
    for name, slope in zip(NAMES, (found.slope, found.naive_slope), strict=True):
        if slope is None:
            continue
        words = f"{name}: {_plain(slope)}"
        for x in _inside(found.mean, slope, across, up):
            y = found.mean[1] + slope * (x - found.mean[0])
            rows.append({"line": name, "x": x, "y": min(up[1], max(up[0], y)), "words": words})
    return rows


def _inside(mean: tuple[float, float], slope: float, across: Reach, up: Reach) -> Reach:
    # Where the line leaves the picture, so that its label stands at its end and not outside.
    if slope == 0:
        return across
    cuts = sorted(mean[0] + (end - mean[1]) / slope for end in up)
    return max(across[0], cuts[0]), min(across[1], cuts[1])


def _ends(lines: Sequence[Row], up: Reach) -> list[Row]:
    ends: dict[str, Row] = {}
    for row in lines:
        if row["line"] not in ends or row["x"] > ends[row["line"]]["x"]:
            ends[row["line"]] = row
    scale = HEIGHT / (up[1] - up[0])
    moved = spread([(row["y"] - up[0]) * scale for row in ends.values()], LABEL_HEIGHT, HEIGHT)
    return [{**row, "y": up[0] + at / scale} for row, at in zip(ends.values(), moved, strict=True)]


def _band(found: EffectsAnswer, across: Reach, up: Reach) -> list[Row]:
    if found.mean is None or found.slope_interval is None:
        return []
    rows = []
    for x in sorted({*np.linspace(*across, 41).tolist(), found.mean[0]}):
        low, high = sorted(found.mean[1] + slope * (x - found.mean[0]) for slope in found.slope_interval)
        rows.append({"x": x, "y": min(up[1], max(up[0], low)), "high": min(up[1], max(up[0], high))})
    return rows


def _data(rows: Sequence[Row]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))
