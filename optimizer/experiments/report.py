"""Everything a report of one experiment says, whatever form it takes: page, picture, table or data.

The verdict comes first and in plain words, because most readers stop there; what it rests on follows: health,
figures, the method with what it promises, how the test went against its plan, and what a careful reader should know.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from optimizer.experiments import metrics as definitions
from optimizer.experiments.answers import DecisionAnswer
from optimizer.experiments.design import answer, get_experiment
from optimizer.experiments.metrics import metric_keys
from optimizer.experiments.results import ExperimentResult, read_result
from optimizer.experiments.shapes import ExperimentAnswer
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment, ExperimentLook

HEADLINES = {
    "ship": "Ship it",
    "stop": "Stop the test",
    "continue": "Let it run",
    "investigate": "Do not trust it yet: investigate",
}
GUARANTEES = {
    "sequential": "Asymptotic confidence sequences (arXiv 2103.06476): the intervals hold at every look, so the "
    "chance of a false alarm anywhere along the way stays near or below {alpha:.1%}, and nobody can peek their way "
    "to a verdict.",
    "fixed": "One look, at the planned size: there the chance of a false alarm is {alpha:.1%}. Earlier readings give "
    "no verdict.",
    "group_sequential": "Planned looks with an error budget spent over them (Lan and DeMets): over all of them "
    "together the chance of a false alarm stays at {alpha:.1%}.",
    "bayesian": "Chances and expected losses under the stated prior. They carry no guarantee against false alarms "
    "when a test is read again and again.",
}


class LookPoint(BaseModel):
    """What one look said about the primary metric."""

    as_of: dt.datetime
    variant: str
    relative: float | None
    relative_interval: tuple[float, float] | None
    absolute: float
    absolute_interval: tuple[float, float]


class Report(BaseModel):
    """One experiment, reported."""

    experiment: ExperimentAnswer
    result: ExperimentResult
    headline: str = Field(description="What to do, in a few words.")
    reasons: list[str] = Field(description="Why, in sentences that name numbers.")
    guarantee: str = Field(description="What the method promises.")
    decreasing: list[str] = Field(description="Metrics where less is better.")
    windows: dict[str, float | None] = Field(description="Conversion window per metric, in hours.")
    margins: dict[str, float] = Field(description="Tolerated loss per guardrail.")
    series: list[LookPoint] = Field(description="The primary metric at each stored look, oldest first.")
    warnings: list[str]


def build_report(stores: Stores, project_id: int, key: str, *, now: dt.datetime) -> Report:
    """Report on an experiment as of the last cut-off of its grid.

    Raises:
        NotFoundError: The project has no such experiment.
        ConflictError: It has not started.
    """
    result = read_result(stores, project_id, key, now=now)
    with stores.control.reading() as session:
        row = get_experiment(session, project_id, key)
        known = {name: definitions.get_metric(session, project_id, name) for name in metric_keys(row)}
        series = _series(session, row)
    windows = {name: metric.window_hours for name, metric in known.items()}
    return Report(
        experiment=answer(row),
        result=result,
        headline=headline(result.decision),
        reasons=result.decision.reasons,
        guarantee=guarantee(result.method, result.alpha),
        decreasing=[name for name, metric in known.items() if metric.direction == "decrease"],
        windows=windows,
        margins={rail["metric"]: rail["margin_relative"] for rail in row.guardrail_metrics},
        series=series,
        warnings=_warnings(result, windows),
    )


def headline(decision: DecisionAnswer) -> str:
    """Say in a few words what to do; a test with several variants names the one to ship."""
    if decision.action == "ship" and decision.variant:
        return f"Ship {decision.variant}"
    return HEADLINES[decision.action]


def guarantee(method: str, alpha: float) -> str:
    """Say what the method promises about false alarms."""
    return GUARANTEES[method].format(alpha=alpha)


def _series(session: Session, row: Experiment) -> list[LookPoint]:
    own = (
        select(ExperimentLook)
        .where(ExperimentLook.experiment_id == row.id, ExperimentLook.dimension == "")
        .order_by(col(ExperimentLook.cutoff))
    )
    points = []
    for look in session.exec(own):
        primary = next(metric for metric in look.result["metrics"] if metric["role"] == "primary")
        points += [
            LookPoint.model_validate({**one, "as_of": look.cutoff})
            for one in primary["comparisons"]
            if one["absolute"] is not None
        ]
    return points


def _warnings(result: ExperimentResult, windows: Mapping[str, float | None]) -> list[str]:
    found = [
        f"{metric.metric}: {one.detail}"
        for metric in result.metrics
        for one in metric.comparisons
        if one.status != "ok" and one.detail
    ]
    waiting = {
        metric.metric: sum(arm.immature_units for arm in metric.variants)
        for metric in result.metrics
        if windows.get(metric.metric)
    }
    immature = [
        f"{name} counts units only once their {windows[name]:g} hours have passed: {count:,} still wait."
        for name, count in waiting.items()
    ]
    return [*result.warnings, *dict.fromkeys(found), *immature]
