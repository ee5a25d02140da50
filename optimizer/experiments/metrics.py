"""Metrics: named ways to turn one unit's events into one number."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from optimizer.core.naming import canonical_name
from optimizer.errors import ConflictError, InvalidInputError, NotFoundError
from optimizer.storage.tables import EventDefinition, Experiment, Metric, Project

Kind = Literal["proportion", "count", "sum", "ratio", "quantile"]
VALUE = "value"  # what a quantile is of where no property is named: the event's own
Text = Annotated[str, Field(max_length=500)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
MetricKey = Annotated[str, Field(min_length=1, max_length=200)]
PropertyName = Annotated[str, Field(min_length=1, max_length=100)]
Properties = Annotated[dict[PropertyName, bool | Number | Text], Field(max_length=20)]


class CapRequest(BaseModel):
    """Where a unit's number is cut off, so that a few extreme units do not drown the others. Give one of the two."""

    model_config = ConfigDict(extra="forbid")

    value: float | None = Field(None, gt=0, le=1e15, allow_inf_nan=False, description="At this number.")
    percentile: float | None = Field(
        None, gt=0, lt=1, allow_inf_nan=False, description="At this share of all units of all variants together."
    )


class MetricRequest(BaseModel):
    """What one unit's number is made of."""

    model_config = ConfigDict(extra="forbid")

    type: Kind = Field(
        description="proportion: did it or not; count: how often; sum: Σ value; ratio: Σ over all units of `event`, "
        "divided by Σ over all units of `denominator`; quantile: of the numbers that the occurrences carry."
    )
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
    cap: CapRequest | None = Field(None, description="For count, sum and a ratio's numerator.")
    numerator: Literal["count", "sum"] | None = Field(
        None, description="For ratio: what of `event` is added up; null is count."
    )
    denominator: MetricKey | None = Field(
        None,
        description="For ratio: another metric's key (of type proportion, count or sum), or an event's name: how "
        "often it happened.",
    )
    quantile: float | None = Field(
        None, gt=0, lt=1, allow_inf_nan=False, description="For quantile: which one; 0.5 is the median."
    )
    of: PropertyName | None = Field(
        None,
        description="For quantile: `value` (the event's own, default) or the name of a property that is a number.",
    )


class MetricAnswer(MetricRequest):
    """One metric."""

    key: str
    updated_at: dt.datetime | None = Field(description="Null for an event's ready-made metric.")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A metric with what its denominator stands for.

    Attributes:
        metric: The metric.
        denominator: Of a ratio: a metric of type proportion, count or sum; else None.
    """

    metric: Metric
    denominator: Metric | None = None


def put_metric(session: Session, project_id: int, key: str, request: MetricRequest, *, now: dt.datetime) -> Metric:
    """Create or replace a metric.

    Raises:
        InvalidInputError: Nobody ever sent the event, the window is longer than events are kept, a field belongs to
            another type, or a ratio has no denominator that could divide.
        ConflictError: An experiment that has started uses it.
    """
    frozen = [row.key for row in _started(session, project_id) if key in _names_behind(session, row)]
    if frozen:
        raise ConflictError(
            f"Frozen: used by the experiment {frozen[0]}, which has started. Make a metric of another key."
        )
    _check(session, project_id, key, request)
    row = _stored(session, project_id, key) or Metric(project_id=project_id, key=key, type="", event="")
    row.type, row.event, row.where = request.type, canonical_name(request.event), dict(request.where)
    row.window_hours, row.direction, row.updated_at = request.window_hours, request.direction, now
    row.cap = request.cap.model_dump(exclude_none=True) if request.cap else None
    row.denominator = request.denominator
    row.numerator = (request.numerator or "count") if request.type == "ratio" else None
    row.quantile = request.quantile
    row.of = (request.of or VALUE) if request.type == "quantile" else None
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


def resolve_metric(session: Session, project_id: int, key: str) -> Resolved:
    """Read a metric with its denominator.

    Raises:
        NotFoundError: It, or what it is divided by, is unknown.
    """
    metric = get_metric(session, project_id, key)
    return Resolved(metric, _denominator(session, project_id, metric.denominator) if metric.denominator else None)


def resolve_metrics(session: Session, project_id: int, keys: Iterable[str]) -> dict[str, Resolved]:
    """Read several metrics with their denominators, by key.

    Raises:
        NotFoundError: One is unknown.
    """
    return {key: resolve_metric(session, project_id, key) for key in dict.fromkeys(keys)}


def answer(row: Metric) -> MetricAnswer:
    """Show a metric."""
    fields = {name: getattr(row, name) for name in MetricAnswer.model_fields}
    return MetricAnswer(**{**fields, "updated_at": row.updated_at if row.id else None})


def metric_keys(experiment: Experiment) -> list[str]:
    """Return every metric that an experiment names, the primary one first."""
    goal = [experiment.goal_metric] if experiment.goal_metric else []
    rails = [rail["metric"] for rail in experiment.guardrail_metrics]
    return [experiment.primary_metric, *goal, *experiment.secondary_metrics, *rails]


def _check(session: Session, project_id: int, key: str, request: MetricRequest) -> None:
    event = canonical_name(request.event)
    if not event:
        raise InvalidInputError.at("/event", "empty_name", "The event's name must contain a letter or a digit.")
    known = session.exec(select(EventDefinition.name).where(EventDefinition.project_id == project_id)).all()
    if event not in known:
        near = difflib.get_close_matches(event, known, n=3)
        hint = f"Near: {', '.join(near)}." if near else "GET /v1/catalog lists those that are known."
        raise InvalidInputError.at(
            "/event",
            "unknown_event",
            f"No such event was ever sent or catalogued, so the metric would stay 0. {hint}",
        )
    kept = session.get_one(Project, project_id).retention_days
    if kept is not None and request.window_hours is not None and request.window_hours > kept * 24:
        detail = f"The window is longer than events are kept ({kept} days = {kept * 24} hours)."
        raise InvalidInputError.at("/window_hours", "beyond_retention", detail)
    if request.cap is not None:
        _check_cap(request)
    _check_ratio(session, project_id, key, request)
    _check_quantile(request)


def _check_cap(request: MetricRequest) -> None:
    if request.type == "proportion":
        raise InvalidInputError.at(
            "/cap", "not_for_proportions", "A proportion is 0 or 1; only counts and sums need a cap."
        )
    if request.type == "quantile":
        detail = "A quantile needs no cap: how far out the largest numbers lie does not move it."
        raise InvalidInputError.at("/cap", "not_for_quantiles", detail)
    if request.cap is not None and (request.cap.value is None) == (request.cap.percentile is None):
        raise InvalidInputError.at("/cap", "one_of", "Give either value or percentile.")


def _check_ratio(session: Session, project_id: int, key: str, request: MetricRequest) -> None:
    if request.type != "ratio":
        for name in ("numerator", "denominator"):
            if getattr(request, name) is not None:
                raise InvalidInputError.at(f"/{name}", "only_for_ratios", f"Only a ratio has a {name}.")
        return
    if request.denominator is None:
        detail = "A ratio needs a denominator: a metric's key, or an event's name to count."
        raise InvalidInputError.at("/denominator", "missing", detail)
    if request.denominator == key:
        raise InvalidInputError.at("/denominator", "itself", "A ratio cannot be divided by itself.")
    try:
        below = _denominator(session, project_id, request.denominator)
    except NotFoundError as error:
        raise InvalidInputError.at("/denominator", "unknown_metric", error.detail) from None
    if below.type in {"ratio", "quantile"}:
        detail = f"The denominator must be of type proportion, count or sum, not itself a {below.type}."
        raise InvalidInputError.at("/denominator", "ratio_of_ratio", detail)


def _check_quantile(request: MetricRequest) -> None:
    if request.type == "quantile":
        if request.quantile is None:
            detail = "A quantile needs `quantile`, between 0 and 1: 0.5 is the median."
            raise InvalidInputError.at("/quantile", "missing", detail)
        return
    for name in ("quantile", "of"):
        if getattr(request, name) is not None:
            detail = f"Only a metric of type quantile has a `{name}`."
            raise InvalidInputError.at(f"/{name}", "only_for_quantiles", detail)


def _denominator(session: Session, project_id: int, key: str) -> Metric:
    found = get_metric(session, project_id, key)
    # An event's ready-made metric says whether; what is divided by is how often.
    return found if found.id else Metric(project_id=project_id, key=key, type="count", event=found.event)


def _names_behind(session: Session, experiment: Experiment) -> set[str]:
    named = set(metric_keys(experiment))
    own = select(Metric.denominator).where(Metric.project_id == experiment.project_id, col(Metric.key).in_(named))
    return named | {name for name in session.exec(own) if name}


def _started(session: Session, project_id: int) -> list[Experiment]:
    frozen = col(Experiment.status).in_(["running", "stopped"])
    return list(session.exec(select(Experiment).where(Experiment.project_id == project_id, frozen)))


def _stored(session: Session, project_id: int, key: str) -> Metric | None:
    return session.exec(select(Metric).where(Metric.project_id == project_id, Metric.key == key)).first()
