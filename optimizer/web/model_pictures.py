"""The picture of a model card: what was predicted against what happened."""

from __future__ import annotations

from optimizer.signals.likelihood import ModelCard
from optimizer.web.charts import Axis, Line, diagram
from optimizer.web.drawing import Spec


def calibration(card: ModelCard) -> Spec:
    """Draw predicted probabilities against observed shares, with intervals; a refused card without any says why."""
    bins = card.judgement.calibration if card.judgement else []
    top = max([0.01, *(one.predicted for one in bins), *(one.interval[1] for one in bins)])
    lines = [Line("perfect", [(0.0, 0.0), (top, top)])]
    if bins:
        observed = Line(
            "observed",
            [(one.predicted, one.observed) for one in bins],
            band=[(one.predicted, *one.interval) for one in bins],
        )
        lines = [observed, *lines]
    return diagram(
        lines,
        x=Axis("Predicted likelihood", ".0%", domain=(0.0, top)),
        y=Axis("Share that reached it", ".0%", domain=(0.0, top)),
        title=f"Likelihood of {card.goal} within {card.horizon_days} days: predicted and observed",
        subtitle=card.reason,
        width=420,
        height=320,
    )
