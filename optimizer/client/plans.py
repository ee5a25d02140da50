"""Plans as a script or a notebook meets them."""

from __future__ import annotations

from typing import Literal

from optimizer import wording
from optimizer.client.results import Shape
from optimizer.client.tables import Cell, html_table, paragraph


class Monitored(Shape):
    """What monitoring a plan leads to."""

    simulated_power: float
    expected_visitors_per_variant: int
    p90_visitors_per_variant: int
    expected_days: int | None
    p90_days: int | None


class ProxyNote(Shape):
    """How far a proxy can be trusted."""

    effect_basis: str
    visitors_for_goal_effect: int | None
    quality: float | None
    rank: int
    time_saved: float | None
    warning: str


class AcceptedLoss(Shape):
    """What a Bayesian plan waits for."""

    relative: float
    absolute: float
    chance: float


class PowerPoint(Shape):
    """The chance to see the effect at another size."""

    visitors: int
    power: float


class Detectable(Shape):
    """What could be seen if the test ended after some days."""

    days: int
    visitors: int
    relative_mde: float | None


class CurvePoint(Shape):
    """The goal's cost at another effect size."""

    relative_mde: float
    visitors_per_variant: int
    days: int | None


class PlannedMetric(Shape):
    """What one metric costs."""

    metric: str
    role: Literal["goal", "proxy", "guardrail"]
    kind: str
    baseline: float
    relative_mde: float
    power: float
    visitors_per_variant: int
    arms: list[int]
    visitors: int
    days: int | None
    speedup: float
    proxy: ProxyNote | None
    sequential: Monitored | None
    bayesian: AcceptedLoss | None
    power_curve: list[PowerPoint]
    detectable: list[Detectable]


class Recommended(Shape):
    """Which metric to plan on."""

    metric: str
    reason: str
    planned_visitors: int
    days: int | None
    limited_by: str


class Plan(Shape):
    """The goal and its proxies side by side; shown as a table in a notebook."""

    method: str
    alpha: float
    power: float
    daily_visitors: float | None
    metrics: list[PlannedMetric]
    recommended: Recommended
    curve: list[CurvePoint]
    assumptions: list[str]

    def rows(self) -> list[dict[str, Cell]]:
        """Flatten into one row per metric."""
        return [
            {
                "metric": metric.metric,
                "role": metric.role,
                "baseline": metric.baseline,
                "relative_mde": metric.relative_mde,
                "power": metric.power,
                "visitors_per_variant": metric.visitors_per_variant,
                "visitors": metric.visitors,
                "days": metric.days,
                "speedup": metric.speedup,
                "expected_visitors_per_variant": metric.sequential.expected_visitors_per_variant
                if metric.sequential
                else None,
                "effect_basis": metric.proxy.effect_basis if metric.proxy else None,
            }
            for metric in self.metrics
        ]

    @property
    def headline(self) -> str:
        """What to plan on and what it takes."""
        found = self.recommended
        days = f", {wording.days(found.days)}" if found.days is not None else ""
        return f"Plan on {found.metric}: {found.planned_visitors:,} visitors{days}"

    def __repr__(self) -> str:
        """Say what to plan on."""
        return f"<Plan: {self.headline}>"

    def _repr_html_(self) -> str:
        warnings = [paragraph(metric.proxy.warning) for metric in self.metrics if metric.proxy]
        head = [paragraph(self.headline, strong=True), paragraph(self.recommended.reason)]
        return "".join([*head, html_table(self.rows()), *warnings])
