"""An experiment's design: what a draft says, what may still change once it runs, and what never fits.

`lifecycle.py` moves experiments on; here is what they are.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from optimizer.core import targeting
from optimizer.errors import ConflictError, InvalidInputError, NotFoundError
from optimizer.experiments.metrics import get_metric
from optimizer.experiments.shapes import ExperimentAnswer, ExperimentPatch, ExperimentRequest, check_variants
from optimizer.storage.tables import Experiment

WORDS = frozenset({"name", "hypothesis"})  # may change at any time
WHILE_RUNNING = frozenset({"allocation", "scheduled_stop_at"})
RESERVED_KEYS = frozenset({"history"})  # a route of its own


def create_experiment(
    session: Session, project_id: int, request: ExperimentRequest, *, now: dt.datetime
) -> Experiment:
    """Make a draft.

    Raises:
        InvalidInputError: The key is reserved, a metric is unknown, a rule or a schedule does not fit, or the method
            lacks its planned size.
        ConflictError: The key is taken.
    """
    if request.key in RESERVED_KEYS:
        detail = f"`{request.key}` is the name of a route below /v1/experiments/. Take another key."
        raise InvalidInputError.at("/key", "reserved", detail)
    row = Experiment(project_id=project_id, key=request.key, primary_metric="", created_at=now)
    _fill(row, request.model_dump(by_alias=True))
    _check(session, row)
    _check_schedule(row, {"scheduled_start_at", "scheduled_stop_at"}, now)
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


def patch_experiment(
    session: Session, project_id: int, key: str, patch: ExperimentPatch, *, now: dt.datetime
) -> tuple[Experiment, list[str]]:
    """Change what was given; returns the experiment and what was changed.

    Raises:
        ConflictError: The design is frozen because the experiment has started, or its allocation would shrink.
        InvalidInputError: As in `create_experiment`.
    """
    row = get_experiment(session, project_id, key)
    given = patch.model_dump(include=patch.model_fields_set, by_alias=True)
    _refuse_frozen(row, given)
    if "variants" in given:
        try:
            check_variants(patch.variants)
        except ValueError as error:
            raise InvalidInputError.at("/variants", "invalid", f"{error}.") from None
    _fill(row, given)
    _check(session, row)
    _check_schedule(row, set(given), now)
    session.add(row)
    session.flush()
    return row, sorted(given)


def _refuse_frozen(row: Experiment, given: dict[str, Any]) -> None:
    if row.status == "draft":
        return
    free = WORDS | WHILE_RUNNING if row.status == "running" else WORDS
    frozen = sorted(given.keys() - free)
    if frozen:
        names = ", ".join(frozen)
        raise ConflictError(
            f"Frozen since the experiment started: {names}. Changing it would make its error rate void. "
            f"Still free: {', '.join(sorted(free))}."
        )
    if given.get("allocation", row.allocation) < row.allocation:
        raise ConflictError(
            f"The allocation of a running experiment may only grow, and is {row.allocation:g}: those whom it would "
            "let go have seen their variant."
        )


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
    targeting.parse(row.targeting)
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


def _check_schedule(row: Experiment, given: set[str], now: dt.datetime) -> None:
    for name in ("scheduled_start_at", "scheduled_stop_at"):
        moment = getattr(row, name)
        if name in given and moment is not None and moment <= now:
            verb = name.split("_")[1]
            detail = f"`{name}` must lie ahead. POST …/{verb} takes effect now, or at a time in the past."
            raise InvalidInputError.at(f"/{name}", "in_the_past", detail)
    begins = row.started_at or row.scheduled_start_at
    if begins is not None and row.scheduled_stop_at is not None and row.scheduled_stop_at <= begins:
        raise InvalidInputError.at("/scheduled_stop_at", "before_start", "It must stop after it starts.")
