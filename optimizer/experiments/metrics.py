"""Metrics: named ways to turn one unit's events into one number."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from optimizer.core.naming import canonical_name
from optimizer.errors import ConflictError, InvalidInputError, NotFoundError
from optimizer.storage.tables import EventDefinition, Experiment, Metric

Kind = Literal["proportion", "count", "sum"]
Text = Annotated[str, Field(max_length=500)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
PropertyName = Annotated[str, Field(min_length=1, max_length=100)]
Properties = Annotated[dict[PropertyName, bool | Number | Text], Field(max_length=20)]


class MetricRequest(BaseModel):
    """What one unit's number is made of."""

    model_config = ConfigDict(extra="forbid")

    type: Kind = Field(description="proportion: did it or not; count: how often; sum: Σ value.")
    event: str = Field(min_length=1, max_length=200, description="The event that counts.")
    where: Properties = Field(default_factory=dict, description="Properties it must carry.")
    window_hours: float | None = Field(
        None,
        gt=0,
        le=8760,
        allow_inf_nan=False,
        description="Counted from the first exposure; a unit enters once its window has elapsed. Null: no window.",
    )
    direction: Literal["increase", "decrease"] = Field("increase", description="Which way is good.")


class MetricAnswer(MetricRequest):
    """One metric."""

    key: str
    updated_at: dt.datetime | None = Field(description="Null for an event's ready-made metric.")


def put_metric(session: Session, project_id: int, key: str, request: MetricRequest, *, now: dt.datetime) -> Metric:
    """Create or replace a metric.

    Raises:
        InvalidInputError: The event's name holds no letter or digit.
        ConflictError: An experiment that has started uses it.
    """
    users = [row.key for row in _started(session, project_id) if key in metric_keys(row)]
    if users:
        raise ConflictError(
            f"Frozen: used by the experiment {users[0]}, which has started. Make a metric of another key."
        )
    event = canonical_name(request.event)
    if not event:
        raise InvalidInputError.at("/event", "empty_name", "The event's name must contain a letter or a digit.")
    row = _stored(session, project_id, key) or Metric(project_id=project_id, key=key, type="", event="")
    row.type, row.event, row.where = request.type, event, dict(request.where)
    row.window_hours, row.direction, row.updated_at = request.window_hours, request.direction, now
    session.add(row)
    session.flush()
    return row


def list_metrics(session: Session, project_id: int) -> list[Metric]:
    """Read a project's own metrics by key (an event's ready-made metric is not listed)."""
    return list(session.exec(select(Metric).where(Metric.project_id == project_id).order_by(Metric.key)))


def get_metric(session: Session, project_id: int, key: str) -> Metric:
    """Read a metric, or the ready-made proportion of an event of that name.

    Raises:
        NotFoundError: Neither is known.
    """
    stored = _stored(session, project_id, key)
    if stored is not None:
        return stored
    name = canonical_name(key)
    definition = select(EventDefinition).where(EventDefinition.project_id == project_id, EventDefinition.name == name)
    if session.exec(definition).first() is None:
        raise NotFoundError(
            "This is neither a metric nor a known event. PUT /v1/metrics/{key} makes a metric, "
            "PUT /v1/catalog/events/{name} an event."
        )
    return Metric(project_id=project_id, key=key, type="proportion", event=name)


def answer(row: Metric) -> MetricAnswer:
    """Show a metric."""
    fields = {name: getattr(row, name) for name in MetricAnswer.model_fields}
    return MetricAnswer(**{**fields, "updated_at": row.updated_at if row.id else None})


def metric_keys(experiment: Experiment) -> list[str]:
    """Return every metric that an experiment names, the primary one first."""
    goal = [experiment.goal_metric] if experiment.goal_metric else []
    rails = [rail["metric"] for rail in experiment.guardrail_metrics]
    return [experiment.primary_metric, *goal, *experiment.secondary_metrics, *rails]


def _started(session: Session, project_id: int) -> list[Experiment]:
    frozen = col(Experiment.status).in_(["running", "stopped"])
    return list(session.exec(select(Experiment).where(Experiment.project_id == project_id, frozen)))


def _stored(session: Session, project_id: int, key: str) -> Metric | None:
    return session.exec(select(Metric).where(Metric.project_id == project_id, Metric.key == key)).first()
