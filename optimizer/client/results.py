"""Results and experiments as a script or a notebook meets them; fields are those of the HTTP contract."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from optimizer import wording
from optimizer.client.tables import Cell, html_table, paragraph

Pair = tuple[float, float]
HEADLINES = {
    "ship": "Ship it",
    "stop": "Stop the test",
    "continue": "Let it run",
    "investigate": "Do not trust it yet: investigate",
}


class Shape(BaseModel):
    """Fields that a newer service adds are kept, not refused."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def __str__(self) -> str:
        """Print as it shows itself."""
        return repr(self)


class Check(Shape):
    """One health check."""

    name: str
    passed: bool
    p_value: float | None
    detail: str
    holds_back: bool = True


class Unadjusted(Shape):
    """A comparison without covariates."""

    absolute: float
    absolute_interval: Pair
    relative: float | None
    relative_interval: Pair | None


class Comparison(Shape):
    """One variant against the baseline."""

    variant: str
    baseline: str
    absolute: float | None
    relative: float | None
    absolute_interval: Pair | None
    relative_interval: Pair | None
    level: float | None
    p_value: float | None
    adjusted_p_value: float | None
    significant: bool
    status: str
    detail: str
    chance_to_win: float | None = None
    expected_loss: float | None = None
    shrunk_relative: float | None = None
    variance_reduction: float | None = None
    unadjusted: Unadjusted | None = None


class Variant(Shape):
    """One variant on one metric."""

    variant: str
    units: int
    conversions: int | None
    mean: float | None
    std: float | None
    sum: float | None
    occurrences: int | None = None


class Metric(Shape):
    """One metric."""

    metric: str
    role: Literal["primary", "goal", "secondary", "guardrail"]
    type: str
    quantile: float | None = None
    variants: list[Variant]
    comparisons: list[Comparison]


class GoalForecast(Shape):
    """What the primary metric's effect says of the goal."""

    relative: float
    interval: Pair | None
    basis: str
    score: str = ""
    measured: float | None = None
    measured_interval: Pair | None = None


class Decision(Shape):
    """What to do and why."""

    action: Literal["ship", "stop", "continue", "investigate"]
    reasons: list[str]
    variant: str | None = None
    goal_forecast: GoalForecast | None = None


class Result(Shape):
    """Figures, checks and the decision; shown as a table in a notebook."""

    method: str
    alpha: float
    units: dict[str, int]
    checks: list[Check]
    metrics: list[Metric]
    decision: Decision
    warnings: list[str] = []
    experiment: str | None = None
    status: str | None = None
    as_of: dt.datetime | None = None

    @property
    def headline(self) -> str:
        """What to do, in a few words."""
        if self.decision.action == "ship" and self.decision.variant:
            return f"Ship {self.decision.variant}"
        return HEADLINES[self.decision.action]

    @property
    def primary(self) -> Metric:
        """The metric that decides."""
        return next((metric for metric in self.metrics if metric.role == "primary"), self.metrics[0])

    @property
    def forecast(self) -> str:
        """What it means for the goal, in a sentence; empty where nothing is forecast."""
        goal = next((metric.metric for metric in self.metrics if metric.role == "goal"), "the goal")
        found = self.decision.goal_forecast
        return wording.forecast(goal, found) if found else ""

    def rows(self) -> list[dict[str, Cell]]:
        """Flatten into one row per metric and comparison; `pandas.DataFrame(result.rows())` needs nothing more."""
        return [
            {
                "metric": metric.metric,
                "role": metric.role,
                "variant": one.variant,
                "baseline": one.baseline,
                "absolute": one.absolute,
                "absolute_low": one.absolute_interval[0] if one.absolute_interval else None,
                "absolute_high": one.absolute_interval[1] if one.absolute_interval else None,
                "relative": one.relative,
                "relative_low": one.relative_interval[0] if one.relative_interval else None,
                "relative_high": one.relative_interval[1] if one.relative_interval else None,
                "p_value": one.adjusted_p_value,
                "significant": one.significant,
                "status": one.status,
                "decision": self.decision.action,
            }
            for metric in self.metrics
            for one in metric.comparisons
        ]

    def __repr__(self) -> str:
        """Say the decision and the primary metric's effects."""
        effects = "; ".join(f"{one.variant} {wording.effect(one)}" for one in self.primary.comparisons)
        return f"<Result {self.experiment or 'of counts'}: {self.headline}. {self.primary.metric}: {effects}>"

    def _repr_html_(self) -> str:
        rows = [
            {
                "metric": metric.metric,
                "role": wording.role(metric),
                "variant": one.variant,
                "effect": wording.effect(one),
                "p": wording.p_value(one.adjusted_p_value),
                "status": one.status if one.status != "ok" else ("shown" if one.significant else "open"),
            }
            for metric in self.metrics
            for one in metric.comparisons
        ]
        failed = [
            paragraph(f"{wording.MARKS[wording.check(one)]} {one.name}: {one.detail}")
            for one in self.checks
            if not one.passed
        ]
        reasons = [paragraph(reason) for reason in (*self.decision.reasons, *self.warnings, self.forecast) if reason]
        return "".join([paragraph(self.headline, strong=True), *reasons, *failed, html_table(rows)])


class Experiment(Shape):
    """One experiment's design and state."""

    key: str
    name: str
    status: Literal["draft", "running", "stopped", "archived"]
    method: str
    primary_metric: str
    variants: list[dict[str, Any]]
    started_at: dt.datetime | None
    stopped_at: dt.datetime | None
