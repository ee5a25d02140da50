"""A plan as a picture: the visitors that effects of every size cost, and the power that visitors buy."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer import wording
from optimizer.experiments.planning.shapes import PlannedMetric, PlannedTest
from optimizer.web.charts import Axis, Line, beside, diagram
from optimizer.web.drawing import Spec

MOST_LINES = 5  # told apart by colour and dash


def plan_diagram(planned: PlannedTest) -> Spec:
    """Draw a plan: power against visitors beside the effect that can be seen against days or visitors."""
    parts = [_power(planned)]
    parts.append(_detectable(planned) if planned.daily_visitors else _curve(planned))
    days = f", {wording.days(planned.recommended.days)}" if planned.recommended.days is not None else ""
    return beside(
        parts,
        title=f"Plan on {planned.recommended.metric}: {planned.recommended.planned_visitors:,} visitors{days}",
        subtitle=planned.recommended.reason,
    )


def _shown(planned: PlannedTest) -> Sequence[PlannedMetric]:
    order = sorted(planned.metrics, key=lambda metric: (metric.role != "goal", metric.visitors))
    return [metric for metric in order if metric.role != "guardrail"][:MOST_LINES]


def _power(planned: PlannedTest) -> Spec:
    lines = [
        Line(
            metric.metric,
            [(point.power, float(point.visitors)) for point in metric.power_curve],
            mark=(_planned_power(metric), float(metric.visitors)),
        )
        for metric in _shown(planned)
    ]
    least = "power of the last look alone, a lower bound" if planned.method == "sequential" else "one line per metric"
    return diagram(
        lines,
        x=Axis("Power", ".0%", domain=(0, 1)),
        y=Axis("Visitors over all variants", ".2~s", log=True),
        title=f"What power to see {wording.signed(planned.metrics[0].relative_mde, percent=True)} costs",
        subtitle=f"{least}; points are the plans",
    )


def _planned_power(metric: PlannedMetric) -> float:
    return min(metric.power_curve, key=lambda point: abs(point.visitors - metric.visitors)).power


def _detectable(planned: PlannedTest) -> Spec:
    lines = []
    for metric in _shown(planned):
        points = [
            (float(point.days), abs(point.relative_mde))
            for point in metric.detectable
            if point.relative_mde is not None
        ]
        if points:
            lines.append(Line(metric.metric, points))
    if not lines:
        return _curve(planned)
    return diagram(
        lines,
        x=Axis("Days, the conversion window included", "d", step=7),
        y=Axis("Smallest effect seen", ".2~%", log=True, reference=abs(planned.metrics[0].relative_mde)),
        title="What the test could see if it ended then",
        subtitle=f"at {planned.daily_visitors:,.0f} new visitors a day; the dashed line is the effect wanted",
    )


def _curve(planned: PlannedTest) -> Spec:
    goal = planned.metrics[0]
    points = [(abs(point.relative_mde), float(point.visitors_per_variant)) for point in planned.curve]
    return diagram(
        [Line(goal.metric, points, mark=(abs(goal.relative_mde), goal.visitors_per_variant))],
        x=Axis("Relative effect to see", ".2~%", log=True),
        y=Axis("Visitors per variant", ".2~s", log=True),
        title="What smaller effects cost",
        subtitle="on the goal; the point is the plan",
    )
