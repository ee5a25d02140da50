"""Data quality per event name: how often what the catalog asks for was missing, wrong, or spelled differently.

Stored events carry the codes of their reservations, so those are counted where the events are. What was rejected is
nowhere else, so it is tallied here and written to the control plane every few seconds; a kill costs those seconds'
tallies, never an event.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, delete, func, select

from optimizer.catalog.definitions import list_definitions
from optimizer.ingest.prepare import MERGED_SPELLING, OTHER_CURRENCY, Prepared
from optimizer.storage.control import ControlStore
from optimizer.storage.events import naive_utc
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Rejection

CODES = (
    "missing_property",
    "wrong_property_type",
    MERGED_SPELLING,
    "unknown_field",
    "clamped_timestamp",
    "generic_name",
    "invalid_email",
    "invalid_phone",
    OTHER_CURRENCY,
)
FLUSH_SECONDS = 2.0
KEPT_FOR = dt.timedelta(days=90)
DISTINCT = 1_000
UNREADABLE, OTHERS = "(unreadable)", "(others)"


class QualityRequest(BaseModel):
    """Of which time."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(7, ge=1, le=90, description="How many days back.")


class NameQuality(BaseModel):
    """What was found about one event name."""

    name: str
    catalogued: bool = Field(description="False: the name was only ever sent, or is unknown and was rejected.")
    events: int = Field(description="Stored in that time.")
    spellings: list[str] = Field(description="Other spellings that were merged into the name, ever.")
    counters: dict[str, int] = Field(description="Stored events with a reservation, by its code.")
    rejected: dict[str, int] = Field(description="Events that were not stored, by the code of the reason.")


class QualityAnswer(BaseModel):
    """Every event name that was sent or catalogued."""

    since: dt.datetime
    data: list[NameQuality]


class RejectionTally:
    """Counts rejected items by project, day, name and code.

    Args:
        control: Where the tallies are kept.
        monotonic: A clock that never goes back, in seconds.
    """

    def __init__(self, control: ControlStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._monotonic = monotonic
        self._counted: Counter[tuple[int, dt.date, str, str]] = Counter()
        self._flushed_at = float("-inf")
        self._lock = threading.Lock()

    def count(self, project_id: int, prepared: Prepared, *, now: dt.datetime) -> None:
        """Count what a batch rejected, and write the tallies down when it is time."""
        if not prepared.rejected:
            return
        day = now.astimezone(dt.UTC).date()
        with self._lock:
            for verdict in prepared.rejected:
                name = prepared.refused_names.get(verdict.index) or UNREADABLE
                key = (project_id, day, name, verdict.code)
                full = len(self._counted) >= DISTINCT and key not in self._counted
                self._counted[project_id, day, OTHERS if full else name, verdict.code] += 1
        if self._monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the tallies down."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
            self._flushed_at = self._monotonic()
        if not counted:
            return
        with self._control.session() as session:
            insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
            for (project_id, day, name, code), times in sorted(counted.items()):
                made = insert(Rejection).values(project_id=project_id, day=day, name=name, code=code, times=times)
                more = {"times": Rejection.times + made.excluded.times}
                session.execute(
                    made.on_conflict_do_update(index_elements=["project_id", "day", "name", "code"], set_=more)
                )


def delete_old_rejections(session: Session, *, now: dt.datetime) -> int:
    """Delete tallies older than 90 days and return how many."""
    return session.exec(delete(Rejection).where(col(Rejection.day) < (now - KEPT_FOR).date())).rowcount


def quality(stores: Stores, project_id: int, days: int, *, now: dt.datetime) -> QualityAnswer:
    """Count reservations and rejections per event name.

    Args:
        stores: Both planes.
        project_id: Whose.
        days: How many days back.
        now: Until when.
    """
    since = now - dt.timedelta(days=days)
    events = stores.events.events(project_id)
    recent = events.filter(events.received_at >= naive_utc(since))
    said = recent.warnings.fill_null("")
    counters = {code: said.contains(code).cast("int64").sum() for code in CODES}
    rows = recent.group_by("name").agg(stored=recent.count(), **counters).to_pyarrow().to_pylist()
    found = {row["name"]: row for row in rows}
    with stores.control.reading() as session:
        definitions = {one.name: one for one in list_definitions(session, project_id)}
        rejected = _rejected(session, project_id, since)
    names = sorted({*found, *rejected, *definitions})
    data = []
    for name in names:
        row, known = found.get(name, {}), definitions.get(name)
        data.append(
            NameQuality(
                name=name,
                catalogued=known is not None and known.status != "proposed",
                events=row.get("stored", 0),
                spellings=list(known.spellings) if known else [],
                counters={code: row[code] for code in CODES if row.get(code)},
                rejected=rejected.get(name, {}),
            )
        )
    return QualityAnswer(since=since, data=data)


def _rejected(session: Session, project_id: int, since: dt.datetime) -> dict[str, dict[str, int]]:
    total = func.sum(Rejection.times)
    rows = session.exec(
        select(Rejection.name, Rejection.code, total)
        .where(Rejection.project_id == project_id, col(Rejection.day) >= since.date())
        .group_by(col(Rejection.name), col(Rejection.code))
    )
    found: dict[str, dict[str, int]] = {}
    for name, code, times in rows:
        found.setdefault(name, {})[code] = int(times)
    return found
