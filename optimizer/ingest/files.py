"""Reads event files (CSV, JSON Lines, Parquet) in pieces of constant size and makes our events of their rows.

Columns that bear our fields' names, or common ones, are taken as those fields; the rest become properties. A row
without an id gets one from the file's content and its place, so that importing a file again stores nothing twice.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Raw
from pyarrow import csv, parquet

from optimizer.errors import InvalidInputError

ROWS = 5_000
BLOCK_BYTES = 8 << 20
HEAD_BYTES = 1 << 20
PLAIN = ("event_id", "name", "timestamp", "user_id", "anonymous_id", "session_id", "value", "currency")
CONTEXT = ("source", "medium", "campaign", "device", "page", "country", "ip", "user_agent")
CLICK_IDS = ("gclid", "gbraid", "wbraid", "fbclid", "fbp", "fbc", "ttclid", "msclkid", "li_fat_id")
CONSENT = ("analytics", "ad_user_data", "ad_personalization", "email")
NESTED = {
    **{name: ("context", name) for name in CONTEXT},
    **{name: ("click_ids", name) for name in CLICK_IDS},
    **{f"consent_{name}": ("consent", name) for name in CONSENT},
    **{name: ("user", name) for name in ("email", "phone")},
}
COMMON = {
    "event": "name",
    "event_name": "name",
    "time": "timestamp",
    "datetime": "timestamp",
    "created_at": "timestamp",
    "userid": "user_id",
    "visitor_id": "anonymous_id",
    "client_id": "anonymous_id",
    "platform": "device",
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "revenue": "value",
}
FIELDS = frozenset({*PLAIN, *NESTED})


@dataclass(frozen=True, slots=True)
class EventFile:
    """One file to import.

    Attributes:
        path: Where it is; the ending says what it is.
        columns: Column to field, beside the names that are understood anyway.
        ids: Begins the ids of rows that bring none.
        known: What columns were found to mean so far.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    ids: str = ""
    known: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, columns: Mapping[str, str]) -> EventFile:
        """Describe a file.

        Raises:
            InvalidInputError: Its ending is none we read, or a column is mapped to no field of ours.
        """
        if path.suffix not in READERS:
            known = ", ".join(READERS)
            raise InvalidInputError(f"{path.name}: the ending must be one of {known}.")
        for column, name in columns.items():
            if name not in FIELDS:
                raise InvalidInputError(f"{column}={name}: map to one of {', '.join(sorted(FIELDS))}.")
        with path.open("rb") as opened:
            digest = hashlib.blake2b(opened.read(HEAD_BYTES), digest_size=8)
        digest.update(str(path.stat().st_size).encode())
        return cls(path, columns, f"file-{digest.hexdigest()}")

    def batches(self, skip: int = 0) -> Iterator[tuple[int, list[Raw]]]:
        """Yield (place of the first row, events as JSON) in pieces of some thousand rows.

        Args:
            skip: Rows that were imported before.
        """
        place = 0
        for rows in READERS[self.path.suffix](self.path):
            kept = rows[max(0, skip - place) :]
            first = place + len(rows) - len(kept)
            place += len(rows)
            if kept:
                yield first, [self._event(first + offset, row) for offset, row in enumerate(kept)]

    def _event(self, place: int, row: Mapping[str, Any] | bytes) -> Raw:
        if isinstance(row, bytes):
            return _line(row)
        event: dict[str, Any] = {"event_id": f"{self.ids}-{place}", "properties": {}}
        for column, value in row.items():
            if value is None or value == "":
                continue
            name = self._field_of(column)
            if name is None:
                event["properties"][column] = value
            elif name in NESTED:
                outer, inner = NESTED[name]
                event.setdefault(outer, {})[inner] = value if outer == "consent" else str(value)
            else:
                event[name] = _field(name, value)
        return Raw(msgspec.json.encode(event))

    def _field_of(self, column: str) -> str | None:
        if column not in self.known:
            lowered = column.strip().lower()
            understood = lowered if lowered in FIELDS else COMMON.get(lowered)
            self.known[column] = self.columns.get(column) or understood
        return self.known[column]


def _line(row: bytes) -> Raw:
    # JSON Lines hold events in our own form. A line that is no JSON would make its whole batch unreadable, so it goes
    # on as a text, which the pipeline rejects by its place.
    try:
        msgspec.json.decode(row, type=Raw)
        row.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Raw(msgspec.json.encode(row.decode(errors="replace")))
    return Raw(row)


def _field(name: str, value: Any) -> Any:  # noqa: ANN401 - any cell
    if name == "timestamp" and isinstance(value, dt.datetime) and value.tzinfo is None:
        return value.replace(tzinfo=dt.UTC)
    if name in {"value", "timestamp"} and not isinstance(value, str):
        return value
    if name == "timestamp" and "T" not in str(value):
        return f"{str(value).strip().replace(' ', 'T')}Z"
    return str(value) if name != "value" else float(value)


def _read_csv(path: Path) -> Iterator[list[Any]]:
    with csv.open_csv(path, read_options=csv.ReadOptions(block_size=BLOCK_BYTES)) as reader:
        for block in reader:
            yield from _pieces(block)


def _read_parquet(path: Path) -> Iterator[list[Any]]:
    with parquet.ParquetFile(path) as opened:
        for block in opened.iter_batches(ROWS):
            yield block.to_pylist()


def _read_json_lines(path: Path) -> Iterator[list[Any]]:
    rows: list[bytes] = []
    with path.open("rb") as opened:
        for line in opened:
            if line.strip():
                rows.append(line.strip())
            if len(rows) == ROWS:
                yield rows
                rows = []
    if rows:
        yield rows


def _pieces(block: pa.RecordBatch) -> Iterator[list[Any]]:
    for first in range(0, block.num_rows, ROWS):
        yield block.slice(first, ROWS).to_pylist()


READERS: dict[str, Callable[[Path], Iterator[list[Any]]]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}
