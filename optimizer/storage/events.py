"""The event plane as Ibis tables: what the read side computes with, whatever engine holds the rows.

Readers get tables already narrowed to one project, so that no query can forget it. Times are naive UTC on the
engine (one convention for every dialect) and aware `datetime` in Python: `as_utc` and `naive_utc` convert.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import ibis
import ibis.expr.types as ir
import pyarrow as pa

_TIME = pa.timestamp("us")
# Where several processes write, a sequence is microseconds since 1970 times this, plus the writer's own number.
WRITERS = 1_024

EVENT_SCHEMA = pa.schema(
    [
        ("project_id", pa.int32()),
        ("sequence", pa.int64()),  # order of commitment: the cursor of every scan
        ("event_id", pa.string()),
        ("id_hash", pa.int64()),
        ("content_hash", pa.int64()),
        ("name", pa.string()),
        ("timestamp", _TIME),
        ("received_at", _TIME),
        ("unit_id", pa.string()),  # "u:<user>", "a:<anonymous>", "c:<cookieless>"; "" without analytics consent
        ("user_id", pa.string()),
        ("anonymous_id", pa.string()),
        ("session_id", pa.string()),
        ("value", pa.float64()),
        ("currency", pa.string()),
        ("source", pa.string()),
        ("medium", pa.string()),
        ("campaign", pa.string()),
        ("device", pa.string()),
        ("page", pa.string()),
        ("country", pa.string()),
        ("properties", pa.string()),  # JSON text
        ("consent_analytics", pa.bool_()),
        ("consent_ad_user_data", pa.bool_()),
        ("consent_ad_personalization", pa.bool_()),
        ("consent_email", pa.bool_()),
        ("bot", pa.bool_()),  # set aside: never among a project's events
        ("warnings", pa.string()),  # codes of the reservations it was stored with, joined by commas
    ]
)
EXPOSURE_SCHEMA = pa.schema(
    [
        ("project_id", pa.int32()),
        ("sequence", pa.int64()),
        ("exposure_id", pa.string()),
        ("id_hash", pa.int64()),
        ("content_hash", pa.int64()),
        ("experiment", pa.string()),
        ("variant", pa.string()),
        ("unit_id", pa.string()),
        ("user_id", pa.string()),
        ("anonymous_id", pa.string()),
        ("timestamp", _TIME),
        ("received_at", _TIME),
        ("session_id", pa.string()),
    ]
)
COUNT_SCHEMA = pa.schema(
    [
        ("project_id", pa.int32()),
        ("sequence", pa.int64()),
        ("system", pa.string()),
        ("date", pa.date32()),
        ("name", pa.string()),
        ("dimensions", pa.string()),  # JSON text with sorted keys: part of the replacement key
        ("experiment", pa.string()),  # "" when the row belongs to none
        ("variant", pa.string()),
        ("visitors", pa.int64()),
        ("occurrences", pa.int64()),
        ("value", pa.float64()),
        ("value_squares", pa.float64()),
        ("received_at", _TIME),
    ]
)
# Whose visits are whose: an anonymous visitor who became a user, an older user id. The first link of a unit holds.
LINK_SCHEMA = pa.schema(
    [
        ("project_id", pa.int32()),
        ("sequence", pa.int64()),
        ("from_unit", pa.string()),
        ("id_hash", pa.int64()),
        ("content_hash", pa.int64()),
        ("to_unit", pa.string()),
        ("timestamp", _TIME),
        ("received_at", _TIME),
    ]
)
# Events that were set aside as a bot's and taken back: from then on they are among the project's events.
RECOVERY_SCHEMA = pa.schema(
    [
        ("project_id", pa.int32()),
        ("sequence", pa.int64()),
        ("event_id", pa.string()),
        ("id_hash", pa.int64()),
        ("content_hash", pa.int64()),
        ("received_at", _TIME),
    ]
)
SCHEMAS: Mapping[str, pa.Schema] = {
    "events": EVENT_SCHEMA,
    "exposures": EXPOSURE_SCHEMA,
    "links": LINK_SCHEMA,
    "recoveries": RECOVERY_SCHEMA,
    "counts": COUNT_SCHEMA,
}
# Columns of the events that readers see. Listed and selected, never dropped: ClickHouse cannot resolve a later column
# behind `* EXCEPT`.
SHOWN = [name for name in EVENT_SCHEMA.names if name not in {"project_id", "bot"}]
# Tables whose rows are deduplicated, and the column that holds the row's own id.
ID_COLUMN: Mapping[str, str] = {
    "events": "event_id",
    "exposures": "exposure_id",
    "links": "from_unit",
    "recoveries": "event_id",
}


@dataclass(frozen=True, slots=True)
class StoredIds:
    """What the deduplicator needs of the rows already stored.

    Attributes:
        id_hashes: int64 array of the 64-bit hashes of (project, id) of every stored row.
        last_sequence: The highest sequence in use; 0 when empty.
    """

    id_hashes: pa.Array
    last_sequence: int


class EventStore(ABC):
    """One event engine. Thread-safe: every thread gets a connection of its own.

    Attributes:
        several_writers: Other processes may write too, so sequences must be told apart and become visible late.
        overlap: How far back in sequences a scan must read again, for commits that became visible out of order.
        unreachable: What its driver raises when the engine cannot be asked.
    """

    several_writers: ClassVar[bool] = False
    overlap: ClassVar[int] = 0
    unreachable: ClassVar[tuple[type[Exception], ...]] = ()

    @abstractmethod
    def append(self, batches: Mapping[str, pa.Table]) -> None:
        """Write rows to several tables in one durable commit; on return they survive a power cut.

        Args:
            batches: Table name (a key of `SCHEMAS`) to rows in that table's schema. Count rows replace stored rows
                with the same key (project, system, date, name, dimensions,
                experiment, variant); the others are only added.

        Raises:
            BusyError: The store could not commit; nothing was stored.
        """

    @abstractmethod
    def stored_ids(self, table: str) -> StoredIds:
        """Read the id hashes of a table (a key of `ID_COLUMN`)."""

    @abstractmethod
    def find_by_id_hash(self, table: str, id_hashes: Sequence[int]) -> pa.Table:
        """Read (project_id, id, id_hash, content_hash) of the stored rows with these hashes; `id` is their own id."""

    @abstractmethod
    def table(self, name: str) -> ir.Table:
        """Return a whole table as an Ibis expression bound to this thread's connection."""

    @abstractmethod
    def has_rows(self, name: str, project_id: int) -> bool:
        """Tell whether a project has any row in a table (a key of `SCHEMAS`); every read asks, so it is quick."""

    @abstractmethod
    def close(self) -> None:
        """Flush and close every connection."""

    def events(self, project_id: int) -> ir.Table:
        """Return one project's events (columns of `EVENT_SCHEMA`), those of bots left out, visitors made users."""
        found = self._stitched("events", project_id)
        return found.filter(~self._is_aside(found, project_id)).select(SHOWN)

    def set_aside(self, project_id: int) -> ir.Table:
        """Return one project's events that were judged to be of bots and not taken back."""
        found = self._of_project("events", project_id)
        return found.filter(self._is_aside(found, project_id)).select(SHOWN)

    def exposures(self, project_id: int) -> ir.Table:
        """Return one project's exposures (columns of `EXPOSURE_SCHEMA`), visitors made users."""
        return self._stitched("exposures", project_id)

    def mergers(self, project_id: int, *, after: int) -> ir.Table:
        """Return who became whom in links beyond a sequence: from_unit, to_unit (as it is called now), sequence."""
        links = self._of_project("links", project_id)
        return _followed(links).filter(lambda rows: rows.sequence > after).order_by("sequence")

    def counts(self, project_id: int) -> ir.Table:
        """Return one project's daily counts (columns of `COUNT_SCHEMA`), the newest of each key."""
        return self._of_project("counts", project_id)

    def text_property(self, events: ir.Table, name: str) -> ir.StringValue:
        """Return a property where it is a text, else null."""
        text: ir.StringValue = self._property(events, name).str
        return text

    def number_property(self, events: ir.Table, name: str) -> ir.FloatingValue:
        """Return a property where it is a number, else null."""
        number: ir.FloatingValue = self._property(events, name).float
        return number

    def digest(self, text: ir.StringValue) -> ir.StringValue:
        """Return the MD5 of a text as 32 hexadecimal digits: the same on every engine."""
        digits: ir.StringValue = text.hexdigest("md5")
        return digits

    def has_properties(self, events: ir.Table, wanted: Mapping[str, str | float | bool]) -> ir.BooleanValue:
        """Return whether each event carries all of these properties with these values, types included.

        Args:
            events: Rows with the column `properties`.
            wanted: Property name to value; numbers compare as numbers.
        """
        holds: ir.BooleanValue = ibis.literal(value=True)
        for name, value in wanted.items():
            holds &= self._has_property(events, name, value).fill_null(False)  # noqa: FBT003 - Ibis' own signature
        return holds

    def _property(self, events: ir.Table, name: str) -> ir.JSONValue:
        # A pointer (RFC 6901) takes any name as it is; by itself a name like `$[` or `*` would be read as a path.
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        found: ir.JSONValue = events.properties.cast("json")[pointer]
        return found

    def _has_property(self, events: ir.Table, name: str, value: str | float | bool) -> ir.BooleanValue:
        found = self._property(events, name)
        if isinstance(value, bool):
            same = found.bool == value
        elif isinstance(value, str):
            same = found.str == value
        else:
            same = found.float == float(value)
        return same

    def _is_aside(self, events: ir.Table, project_id: int) -> ir.BooleanValue:
        bots: ir.BooleanValue = events.bot.fill_null(False)  # noqa: FBT003 - Ibis' own signature
        if not self.has_rows("recoveries", project_id):
            return bots
        return bots & events.event_id.notin(self._of_project("recoveries", project_id).event_id)

    def _stitched(self, name: str, project_id: int) -> ir.Table:
        rows = self._of_project(name, project_id)
        if not self.has_rows("links", project_id):
            return rows
        known = _followed(self._of_project("links", project_id)).select("from_unit", stitched_to="to_unit")
        joined = rows.left_join(known, rows.unit_id == known.from_unit)
        unit = ibis.coalesce(joined.stitched_to, joined.unit_id)
        return joined.mutate(unit_id=unit).select(rows.columns)

    def _of_project(self, name: str, project_id: int) -> ir.Table:
        table = self.table(name)
        return table.filter(table.project_id == project_id).select(SCHEMAS[name].names[1:])


def _followed(links: ir.Table) -> ir.Table:
    further = links.select(middle="from_unit", last="to_unit")  # visitor → user → the id the user has now
    known = links.left_join(further, links.to_unit == further.middle)
    return known.select("from_unit", "sequence", to_unit=ibis.coalesce(known.last, known.to_unit))


def naive_utc(moment: dt.datetime) -> dt.datetime:
    """Convert an aware datetime to the engines' naive UTC."""
    if moment.tzinfo is None:
        raise ValueError("moment must be time-zone aware")
    return moment.astimezone(dt.UTC).replace(tzinfo=None)


def as_utc(moment: dt.datetime) -> dt.datetime:
    """Convert an engine's naive UTC datetime to an aware one."""
    return moment.replace(tzinfo=dt.UTC)
