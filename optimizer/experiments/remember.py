"""Finished experiments of this service enter the history of past experiments by themselves.

An experiment is remembered once every unit's window and the time that events may be late have passed: as sums over
units on all its metrics and on the catalogued events, so that it also teaches of proxies that nobody thought of then.
Whose data cannot be trusted is kept beside and counts for nothing.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import structlog
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from optimizer.core.proxies.corpus import ArmSums, check_arm
from optimizer.core.stats.cross import CrossMoments
from optimizer.errors import OptimizerError
from optimizer.experiments.cohort import count_exposed
from optimizer.experiments.columns import plan_groups
from optimizer.experiments.finished import LATENESS
from optimizer.experiments.metrics import Resolved, metric_keys, resolve_metrics
from optimizer.experiments.results import read_result
from optimizer.experiments.scan import sum_together
from optimizer.experiments.verdicts import record_verdict
from optimizer.signals.history import OWN
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition, Experiment, PastExperiment

MOST_METRICS = 30  # the products of all pairs are summed: 465 of them
log = structlog.get_logger(__name__)


def remember_finished(stores: Stores, *, now: dt.datetime, stopping: threading.Event | None = None) -> dict[str, Any]:
    """Let every experiment that has ended and matured enter the history.

    Returns:
        How many entered, were kept beside, and wait for windows to elapse; ids of those that failed.
    """
    done: dict[str, Any] = {"entered": 0, "left_out": 0, "waiting": 0, "failed": []}
    for experiment in _ended(stores):
        if stopping is not None and stopping.is_set():
            break
        try:
            done[remember(stores, experiment, now=now)] += 1
        except OptimizerError as error:
            done["failed"].append(experiment.id)
            log.warning("not_remembered", experiment_id=experiment.id, kind=type(error).__name__)
    return done


def remember(stores: Stores, experiment: Experiment, *, now: dt.datetime) -> str:
    """Let one experiment enter, with the verdict on its proxy.

    Returns:
        `entered`, `left_out` or `waiting`.
    """
    with stores.control.reading() as session:
        own = resolve_metrics(session, experiment.project_id, metric_keys(experiment))
        metrics = {**own, **_catalogued(session, experiment, own)}
    if experiment.stopped_at is None or matured_at(experiment, metrics) > now:
        return "waiting"
    usable = {key: found for key, found in metrics.items() if found.metric.type not in {"ratio", "quantile"}}
    usable = dict(list(usable.items())[:MOST_METRICS])
    row, why = _sums(stores, experiment, usable, now=now)
    past = PastExperiment(
        project_id=experiment.project_id,
        key=experiment.key,
        source=OWN,
        name=experiment.name,
        started_at=experiment.started_at,
        stopped_at=experiment.stopped_at,
        stopping_metric=experiment.primary_metric,
        stopping_method=experiment.method,
        alpha=experiment.alpha,
        planned_visitors=experiment.planned_visitors,
        stopped_early=_stopped_early(experiment, row),
        metrics=list(row.columns) if row is not None else [],
        arms=_arms(row) if row is not None else [],
        left_out=why,
        entered_at=now,
    )
    try:
        with stores.control.session() as session:
            _make_room(session, experiment)
            if not why:  # before it is in, so that it is not judged by itself
                record_verdict(session, experiment, past, now=now)
            session.add(past)
    except IntegrityError:  # another process let it enter meanwhile
        return "entered"
    return "left_out" if why else "entered"


def _make_room(session: Session, experiment: Experiment) -> None:
    """Take out what was imported under the key before the experiment was drafted: what was measured here counts."""
    imported = select(PastExperiment).where(
        PastExperiment.project_id == experiment.project_id,
        PastExperiment.key == experiment.key,
        PastExperiment.source != OWN,
    )
    for row in session.exec(imported):
        session.delete(row)
    session.flush()


def matured_at(experiment: Experiment, metrics: Mapping[str, Resolved]) -> dt.datetime:
    """Return when the last unit's longest window and the time that events may be late have passed."""
    longest = max((found.metric.window_hours or 0.0 for found in metrics.values()), default=0.0)
    return (experiment.stopped_at or dt.datetime.max.replace(tzinfo=dt.UTC)) + dt.timedelta(hours=longest) + LATENESS


def _ended(stores: Stores) -> list[Experiment]:
    known = select(PastExperiment.key).where(
        PastExperiment.project_id == Experiment.project_id, PastExperiment.source == OWN
    )
    with stores.control.reading() as session:
        ended = select(Experiment).where(
            col(Experiment.stopped_at).is_not(None), col(Experiment.key).not_in(known.correlate(Experiment))
        )
        return list(session.exec(ended.order_by(col(Experiment.stopped_at))))


def _catalogued(session: Session, experiment: Experiment, own: Mapping[str, Resolved]) -> dict[str, Resolved]:
    names = session.exec(
        select(EventDefinition.name)
        .where(EventDefinition.project_id == experiment.project_id, EventDefinition.status == "active")
        .order_by(EventDefinition.name)
    )
    room = max(0, MOST_METRICS - len(own))
    return resolve_metrics(session, experiment.project_id, [name for name in names if name not in own][:room])


def _sums(
    stores: Stores, experiment: Experiment, metrics: Mapping[str, Resolved], *, now: dt.datetime
) -> tuple[CrossMoments | None, str]:
    """Return the sums, and why they count for nothing (empty when they count)."""
    exposed = count_exposed(stores.events, experiment.project_id, experiment, until=now)
    if not exposed.days:
        return None, "No exposures are known, or only daily totals: they do not say how metrics go together."
    if not metrics:
        return None, "Only ratios or quantiles were measured; the history takes proportions, counts and sums."
    groups = plan_groups(metrics, 0, None)
    row = sum_together(stores.events, experiment.project_id, experiment, groups, as_of=now)
    row = _with_units(row.select(list(metrics)))
    row = row.select([key for place, key in enumerate(row.columns) if not np.isnan(row.totals[:, place]).any()])
    impossible = [why for arm in _core_arms(row) if (why := check_arm(arm))]
    if len(row.arms) < 2 or row.arms[0] != experiment.variants[0]["key"]:  # noqa: PLR2004 - a comparison takes two
        return None, "The control or every other variant has fewer than two units whose windows have elapsed."
    if impossible:
        return None, impossible[0]
    checks = read_result(stores, experiment.project_id, experiment.key, now=now).checks
    broken = [check.detail for check in checks if check.holds_back and not check.passed]
    return row, f"Its data cannot be trusted: {broken[0]}"[:500] if broken else ""


def _stopped_early(experiment: Experiment, row: CrossMoments | None) -> bool | None:
    if experiment.planned_visitors is None or row is None:
        return None
    return bool(row.n.sum() < experiment.planned_visitors)


def _with_units(row: CrossMoments) -> CrossMoments:
    """Leave out variants that nobody, or one unit, was in: a switched-off variant is no reason to lose the others."""
    kept = [place for place, n in enumerate(row.n.tolist()) if n >= 2]  # noqa: PLR2004 - a variance needs two
    arms = tuple(row.arms[place] for place in kept)
    return CrossMoments(arms, row.columns, row.n[kept], row.totals[kept], row.products[kept])


def _core_arms(row: CrossMoments) -> list[ArmSums]:
    return [ArmSums(round(n), row.totals[place], row.products[place]) for place, n in enumerate(row.n.tolist())]


def _arms(row: CrossMoments) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "n": round(float(row.n[place])),
            "sums": row.totals[place].tolist(),
            "cross_products": np.asarray(row.products[place]).tolist(),
        }
        for place, key in enumerate(row.arms)
    ]
