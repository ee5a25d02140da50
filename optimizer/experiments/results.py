"""An experiment's result as it stood at the last cut-off of its grid, the same for everybody who reads it.

Reading adds no look. The grid is daily, at midnight in the project's time zone; the first reader after a cut-off (or
the job) makes the look, which is stored and never changes. The last look is taken when every unit's window is over.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any, Literal

from pydantic import Field
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from optimizer.errors import ConflictError
from optimizer.experiments.answers import ResultAnswer
from optimizer.experiments.cohort import count_exposed
from optimizer.experiments.design import get_experiment
from optimizer.experiments.look import examine
from optimizer.experiments.metrics import Resolved, metric_keys, resolve_metrics
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment, ExperimentLook, Project


class ExperimentResult(ResultAnswer):
    """What is known about an experiment, as of the last cut-off."""

    experiment: str
    status: Literal["running", "stopped", "archived"]
    as_of: dt.datetime = Field(description="The cut-off; nothing later is in the figures.")
    computed_at: dt.datetime
    grid: str = Field(description="When looks are taken.")
    exposed_so_far: dict[str, int] = Field(description="Clean units per variant by now; without any outcome.")


def read_result(stores: Stores, project_id: int, key: str, *, now: dt.datetime) -> ExperimentResult:
    """Return the result of the last cut-off, taking the look if nobody has.

    Raises:
        NotFoundError: The project has no such experiment.
        ConflictError: It has not started.
    """
    with stores.control.reading() as session:
        experiment = get_experiment(session, project_id, key)
        metrics = resolve_metrics(session, project_id, metric_keys(experiment))
        zone = zoneinfo.ZoneInfo(session.get_one(Project, project_id).time_zone)
    if experiment.started_at is None:
        raise ConflictError("This experiment has not started: POST /v1/experiments/{key}/start.")
    look = take_look(stores, experiment, metrics, zone, now=now)
    exposed = count_exposed(stores.events, project_id, experiment, until=now)
    return ExperimentResult(
        **look.result,
        experiment=experiment.key,
        status=experiment.status,
        as_of=look.cutoff,
        computed_at=look.computed_at,
        grid=f"daily at 00:00 {zone.key}",
        exposed_so_far=dict(exposed.units),
    )


def take_look(
    stores: Stores,
    experiment: Experiment,
    metrics: dict[str, Resolved],
    zone: zoneinfo.ZoneInfo,
    *,
    now: dt.datetime,
) -> ExperimentLook:
    """Return the stored look of the last cut-off, or take and store it.

    A fixed-horizon test has one verdict: once a stored look has it, that look stays the last.
    """
    cutoff = last_cutoff(experiment, metrics, zone, now=now)
    with stores.control.reading() as session:
        stored = _stored(session, experiment, cutoff)
    if stored is not None:
        return stored
    result = examine(stores, experiment, metrics, as_of=cutoff)
    look = ExperimentLook(
        experiment_id=experiment.id or 0, cutoff=cutoff, result=result.model_dump(mode="json"), computed_at=now
    )
    if cutoff == experiment.started_at:
        return look  # the grid has not begun: nothing to keep
    try:
        with stores.control.session() as session:
            session.add(look)
    except IntegrityError:  # somebody else took it meanwhile; theirs is everybody's
        with stores.control.reading() as session:
            return _stored(session, experiment, cutoff) or look
    return look


def last_cutoff(
    experiment: Experiment, metrics: dict[str, Resolved], zone: zoneinfo.ZoneInfo, *, now: dt.datetime
) -> dt.datetime:
    """Return the last cut-off of the grid at or before `now`; the start itself before the first one."""
    started = experiment.started_at or now
    if experiment.stopped_at is not None:
        longest = max((found.metric.window_hours or 0.0 for found in metrics.values()), default=0.0)
        final = experiment.stopped_at + dt.timedelta(hours=longest)
        if final <= now:
            return final
    midnight = dt.datetime.combine(now.astimezone(zone).date(), dt.time(), tzinfo=zone).astimezone(dt.UTC)
    return max(midnight, started)


def _stored(session: Session, experiment: Experiment, cutoff: dt.datetime) -> ExperimentLook | None:
    own = select(ExperimentLook).where(ExperimentLook.experiment_id == experiment.id)
    if experiment.method == "fixed":
        for look in session.exec(own.order_by(col(ExperimentLook.cutoff))):
            if _is_final(look.result):
                return look
    return session.exec(own.where(ExperimentLook.cutoff == cutoff)).first()


def _is_final(result: dict[str, Any]) -> bool:
    [primary] = [metric for metric in result["metrics"] if metric["role"] == "primary"]
    return any(comparison["status"] == "ok" for comparison in primary["comparisons"])
