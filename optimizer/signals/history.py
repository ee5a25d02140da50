"""Past experiments: what came by import and what this service ran itself, as sums that every proxy is judged by.

Import is idempotent by key, and each item is judged by itself, so that a long list can be sent again until all of it
is in. An experiment of this service enters by itself (`experiments/remember.py`); nobody can write over it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session, col, select

from optimizer.core.proxies.corpus import Corpus, corpus_of_arms
from optimizer.errors import NotFoundError
from optimizer.signals.history_shapes import (
    HistoryVerdict,
    PastExperimentAnswer,
    PastExperimentRequest,
    PastVariant,
    RejectedExperiment,
    Stopping,
    inconsistency,
)
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import Experiment, PastExperiment, Project

IMPORTED, OWN = "import", "service"
ROUNDING = 1e-12  # of a variance, relative to the mean square


def import_history(
    control: ControlStore, project_id: int, items: Sequence[Any], *, now: dt.datetime
) -> HistoryVerdict:
    """Store finished experiments; what is wrong is rejected item by item.

    Args:
        control: The control plane.
        project_id: The project.
        items: What was sent, unvalidated.
        now: When.
    """
    judged = [_judge(index, item) for index, item in enumerate(items)]
    counts = {"accepted": 0, "replaced": 0, "unchanged": 0}
    rejected = [one for one in judged if isinstance(one, RejectedExperiment)]
    with control.session() as session:
        # One writer a project: two imports of one new key must not meet.
        session.exec(select(Project.id).where(Project.id == project_id).with_for_update()).one()
        known = _by_key(session, project_id)
        own = set(session.exec(select(Experiment.key).where(Experiment.project_id == project_id)))
        seen: set[str] = set()
        for index, past in enumerate(judged):
            if isinstance(past, RejectedExperiment):
                continue
            if past.key in own or (past.key in known and known[past.key].source == OWN):
                detail = "An experiment of this service has this key: it enters history by itself when it has ended."
                rejected.append(_rejected(index, "/key", "own_experiment", detail))
            elif past.key in seen:
                rejected.append(_rejected(index, "/key", "duplicate_key", "An earlier item has the same key."))
            else:
                seen.add(past.key)
                counts[_store(session, project_id, known.get(past.key), past, now)] += 1
    return HistoryVerdict(**counts, rejected=sorted(rejected, key=lambda one: one.index))


def list_history(session: Session, project_id: int, *, after: int = 0, limit: int = 100) -> list[PastExperiment]:
    """Read the history in the order it entered."""
    own = _present(project_id).where(col(PastExperiment.id) > after)
    return list(session.exec(own.order_by(col(PastExperiment.id)).limit(limit)))


def label_past(session: Session, project_id: int, key: str, change: str) -> PastExperiment:
    """Say which type of change an experiment tried.

    Raises:
        NotFoundError: The history has none with this key.
    """
    row = _one(session, project_id, key)
    row.change = change
    session.add(row)
    return row


def delete_past(session: Session, project_id: int, key: str, *, now: dt.datetime) -> None:
    """Take an experiment out; one of this service stays out for good.

    Raises:
        NotFoundError: The history has none with this key.
    """
    row = _one(session, project_id, key)
    if row.source == IMPORTED:
        session.delete(row)
    else:
        row.removed_at = now
        session.add(row)


def answer(row: PastExperiment) -> PastExperimentAnswer:
    """Show one experiment of the history."""
    fields = {name: getattr(row, name) for name in ("key", "name", "change", "started_at", "stopped_at", "metrics")}
    return PastExperimentAnswer(
        **fields,
        stopping=Stopping(
            metric=row.stopping_metric,
            method=row.stopping_method,
            alpha=row.alpha,
            planned_visitors=row.planned_visitors,
            stopped_early=row.stopped_early,
        ),
        variants=[PastVariant.model_validate(arm) for arm in row.arms],
        source=row.source,
        left_out=row.left_out,
        entered_at=row.entered_at,
    )


@dataclass(frozen=True, slots=True)
class History:
    """The experiments that count.

    Attributes:
        experiments: Oldest entry first.
    """

    experiments: tuple[PastExperiment, ...]

    def measuring(self, *metrics: str) -> History:
        """Return those that measured all of some metrics.

        One in which a metric is the same for everybody (an event that nobody sent then) says nothing of it: it counts
        only where there is no other.
        """
        named = [one for one in self.experiments if set(metrics) <= set(one.metrics)]
        return History(tuple([one for one in named if all(_varies(one, metric) for metric in metrics)] or named))

    def metrics(self) -> list[str]:
        """Return every metric that some experiment measured, by name."""
        return sorted({metric for one in self.experiments for metric in one.metrics})

    def corpus(self, *metrics: str) -> Corpus | None:
        """Return the comparisons of those that measured all of some metrics; None when there are none."""
        usable = self.measuring(*metrics).experiments
        if not usable:
            return None
        return corpus_of_arms([[_arm(one, arm, metrics) for arm in one.arms] for one in usable])


def read_history(session: Session, project_id: int, *, without: str | None = None) -> History:
    """Read the experiments that count.

    Args:
        session: An open session.
        project_id: The project.
        without: Key of a test to leave out: nothing may be judged by itself.
    """
    rows = session.exec(_present(project_id).where(PastExperiment.left_out == "").order_by(col(PastExperiment.id)))
    return History(tuple(row for row in rows if row.key != without))


def _varies(past: PastExperiment, metric: str) -> bool:
    """Whether every comparison with the control has some noise on a metric."""
    place = past.metrics.index(metric)

    def spread(arm: dict[str, Any]) -> bool:
        squares = arm["n"] * arm["cross_products"][place][place]
        return bool(squares - arm["sums"][place] ** 2 > ROUNDING * squares)

    control, *others = past.arms
    return spread(control) or all(map(spread, others))


def _arm(past: PastExperiment, arm: dict[str, Any], metrics: Sequence[str]) -> Any:  # noqa: ANN401 - see `as_arm`
    places = [past.metrics.index(metric) for metric in metrics]
    whole = PastVariant.model_construct(**arm).as_arm()
    return whole._replace(sums=whole.sums[places], products=whole.products[places][:, places])


def _present(project_id: int) -> Any:  # noqa: ANN401 - SQLModel's own statement type
    return select(PastExperiment).where(
        PastExperiment.project_id == project_id, col(PastExperiment.removed_at).is_(None)
    )


def _one(session: Session, project_id: int, key: str) -> PastExperiment:
    row: PastExperiment | None = session.exec(_present(project_id).where(PastExperiment.key == key)).first()
    if row is None:
        raise NotFoundError("The history has no experiment with that key. GET /v1/experiments/history lists them.")
    return row


def _by_key(session: Session, project_id: int) -> dict[str, PastExperiment]:
    rows = session.exec(select(PastExperiment).where(PastExperiment.project_id == project_id))
    return {row.key: row for row in rows}


def _judge(index: int, item: object) -> PastExperimentRequest | RejectedExperiment:
    try:
        past = PastExperimentRequest.model_validate_json(json.dumps(item), strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in fault["loc"])
        return _rejected(index, pointer, fault["type"], fault["msg"])
    wrong = inconsistency(past)
    return _rejected(index, *wrong) if wrong else past


def _rejected(index: int, pointer: str, code: str, detail: str) -> RejectedExperiment:
    return RejectedExperiment(index=index, pointer=f"/experiments/{index}{pointer}", code=code, detail=detail)


def _store(
    session: Session, project_id: int, row: PastExperiment | None, past: PastExperimentRequest, now: dt.datetime
) -> str:
    fields = _fields(past)
    if row is None:
        session.add(PastExperiment(project_id=project_id, source=IMPORTED, entered_at=now, **fields))
        return "accepted"
    if all(getattr(row, name) == value for name, value in fields.items()):
        return "unchanged"
    for name, value in {**fields, "entered_at": now}.items():
        setattr(row, name, value)
    session.add(row)
    return "replaced"


def _fields(past: PastExperimentRequest) -> dict[str, Any]:
    return {
        "key": past.key,
        "name": past.name,
        "change": past.change,
        "started_at": past.started_at,
        "stopped_at": past.stopped_at,
        "stopping_metric": past.stopping.metric,
        "stopping_method": past.stopping.method,
        "alpha": past.stopping.alpha,
        "planned_visitors": past.stopping.planned_visitors,
        "stopped_early": past.stopped_early,
        "metrics": list(past.metrics),
        "arms": [variant.model_dump() for variant in past.variants],
    }
