"""Pictures of a ranking: each event's lift with its interval, and whether predicted values held in later weeks."""

from __future__ import annotations

import altair as alt

from optimizer.signals.answers import Calibration, Signal, SignalsAnswer
from optimizer.web.charts import Estimate, Tone, forest
from optimizer.web.drawing import BLUE, GREY, Spec, config

TONES: dict[str, Tone] = {"promote": "good", "keep": "neutral", "watch": "neutral", "drop": "neutral"}
SIDE = 360


def lift_forest(answer: SignalsAnswer) -> Spec:
    """Draw how much more often those who did each event convert, from the best on; nothing to draw says why."""
    rows = [_row(signal) for signal in answer.signals]
    return forest(
        rows or [Estimate(answer.status.replace("_", " "), "", None, None, answer.detail)],
        title=f"What predicts {answer.goal}",
        subtitle=f"{answer.detail} {answer.caveat}",
        axis="Converts more or less often than those alike who did not do it (lift − 1)",
    )


def value_calibration(answer: SignalsAnswer) -> Spec:
    """Draw predicted values against those of held-out weeks, one point per event and source."""
    found = answer.calibration
    points = found.points if found else []
    top = 1.08 * max([0.01, *(max(point.predicted, point.observed) for point in points)])
    scale, field = alt.Scale(domain=[0, top], nice=False), alt.Axis(tickCount=5)
    ends: list[dict[str, float]] = [{"x": 0.0, "y": 0.0}, {"x": top, "y": top}]
    line = alt.Chart(alt.InlineData(values=ends))
    marks = alt.Chart(alt.InlineData(values=[point.model_dump() for point in points]))
    chart = alt.layer(
        line.mark_line(color=GREY, strokeDash=[4, 3]).encode(
            x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale)
        ),
        marks.mark_point(color=BLUE, filled=True, opacity=0.7).encode(
            x=alt.X("predicted:Q", title="Predicted value per unit", scale=scale, axis=field),
            y=alt.Y("observed:Q", title="Value per unit in held-out weeks", scale=scale, axis=field),
            size=alt.Size("units:Q", legend=None, scale=alt.Scale(range=[20, 300])),
            tooltip=["event:N", "source:N", "units:Q", "predicted:Q", "observed:Q"],
        ),
    ).properties(width=SIDE, height=SIDE)
    title, subtitle = f"Value after an event: predicted and observed, {answer.goal}", _sentence(found)
    spec: Spec = chart.properties(title=alt.TitleParams(text=title, subtitle=[subtitle])).to_dict()
    return {**spec, "description": f"{title}. {subtitle}", "config": config()}


def _sentence(found: Calibration | None) -> str:
    return found.detail if found else "Nobody was looked at, so there is nothing to compare."


def _row(signal: Signal) -> Estimate:
    label = signal.event if signal.group is None else f"{signal.event} ({signal.group})"
    detail = f"{signal.units:,} units, {signal.role.replace('_', ' ')}"
    if signal.lift is None or signal.lift_interval is None:
        why = "everybody does it" if signal.role == "everybody" else "nothing to compare"
        return Estimate(label, detail, None, None, f"{signal.recommendation}: {why}")
    low, high = signal.lift_interval
    words = f"{signal.recommendation}: lift {signal.lift:.2f} ({low:.2f} to {high:.2f})"
    return Estimate(label, detail, signal.lift - 1, (low - 1, high - 1), words, TONES[signal.recommendation])
