"""Experiments as evaluation sees them: compiled, and remembered for a moment, so that no request asks the database.

Everything that decides who sees what is in memory: seeds, splits, rules, ranges and holdouts of the project's
experiments that are not archived. A change in this process is seen at once, one made by another within
`FRESH_SECONDS`; when the control plane does not answer, what was known last is used on.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from optimizer.core import targeting
from optimizer.core.allocation import Points, Split, split
from optimizer.experiments.namespaces import places
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import Experiment, Holdout

FRESH_SECONDS = 2.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """A holdout: whose points lie below its share is left alone."""

    key: str
    share: float
    points: Points

    def holds(self, unit: str) -> bool:
        """Whether a unit is in it."""
        return self.points.of(unit) < self.share


@dataclass(frozen=True, slots=True)
class Place:
    """A range of a namespace."""

    start: float
    end: float
    points: Points

    def holds(self, unit: str) -> bool:
        """Whether a unit is in it."""
        return self.start <= self.points.of(unit) < self.end


@dataclass(frozen=True, slots=True)
class Flag:
    """One experiment, ready to decide.

    Attributes:
        id: Its row.
        key: Its key, which is the flag's.
        status: draft, running or stopped.
        unit: user, anonymous or session.
        values: What each variant's users get, by key; the first is the control's.
        allocation: Share of the eligible units that take part.
        taking: Points that decide on taking part.
        sides: Points that decide on the variant.
        split: Whose which point is.
        rule: Who is eligible; None is everybody.
        place: Its range of a namespace.
        holdouts: Who is left alone.
        winner: The variant that everybody gets.
        started_at: From when exposures count.
        stops_at: When the schedule ends it.
        stopped_at: When it ended.
        strays: Whether some unit was shown another variant than its hash says.
    """

    id: int
    key: str
    status: str
    unit: str
    values: Mapping[str, Any]
    allocation: float
    taking: Points
    sides: Points
    split: Split
    rule: targeting.Rule | None
    place: Place | None
    holdouts: tuple[Held, ...]
    winner: str | None
    started_at: dt.datetime | None
    stops_at: dt.datetime | None
    stopped_at: dt.datetime | None
    strays: bool

    @property
    def control(self) -> str:
        """The control's key."""
        return next(iter(self.values))

    def runs(self, now: dt.datetime) -> bool:
        """Whether it assigns units, also by its schedule."""
        return self.status == "running" and (self.stops_at is None or now < self.stops_at)

    def takes(self, unit: str) -> bool:
        """Whether a unit is in the part of the namespace and of the allocation that this experiment has."""
        return (self.place is None or self.place.holds(unit)) and self.taking.of(unit) < self.allocation

    def hashed(self, unit: str) -> str | None:
        """The variant that hash and split give a unit, whoever it is; None when it does not take part."""
        return self.split.variant(self.sides.of(unit)) if self.takes(unit) else None


class Flags:
    """The flags of every project that asked, for a moment.

    Args:
        control: Where experiments are kept.
        monotonic: A clock that never goes back, in seconds.
    """

    def __init__(self, control: ControlStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._monotonic = monotonic
        self._known: dict[int, tuple[float, Mapping[str, Flag]]] = {}
        self._reading = threading.Lock()

    def of(self, project_id: int) -> Mapping[str, Flag]:
        """Return a project's flags by key, in the order they were made."""
        read_at, flags = self._known.get(project_id, (float("-inf"), None))
        if flags is not None and self._monotonic() - read_at <= FRESH_SECONDS:
            return flags
        # One request reads anew; the others go on with what is known, so that none of them waits for the database.
        if not self._reading.acquire(blocking=flags is None):
            return flags or {}
        try:
            return self._read(project_id)
        finally:
            self._reading.release()

    def forget(self, project_id: int) -> None:
        """Ask again, because an experiment or a holdout was changed here."""
        self._known.pop(project_id, None)

    def _read(self, project_id: int) -> Mapping[str, Flag]:
        known = self._known.get(project_id)
        if known is not None and self._monotonic() - known[0] <= FRESH_SECONDS:
            return known[1]
        try:
            with self._control.reading() as session:
                flags = _compiled(session, project_id)
        except SQLAlchemyError as error:
            if known is None:
                raise
            log.warning("flags_not_renewed", kind=type(error).__name__)
            flags = known[1]
        self._known[project_id] = (self._monotonic(), flags)
        return flags


def _compiled(session: Session, project_id: int) -> Mapping[str, Flag]:
    kept = select(Holdout).where(Holdout.project_id == project_id, col(Holdout.ended_at).is_(None))
    holdouts = session.exec(kept).all()
    own = select(Experiment).where(Experiment.project_id == project_id, Experiment.status != "archived")
    return {row.key: _flag(row, holdouts) for row in session.exec(own.order_by(col(Experiment.id)))}


def _flag(row: Experiment, holdouts: Sequence[Holdout]) -> Flag:
    seed = row.seed or row.key  # experiments from before there were seeds
    stored = row.split
    weights = {variant["key"]: float(variant["weight"]) for variant in row.variants}
    space = row.namespace
    return Flag(
        id=row.id or 0,
        key=row.key,
        status=row.status,
        unit=row.unit,
        values={variant["key"]: variant["value"] for variant in row.variants},
        allocation=row.allocation,
        taking=Points(seed, "taking part"),
        sides=Points(seed, "split"),
        split=Split(tuple(stored["ends"]), tuple(stored["variants"])) if stored else split(weights),
        rule=targeting.parse(row.targeting),
        place=Place(space["from"], space["to"], places(row.project_id, space["name"])) if space else None,
        holdouts=tuple(
            Held(one.key, one.share, Points(one.seed, "holdout"))
            for one in holdouts
            if one.experiments is None or row.key in one.experiments
        ),
        winner=row.winning_variant,
        started_at=row.started_at,
        stops_at=row.scheduled_stop_at,
        stopped_at=row.stopped_at,
        strays=row.strays,
    )
