"""The pictures of what was predicted against what happened: of a model card, and of a table of values."""

from __future__ import annotations

import math

from optimizer.signals.likelihood import ModelCard
from optimizer.signals.value_shapes import ValueTable
from optimizer.web.charts import Axis, Line, diagram
from optimizer.web.drawing import Spec


def calibration(card: ModelCard) -> Spec:
    """Draw predicted probabilities against observed shares, with intervals; a refused card without any says why."""
    bins = card.judgement.calibration if card.judgement else []
    last = max([0.01, *(one.predicted for one in bins)])
    top = max([last, *(one.interval[1] for one in bins)])
    lines = [Line("perfect", [(0.0, 0.0), (last, last)])]
    if bins:
        observed = Line(
            "observed",
            [(one.predicted, one.observed) for one in bins],
            band=[(one.predicted, *one.interval) for one in bins],
        )
        lines = [observed, *lines]
    return diagram(
        lines,
        x=Axis("Predicted likelihood", ".0%", domain=(0.0, last)),
        y=Axis("Share that reached it", ".0%", domain=(0.0, top)),
        title=f"Likelihood of {card.goal} within {card.horizon_days} days: predicted and observed",
        subtitle=card.reason,
        width=420,
        height=320,
    )


def reconciliation(table: ValueTable) -> Spec:
    """Draw what was predicted and told of journeys and what they brought, by the week in which they began."""
    lines = []
    if table.weeks:
        begins = table.weeks[0].begins
        places = [(week.begins - begins).days / 7 for week in table.weeks]
        brought = list(zip(places, (week.actual for week in table.weeks), strict=True))
        predicted = list(zip(places, (week.predicted for week in table.weeks), strict=True))
        lines = [Line("brought", brought), Line("predicted", predicted)]
        told = [(place, week.told) for place, week in zip(places, table.weeks, strict=True) if week.told is not None]
        if told and any(not math.isclose(week.predicted, week.told or 0.0) for week in table.weeks):
            lines.append(Line("told", told))  # margin, cap, or a source of which nothing is told
    return diagram(
        lines or [Line("nothing to tell", [(0.0, 0.0)])],
        x=Axis("Week in which journeys began, from the first shown", step=1),
        y=Axis(f"Value within {table.window_days} days", "~s"),
        title=f"What is told of {', '.join(table.reported)}, and what it brought",
        subtitle=f"{table.label[0].upper()}{table.label[1:]}. {table.reason}",
        width=560,
        height=260,
    )
