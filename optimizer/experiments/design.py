"""Experiments as a team manages them: drafted, started, stopped, archived; the design is frozen once one runs."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from optimizer.errors import ConflictError, InvalidInputError, NotFoundError
from optimizer.experiments.metrics import get_metric
from optimizer.storage.tables import Experiment

Key = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s/]+$")]
MetricKey = Annotated[str, Field(min_length=1, max_length=200)]
WORDS = frozenset({"name", "hypothesis"})  # what may change while an experiment runs


class VariantRequest(BaseModel):
    """One variant."""

    model_config = ConfigDict(extra="forbid")

    key: Key
    weight: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = Field(1, description="Share, in any scale.")
    value: Any = Field(None, description="What the variant's users get; null means the key.")


class GuardrailRequest(BaseModel):
    """A metric that must not get worse by more than a margin."""

    model_config = ConfigDict(extra="forbid")

    metric: MetricKey
    margin_relative: float = Field(
        0.02, ge=0, lt=1, allow_inf_nan=False, description="Acceptable loss, as a share of the control's mean."
    )


class ExperimentPatch(BaseModel):
    """What may be changed: everything in a draft, only name and hypothesis later."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=200, description="Shown to people.")
    hypothesis: str = Field("", max_length=5_000, description="What is expected and why.")
    unit: Literal["user", "anonymous"] = Field(
        "user", description="user: a user if known, else an anonymous visitor; anonymous: always the visitor."
    )
    variants: list[VariantRequest] = Field([], max_length=50, description="The first one is the control.")
    primary_metric: MetricKey = Field("", description="What decides; often a proxy. A metric or an event's name.")
    goal_metric: MetricKey | None = Field(None, description="The macro conversion behind it.")
    secondary_metrics: list[MetricKey] = Field([], max_length=50)
    guardrail_metrics: list[GuardrailRequest] = Field([], max_length=50)
    method: Literal["sequential", "fixed"] = Field(
        "sequential", description="sequential may be read at any time; fixed has one verdict, at planned_visitors."
    )
    alpha: float = Field(0.05, gt=0, lt=1, allow_inf_nan=False, description="Two-sided error rate.")
    power: float = Field(0.8, gt=0, lt=1, allow_inf_nan=False)
    relative_mde: float | None = Field(None, gt=0, le=100, allow_inf_nan=False, description="From the plan.")
    planned_visitors: int | None = Field(None, gt=0, le=2**53, description="Total over all variants, from the plan.")


class ExperimentRequest(ExperimentPatch):
    """A new experiment."""

    key: Key = Field(description="Stable identifier; exposures name it.")
    variants: list[VariantRequest] = Field(min_length=2, max_length=50, description="The first one is the control.")
    primary_metric: MetricKey = Field(description="What decides; often a proxy. A metric or an event's name.")

    @model_validator(mode="after")
    def some_weight(self) -> Self:
        """Refuse a split that nobody falls into."""
        check_variants(self.variants)
        return self


class ExperimentAnswer(ExperimentPatch):
    """One experiment."""

    key: str
    status: Literal["draft", "running", "stopped", "archived"]
    created_at: dt.datetime
    started_at: dt.datetime | None
    stopped_at: dt.datetime | None
    archived_at: dt.datetime | None


def check_variants(variants: list[VariantRequest]) -> None:
    """Raise ValueError for variants that no test can be made of."""
    keys = [variant.key for variant in variants]
    if len(keys) < 2:  # noqa: PLR2004 - a test compares
        raise ValueError("a test needs two variants or more")
    if len(set(keys)) != len(keys):
        raise ValueError("variants must have different keys")
    if sum(variant.weight for variant in variants) <= 0:
        raise ValueError("at least one variant must have a weight above 0")


def create_experiment(
    session: Session, project_id: int, request: ExperimentRequest, *, now: dt.datetime
) -> Experiment:
    """Make a draft.

    Raises:
        InvalidInputError: A metric is unknown, or the fixed method has no planned size.
        ConflictError: The key is taken.
    """
    row = Experiment(project_id=project_id, key=request.key, primary_metric="", created_at=now)
    _fill(row, request.model_dump())
    _check(session, row)
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise ConflictError("An experiment with this key exists already; nothing was changed.") from None
    return row


def get_experiment(session: Session, project_id: int, key: str) -> Experiment:
    """Read one experiment.

    Raises:
        NotFoundError: The project has none with this key.
    """
    own = select(Experiment).where(Experiment.project_id == project_id, Experiment.key == key)
    row = session.exec(own).first()
    if row is None:
        raise NotFoundError("This project has no experiment with that key. GET /v1/experiments lists them.")
    return row


def list_experiments(session: Session, project_id: int, *, after: int = 0, limit: int = 100) -> list[Experiment]:
    """Read experiments in the order they were made."""
    own = select(Experiment).where(Experiment.project_id == project_id, Experiment.id > after)  # type: ignore[operator]
    return list(session.exec(own.order_by(Experiment.id).limit(limit)))  # type: ignore[arg-type]


def patch_experiment(session: Session, project_id: int, key: str, patch: ExperimentPatch) -> Experiment:
    """Change what was given.

    Raises:
        ConflictError: The design is frozen because the experiment has started.
        InvalidInputError: As in `create_experiment`.
    """
    row = get_experiment(session, project_id, key)
    given = patch.model_dump(include=patch.model_fields_set)
    frozen = sorted(given.keys() - WORDS)
    if row.status != "draft" and frozen:
        names = ", ".join(frozen)
        raise ConflictError(
            f"Frozen since the experiment started: {names}. Changing it would make its error rate void."
        )
    if "variants" in given:
        try:
            check_variants(patch.variants)
        except ValueError as error:
            raise InvalidInputError.at("/variants", "invalid", f"{error}.") from None
    _fill(row, given)
    _check(session, row)
    session.add(row)
    session.flush()
    return row


def start(session: Session, project_id: int, key: str, at: dt.datetime | None, *, now: dt.datetime) -> Experiment:
    """Start a draft, now or at a time in the past (so that history can be loaded).

    Raises:
        ConflictError: It has started before.
        InvalidInputError: The time lies ahead.
    """
    row = get_experiment(session, project_id, key)
    if row.status != "draft":
        raise ConflictError(f"This experiment is {row.status}; only a draft can be started.")
    row.status, row.started_at = "running", _moment(at, now)
    session.add(row)
    return row


def stop(session: Session, project_id: int, key: str, at: dt.datetime | None, *, now: dt.datetime) -> Experiment:
    """Stop a running experiment; exposures after it do not count.

    Raises:
        ConflictError: It is not running.
        InvalidInputError: The time lies ahead, or before the start.
    """
    row = get_experiment(session, project_id, key)
    if row.status != "running" or row.started_at is None:
        raise ConflictError(f"This experiment is {row.status}; only a running one can be stopped.")
    moment = _moment(at, now)
    if moment <= row.started_at:
        raise InvalidInputError.at("/at", "before_start", "The experiment must stop after it started.")
    row.status, row.stopped_at = "stopped", moment
    session.add(row)
    return row


def archive(session: Session, project_id: int, key: str, at: dt.datetime | None, *, now: dt.datetime) -> Experiment:
    """Put a draft or a stopped experiment away; it stays readable.

    Raises:
        ConflictError: It is running, or archived already.
        InvalidInputError: The time lies ahead.
    """
    row = get_experiment(session, project_id, key)
    if row.status not in {"draft", "stopped"}:
        raise ConflictError(f"This experiment is {row.status}; only a draft or a stopped one can be archived.")
    row.status, row.archived_at = "archived", _moment(at, now)
    session.add(row)
    return row


def answer(row: Experiment) -> ExperimentAnswer:
    """Show an experiment."""
    return ExperimentAnswer.model_validate({name: getattr(row, name) for name in ExperimentAnswer.model_fields})


def _fill(row: Experiment, given: dict[str, Any]) -> None:
    for name, value in given.items():
        setattr(row, name, value)
    if "variants" in given:
        row.variants = [
            {**variant, "value": variant["key"] if variant["value"] is None else variant["value"]}
            for variant in given["variants"]
        ]


def _check(session: Session, row: Experiment) -> None:
    if row.method == "fixed" and row.planned_visitors is None:
        detail = "The fixed method needs planned_visitors: its only verdict is at the end. POST /v1/plans gives it."
        raise InvalidInputError.at("/planned_visitors", "missing", detail)
    named = {
        "/primary_metric": row.primary_metric,
        **({"/goal_metric": row.goal_metric} if row.goal_metric is not None else {}),
        **{f"/secondary_metrics/{place}": key for place, key in enumerate(row.secondary_metrics)},
        **{f"/guardrail_metrics/{place}/metric": rail["metric"] for place, rail in enumerate(row.guardrail_metrics)},
    }
    for pointer, key in named.items():
        try:
            get_metric(session, row.project_id, key)
        except NotFoundError as error:
            raise InvalidInputError.at(pointer, "unknown_metric", error.detail) from None


def _moment(at: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    if at is not None and at > now:
        raise InvalidInputError.at("/at", "in_the_future", "`at` must not lie ahead.")
    return at or now
