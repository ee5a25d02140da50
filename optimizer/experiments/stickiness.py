"""What exposed units saw first, kept in the control plane, so that nothing changes it for them.

Exposures arrive by evaluation, by trackers and by the API; each way ends in `Stickiness.witness`, before the exposure
itself is committed: should the process die in between, a unit keeps a variant that it was about to see, which harms
nobody, whereas the other order could forget what somebody saw.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import structlog
from sqlalchemy import ClauseElement, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select, update

from optimizer.experiments.flags import Flag, Flags
from optimizer.ingest.event import Exposure
from optimizer.ingest.identity import unit_of
from optimizer.storage.control import ControlStore, Query
from optimizer.storage.tables import Assignment, Experiment

REMEMBERED_UNITS = 100_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Assigning:
    """What assigns units to variants in this process.

    Attributes:
        flags: Experiments as evaluation sees them.
        stickiness: What exposed units saw first.
    """

    flags: Flags
    stickiness: Stickiness


@dataclass(slots=True, eq=False)
class _Waiting:
    """Assignments of one request that wait for the disk."""

    rows: list[dict[str, Any]]
    strays: set[int]
    written: bool = False


class Stickiness:
    """Writes and finds the variants of exposed units.

    Args:
        control: Where they are kept.
        flags: The experiments.
    """

    def __init__(self, control: ControlStore, flags: Flags) -> None:
        self._control = control
        self._flags = flags
        insert = sqlite.insert if control.is_sqlite else postgresql.insert
        self._insert = insert(Assignment).on_conflict_do_nothing()
        self._seen_first: dict[int, Query] = {}
        # When, as the driver gives it, and what: only compared with each other.
        self._known: OrderedDict[tuple[int, str], tuple[Any, str]] = OrderedDict()
        self._recorded: OrderedDict[str, None] = OrderedDict()
        self._waiting: list[_Waiting] = []
        self._queueing, self._writing = threading.Lock(), threading.Lock()

    def look_up(self, experiment_id: int, units: Sequence[str]) -> str | None:
        """Return the variant that any of these units was first exposed to; None when none was."""
        known = [self._known.get((experiment_id, unit)) for unit in units]
        if None not in known:
            return min(one for one in known if one is not None)[1] if known else None
        named = {f"unit{place}": unit for place, unit in enumerate(units)}
        found = self._asking(len(units)).rows({"experiment": experiment_id, **named})
        for unit, exposed_at, variant in found:
            self._remember(experiment_id, unit, exposed_at, variant)
        return min(row[1:] for row in found)[1] if found else None

    def _asking(self, units: int) -> Query:
        if units not in self._seen_first:
            self._seen_first[units] = self._control.query(seen_first(units))
        return self._seen_first[units]

    def is_recorded(self, exposure_id: str) -> bool:
        """Whether this process knows that an exposure is on disk."""
        return exposure_id in self._recorded

    def recorded(self, exposure_id: str) -> None:
        """Remember that an exposure is on disk."""
        self._recorded[exposure_id] = None
        while len(self._recorded) > REMEMBERED_UNITS:
            self._recorded.popitem(last=False)

    def witness(self, project_id: int, exposures: Sequence[Exposure], received_at: dt.datetime) -> None:
        """Keep what units saw, the first time that they saw it; what is wrong here never costs an exposure."""
        try:
            self._keep(project_id, exposures, received_at)
        except SQLAlchemyError as error:
            log.warning("assignments_not_kept", kind=type(error).__name__, exposures=len(exposures))

    def _keep(self, project_id: int, exposures: Sequence[Exposure], received_at: dt.datetime) -> None:
        flags = self._flags.of(project_id)
        fresh: dict[tuple[int, str], dict[str, Any]] = {}
        strays: set[int] = set()
        for exposure in exposures:
            flag = flags.get(exposure.experiment)
            at = min(exposure.timestamp or received_at, received_at)
            unit = unit_shown(flag, exposure) if flag is not None and _counts(flag, exposure.variant, at) else ""
            if flag is None or not unit or (flag.id, unit) in self._known:
                continue
            place = (flag.id, unit)
            if place not in fresh or at < fresh[place]["exposed_at"]:
                row = {"experiment_id": flag.id, "unit": unit, "variant": exposure.variant, "exposed_at": at}
                fresh[place] = row
            if exposure.variant != flag.hashed(unit) and not flag.strays:
                strays.add(flag.id)
        if fresh:
            self._write(list(fresh.values()), strays)
            if strays:
                self._flags.forget(project_id)

    def _write(self, rows: list[dict[str, Any]], strays: set[int]) -> None:
        # Group commit: whoever comes first writes for all who wait, and the disk is asked once.
        own = _Waiting(rows, strays)
        with self._queueing:
            self._waiting.append(own)
        with self._writing:
            if own.written:
                return
            with self._queueing:
                group, self._waiting = self._waiting, []
            # After a failure of the one who wrote for all, everybody writes for itself.
            self._write_group(group if own in group else [*group, own])

    def _write_group(self, group: list[_Waiting]) -> None:
        rows = [row for one in group for row in one.rows]
        strays = {stray for one in group for stray in one.strays}
        # Always in one order, so that two writers of the same units wait for each other and never in a circle.
        ordered = sorted(rows, key=itemgetter("experiment_id", "unit", "exposed_at"))
        with self._control.writing() as connection:
            connection.execute(self._insert, ordered)
            if strays:
                connection.execute(update(Experiment).where(col(Experiment.id).in_(strays)).values(strays=True))
        for one in group:
            one.written = True

    def _remember(self, experiment_id: int, unit: str, exposed_at: Any, variant: str) -> None:  # noqa: ANN401 - see `_known`
        self._known[experiment_id, unit] = (exposed_at, variant)
        while len(self._known) > REMEMBERED_UNITS:
            self._known.popitem(last=False)


def seen_first(units: int) -> ClauseElement:
    """Ask for what so many units (`unit0`, …) were first exposed to in one `experiment`."""
    return select(col(Assignment.unit), col(Assignment.exposed_at), col(Assignment.variant)).where(
        col(Assignment.experiment_id) == bindparam("experiment"),
        col(Assignment.unit).in_([bindparam(f"unit{place}") for place in range(units)]),
    )


def unit_shown(flag: Flag, exposure: Exposure) -> str:
    """Return the unit that an exposure is one of, by the experiment's kind; empty when its id is missing."""
    if flag.unit == "user":
        return unit_of(exposure.user_id, exposure.anonymous_id)
    if flag.unit == "anonymous":
        return unit_of(None, exposure.anonymous_id)
    return f"s:{exposure.session_id}" if exposure.session_id else ""


def _counts(flag: Flag, variant: str, at: dt.datetime) -> bool:
    return flag.runs(at) and flag.started_at is not None and flag.started_at <= at and variant in flag.values
