"""How a test goes against its plan, and what the proxy's effect would mean for the goal."""

from __future__ import annotations

import datetime as dt
from typing import Any

from optimizer.core.stats.comparison import Case
from optimizer.core.stats.decisions import Pace
from optimizer.core.stats.figures import figures
from optimizer.experiments.answers import PlanAnswer
from optimizer.experiments.gather import Gathered
from optimizer.storage.tables import Experiment

WITHIN = "Within 20% of the plan, where the plan says anything."
NOTABLE = 0.2  # by which share a plan may be missed before it is worth a word


def pace_of(experiment: Experiment, gathered: Gathered, window_hours: float | None, *, as_of: dt.datetime) -> Pace:
    """Say how fast units of the primary metric come in.

    Args:
        experiment: The design.
        gathered: What is known.
        window_hours: The primary metric's window.
        as_of: The cut-off.
    """
    waiting = sum(gathered.units.values()) - gathered.units_of(experiment.primary_metric)
    daily = daily_units(experiment, gathered, as_of=as_of)
    ended = experiment.stopped_at is not None and experiment.stopped_at <= as_of
    if window_hours is None:
        return Pace(daily, ended=ended)
    return Pace(daily, max(0, waiting), window_hours / 24, ended)


def daily_units(experiment: Experiment, gathered: Gathered, *, as_of: dt.datetime) -> float | None:
    """Return new units a day since the start; None before a whole day is over."""
    days = days_run(experiment, as_of)
    units = sum(gathered.units.values())
    return units / days if days >= 1 and units else None


def days_run(experiment: Experiment, as_of: dt.datetime) -> float:
    """Return the days from the start to the cut-off or the stop, whichever is first."""
    if experiment.started_at is None:
        return 0.0
    end = min(as_of, experiment.stopped_at) if experiment.stopped_at else as_of
    return max(0.0, (end - experiment.started_at) / dt.timedelta(days=1))


def against_plan(
    experiment: Experiment, gathered: Gathered, primary: Case | None, *, as_of: dt.datetime
) -> PlanAnswer | None:
    """Set what was planned beside what happened; None without any plan."""
    if experiment.planned_visitors is None and experiment.plan is None:
        return None
    plan = experiment.plan or {}
    own = _planned_metric(plan, experiment.primary_metric)
    days_planned, baseline_planned = _number(own.get("days")), _number(own.get("baseline"))
    planned = experiment.planned_visitors or _whole(own.get("visitors"))
    daily_planned = _number(plan.get("daily_visitors"))
    if daily_planned is None and planned and days_planned:
        daily_planned = planned / days_planned
    visitors = gathered.units_of(experiment.primary_metric)
    mean = float(figures(primary.row, primary.measure, adjusted=False).mean[0]) if primary is not None else None
    baseline = mean if mean is not None and visitors and mean == mean else None  # noqa: PLR0124 - not NaN
    daily = daily_units(experiment, gathered, as_of=as_of)
    misses = [_miss("new visitors a day", daily_planned, daily), _miss("the baseline", baseline_planned, baseline)]
    return PlanAnswer(
        planned_visitors=planned,
        visitors=visitors,
        share=visitors / planned if planned else None,
        daily_visitors_planned=daily_planned,
        daily_visitors=daily,
        days_planned=days_planned,
        days=days_run(experiment, as_of),
        baseline_planned=baseline_planned,
        baseline=baseline,
        detail=" ".join(miss for miss in misses if miss)
        or f"Within {NOTABLE:.0%} of the plan, where the plan says anything.",
    )


def _planned_metric(plan: dict[str, Any], key: str) -> dict[str, Any]:
    # A plan is kept as it was sent, so nothing in it can be relied on.
    metrics = plan.get("metrics")
    rows = [row for row in metrics if isinstance(row, dict)] if isinstance(metrics, list) else []
    return next((row for row in rows if row.get("metric") == key), {})


def _number(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
    return float(value) if known else None  # type: ignore[arg-type] # just looked at


def _whole(value: object) -> int | None:
    number = _number(value)
    return round(number) if number is not None else None


def _miss(what: str, planned: float | None, found: float | None) -> str:
    if planned is None or found is None or abs(found / planned - 1) < NOTABLE:
        return ""
    side = "above" if found > planned else "below"
    return f"{what} {found:,.4g}: {abs(found / planned - 1):.0%} {side} the planned {planned:,.4g}.".capitalize()
