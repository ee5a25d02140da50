"""Experiments as a team manages them: drafted, started, stopped, archived; the design is frozen once one runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from optimizer.errors import ConflictError, InvalidInputError, NotFoundError
from optimizer.experiments.metrics import get_metric
from optimizer.experiments.shapes import ExperimentAnswer, ExperimentPatch, ExperimentRequest, check_variants
from optimizer.storage.tables import Experiment

WORDS = frozenset({"name", "hypothesis"})  # what may change while an experiment runs


def create_experiment(
    session: Session, project_id: int, request: ExperimentRequest, *, now: dt.datetime
) -> Experiment:
    """Make a draft.

    Raises:
        InvalidInputError: A metric is unknown, or the fixed method has no planned size.
        ConflictError: The key is taken.
    """
    row = Experiment(project_id=project_id, key=request.key, primary_metric="", created_at=now)
    _fill(row, request.model_dump(by_alias=True))
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
    given = patch.model_dump(include=patch.model_fields_set, by_alias=True)
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
    shown = {name: getattr(row, name) for name in ExperimentAnswer.model_fields}
    return ExperimentAnswer.model_validate({**shown, "seed": row.seed or row.key})


def _fill(row: Experiment, given: dict[str, Any]) -> None:
    for name, value in given.items():
        if name != "seed" or value is not None:
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
    if row.method == "group_sequential":
        for name in ("planned_visitors", "planned_looks"):
            if getattr(row, name) is None:
                detail = f"The group sequential method needs {name}: its looks are planned before the start."
                raise InvalidInputError.at(f"/{name}", "missing", detail)
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
