"""Writes a project's events to a file in the form that `optimizer import` reads, a piece at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa
from pyarrow import csv, parquet

from optimizer.core.naming import canonical_name
from optimizer.errors import InvalidInputError
from optimizer.storage.events import EventStore, naive_utc

ROWS = 50_000
PLAIN = ("event_id", "name", "timestamp", "user_id", "anonymous_id", "session_id", "value", "currency")
CONTEXT = ("source", "medium", "campaign", "device", "page", "country")
CONSENT = ("consent_analytics", "consent_ad_user_data", "consent_ad_personalization", "consent_email")
COLUMNS = (*PLAIN, *CONTEXT, *CONSENT, "properties")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events.

    Attributes:
        name: One event name, in any spelling; None for all.
        start: From this time on.
        end: Before this time.
    """

    name: str | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None


class Writer(Protocol):
    """Takes pieces and writes them to its file."""

    def write(self, piece: pa.Table) -> None:
        """Write a piece."""

    def close(self) -> None:
        """Finish the file."""


def pieces(store: EventStore, project_id: int, wanted: Wanted) -> Iterator[pa.Table]:
    """Yield events in the order they were stored, with columns that the import understands; memory stays flat."""
    events = store.events(project_id)
    if wanted.name is not None:
        events = events.filter(events.name == canonical_name(wanted.name))
    if wanted.start is not None:
        events = events.filter(events.timestamp >= naive_utc(wanted.start))
    if wanted.end is not None:
        events = events.filter(events.timestamp < naive_utc(wanted.end))
    last = 0
    while True:
        further = events.filter(events.sequence > last).select("sequence", *COLUMNS).order_by("sequence").limit(ROWS)
        found = further.to_pyarrow()
        if not found.num_rows:
            return
        last = found["sequence"][-1].as_py()
        place = found.schema.get_field_index("timestamp")
        moments = found["timestamp"].cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
        yield found.set_column(place, "timestamp", moments).select(COLUMNS)


def writer(path: Path) -> Writer:
    """Open a file by its ending.

    Raises:
        InvalidInputError: The ending is none we write.
    """
    found = WRITERS.get(path.suffix)
    if found is None:
        raise InvalidInputError(f"{path.name}: the ending must be one of {', '.join(WRITERS)}.")
    opened: Writer = found(path)
    return opened


class _Csv:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._out: Any = None

    def write(self, piece: pa.Table) -> None:
        piece = _with_iso_times(piece)
        self._out = self._out or csv.CSVWriter(self._file, piece.schema)
        self._out.write_table(piece)

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
        self._file.close()


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._out: Any = None

    def write(self, piece: pa.Table) -> None:
        self._out = self._out or parquet.ParquetWriter(self._path, piece.schema)
        self._out.write_table(piece)

    def close(self) -> None:
        if self._out is not None:
            self._out.close()


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, piece: pa.Table) -> None:
        lines = [msgspec.json.encode(_as_event(row)) for row in piece.to_pylist()]
        self._file.write(b"\n".join(lines) + b"\n")

    def close(self) -> None:
        self._file.close()


WRITERS: dict[str, type[Any]] = {".csv": _Csv, ".parquet": _Parquet, ".jsonl": _JsonLines, ".ndjson": _JsonLines}


def _with_iso_times(piece: pa.Table) -> pa.Table:
    place = piece.schema.get_field_index("timestamp")
    texts = [moment.isoformat() for moment in piece["timestamp"].to_pylist()]
    return piece.set_column(place, "timestamp", pa.array(texts, pa.string()))


def _as_event(row: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {name: row[name] for name in PLAIN if row[name] is not None}
    context = {name: row[name] for name in CONTEXT if row[name] is not None}
    consent = {name.removeprefix("consent_"): row[name] for name in CONSENT if row[name] is not None}
    event |= {"context": context} if context else {}
    event |= {"consent": consent} if consent else {}
    return {**event, "properties": msgspec.Raw(row["properties"].encode())}
