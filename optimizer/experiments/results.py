"""An experiment's result as it stood at the last cut-off of its grid, the same for everybody who reads it.

Reading adds no look. The grid is daily, at midnight in the project's time zone; the first reader after a cut-off (or
the job) makes the look, which is stored and never changes. The last look is taken when every unit's window is over.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from optimizer.errors import ConflictError
from optimizer.experiments.answers import ResultAnswer, check_answers
from optimizer.experiments.cohort import count_clean, count_exposed
from optimizer.experiments.design import get_experiment
from optimizer.experiments.dimension import split_result
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


def read_result(
    stores: Stores, project_id: int, key: str, *, now: dt.datetime, dimension: str = ""
) -> ExperimentResult:
    """Return the result of the last cut-off, taking the look if nobody has.

    Args:
        stores: Both stores.
        project_id: The project.
        key: The experiment.
        now: The time it is read.
        dimension: Also split it by this; empty does not.

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
    look, exposed = take_look(stores, experiment, metrics, zone, now=now)
    shown = dict(look.result)
    if dimension:
        split = take_split(stores, experiment, metrics, dimension, as_of=look.cutoff, now=now)
        shown["dimension"] = split["dimension"]
        shown["checks"] = [*shown["checks"], split["check"]]
    every = "hourly" if experiment.look_every == "hour" else "daily at 00:00"
    return ExperimentResult(
        **shown,
        experiment=experiment.key,
        status=experiment.status,
        as_of=look.cutoff,
        computed_at=look.computed_at,
        grid=f"{every} {zone.key}",
        exposed_so_far=dict(exposed),
    )


def take_look(
    stores: Stores,
    experiment: Experiment,
    metrics: dict[str, Resolved],
    zone: zoneinfo.ZoneInfo,
    *,
    now: dt.datetime,
) -> tuple[ExperimentLook, Mapping[str, int]]:
    """Return the stored look of the last cut-off, or take and store it; and the clean units per variant by now.

    A fixed-horizon test has one verdict: once a stored look has it, that look stays the last.
    """
    cutoff = last_cutoff(experiment, metrics, zone, now=now)
    with stores.control.reading() as session:
        stored = _stored(session, experiment, cutoff)
    if stored is not None:
        return stored, count_clean(stores.events, experiment.project_id, experiment, until=now)
    exposed = count_exposed(stores.events, experiment.project_id, experiment, until=cutoff, now=now)
    looks = _looks_before(stores, experiment, cutoff)
    result = examine(stores, experiment, metrics, exposed, as_of=cutoff, looks=looks)
    look = ExperimentLook(
        experiment_id=experiment.id or 0, cutoff=cutoff, result=result.model_dump(mode="json"), computed_at=now
    )
    if cutoff == experiment.started_at:
        return look, exposed.by_now  # the grid has not begun: nothing to keep
    return _keep(stores, experiment, look), exposed.by_now


def take_split(
    stores: Stores,
    experiment: Experiment,
    metrics: dict[str, Resolved],
    dimension: str,
    *,
    as_of: dt.datetime,
    now: dt.datetime,
) -> dict[str, Any]:
    """Return the stored split of a look, or compute and store it; like a look it never changes."""
    with stores.control.reading() as session:
        stored = _stored_at(session, experiment, as_of, dimension)
    if stored is not None:
        return stored.result
    answer, check = split_result(stores.events, experiment, metrics, dimension, as_of=as_of)
    [shown] = check_answers([check])
    result = {"dimension": answer.model_dump(mode="json"), "check": shown.model_dump(mode="json")}
    look = ExperimentLook(
        experiment_id=experiment.id or 0, cutoff=as_of, dimension=dimension, result=result, computed_at=now
    )
    if as_of == experiment.started_at:
        return result
    return _keep(stores, experiment, look).result


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
    local = now.astimezone(zone)
    if experiment.look_every == "hour":
        latest = local.replace(minute=0, second=0, microsecond=0)
    else:
        latest = dt.datetime.combine(local.date(), dt.time(), tzinfo=zone)
    return max(latest.astimezone(dt.UTC), started)


def _keep(stores: Stores, experiment: Experiment, look: ExperimentLook) -> ExperimentLook:
    try:
        with stores.control.session() as session:
            session.add(look)
    except IntegrityError:  # somebody else took it meanwhile; theirs is everybody's
        with stores.control.reading() as session:
            return _stored_at(session, experiment, look.cutoff, look.dimension) or look
    return look


def _looks_before(stores: Stores, experiment: Experiment, cutoff: dt.datetime) -> tuple[float, ...]:
    if experiment.method != "group_sequential":
        return ()
    own = _looks_of(experiment, "").where(ExperimentLook.cutoff < cutoff).order_by(col(ExperimentLook.cutoff).desc())
    with stores.control.reading() as session:
        last = session.exec(own).first()
    return tuple(last.result.get("information", ())) if last else ()


def _stored(session: Session, experiment: Experiment, cutoff: dt.datetime) -> ExperimentLook | None:
    if experiment.method in {"fixed", "group_sequential"}:
        for look in session.exec(_looks_of(experiment, "").order_by(col(ExperimentLook.cutoff))):
            if look.cutoff <= cutoff and _is_final(experiment, look.result):
                return look
    return _stored_at(session, experiment, cutoff, "")


def _stored_at(
    session: Session, experiment: Experiment, cutoff: dt.datetime, dimension: str
) -> ExperimentLook | None:
    return session.exec(_looks_of(experiment, dimension).where(ExperimentLook.cutoff == cutoff)).first()


def _looks_of(experiment: Experiment, dimension: str) -> SelectOfScalar[ExperimentLook]:
    return select(ExperimentLook).where(
        ExperimentLook.experiment_id == experiment.id, ExperimentLook.dimension == dimension
    )


def _is_final(experiment: Experiment, result: dict[str, Any]) -> bool:
    """Tell the look that has the verdict: the planned end, or for planned looks the first that shows something."""
    [primary] = [metric for metric in result["metrics"] if metric["role"] == "primary"]
    if experiment.method == "fixed":
        return any(comparison["status"] == "ok" for comparison in primary["comparisons"])
    shown = any(comparison["significant"] for comparison in primary["comparisons"])
    return shown or (bool(result["information"]) and result["information"][-1] >= 1)
