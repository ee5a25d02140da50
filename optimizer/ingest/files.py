"""Reads event files (CSV, JSON Lines, Parquet) in pieces of constant size and makes our events of their rows.

Columns that bear our fields' names, or common ones, are taken as those fields; the rest become properties. A row
without an id gets one from the file's content and its place, so that importing a file again stores nothing twice.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from msgspec import Raw, Struct

import optimizer.ingest.presets
from optimizer.discovery import discover_modules
from optimizer.errors import InvalidInputError
from optimizer.ingest.readers import READERS, Row, typed
from optimizer.ingest.wire import amount

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
# A day, a time of it and a zone; without a zone it is UTC.
TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]+(\d\d:\d\d(?::\d\d(?:\.\d+)?)?))? *(Z|UTC|[+-]\d\d:?\d\d)?")
PROPERTIES = "properties"  # a column of JSON objects, as the export writes it
FIELDS = frozenset({*PLAIN, *NESTED, PROPERTIES})


@dataclass(frozen=True, slots=True)
class Piece:
    """Some thousand rows of a file.

    Attributes:
        first: Place of its first row.
        rows: How many rows were read.
        items: What became of them, as JSON; a row may become several items, or none.
        places: The row that each item came from.
        misfits: Text of rows that do not have the header's columns; they have no place.
        share: How much of the file was read so far, 0 to 1.
    """

    first: int
    rows: int
    items: list[Raw]
    places: list[int]
    misfits: list[str]
    share: float


class _Identified(Struct):
    event_id: Any = None


@dataclass(frozen=True, slots=True)
class EventFile:
    """One file to import.

    Attributes:
        path: Where it is; the ending says what it is.
        columns: Column to field, beside the names that are understood anyway.
        preset: The tool whose export it is, one of `presets()`; None when its columns speak for themselves.
        ids: Begins the ids of rows that bring none.
        known: What columns were found to mean so far.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    ids: str = ""
    known: dict[str, str | None] = field(default_factory=dict)
    preset: str | None = None

    @classmethod
    def of(cls, path: Path, columns: Mapping[str, str], preset: str | None = None) -> EventFile:
        """Describe a file.

        Raises:
            InvalidInputError: Its ending is none we read, a column is mapped to no field of ours, or nobody knows
                the preset.
        """
        if preset is not None and preset not in presets():
            raise InvalidInputError(f"{preset}: the preset must be one of {', '.join(presets())}.")
        if path.suffix not in READERS:
            known = ", ".join(READERS)
            raise InvalidInputError(f"{path.name}: the ending must be one of {known}.")
        for column, name in columns.items():
            if name not in FIELDS:
                raise InvalidInputError(f"{column}={name}: map to one of {', '.join(sorted(FIELDS))}.")
        with path.open("rb") as opened:
            digest = hashlib.blake2b(opened.read(HEAD_BYTES), digest_size=8)
        digest.update(str(path.stat().st_size).encode())
        return cls(path, columns, f"file-{digest.hexdigest()}", preset=preset)

    @property
    def system(self) -> str | None:
        """The counting tool, if the file holds daily counts instead of events."""
        found = presets().get(self.preset or "")
        return getattr(found, "SYSTEM", None)

    def batches(self, skip: int = 0) -> Iterator[Piece]:
        """Yield the file in pieces of constant size.

        Args:
            skip: Rows that were imported before.
        """
        place, misfits = 0, list[str]()
        for rows, share in READERS[self.path.suffix](self.path, misfits.append):
            kept = rows[max(0, skip - place) :]
            first = place + len(rows) - len(kept)
            place += len(rows)
            if kept:
                yield self._piece(first, kept, misfits.copy(), share)
            misfits.clear()
        if misfits:
            yield Piece(place, 0, [], [], misfits, 1.0)

    def _piece(self, first: int, rows: list[Row], misfits: list[str], share: float) -> Piece:
        made = [
            (place, item)
            for place, row in enumerate(rows, first)
            for item in ([self._event(place, row)] if self.preset is None else self._made(place, row))
        ]
        items, places = [item for _, item in made], [place for place, _ in made]
        return Piece(first, len(rows), items, places, misfits, share)

    def _made(self, place: int, row: Row) -> Iterator[Raw]:
        preset = presets()[self.preset or ""]
        try:
            plain = msgspec.json.decode(row, type=dict[str, Any]) if isinstance(row, bytes) else self._typed(row)
            made = preset.counts(plain) if self.system else preset.events(plain)
        except (msgspec.DecodeError, LookupError, TypeError, ValueError, OverflowError, AttributeError):
            yield Raw(msgspec.json.encode(f"This row is not what {self.preset} exports."))  # rejected, by its place
            return
        for number, item in enumerate(made):
            if self.system is None and not item.get("event_id"):
                item["event_id"] = f"{self.ids}-{place}-{number}"
            yield Raw(msgspec.json.encode(_without_gaps(item)))

    def _event(self, place: int, row: Row) -> Raw:
        if isinstance(row, bytes):
            if not self.columns:
                return _line(row, f"{self.ids}-{place}")
            line = row
            try:
                row = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                return _text(line)
        event: dict[str, Any] = {"event_id": f"{self.ids}-{place}", "properties": {}}
        for column, value in row.items():
            if value is None or value == "":
                continue
            name = self._field_of(column)
            if name is None:
                event["properties"][column] = typed(value) if self._is_text else value
            elif name == PROPERTIES:
                event["properties"].update(_json_object(value))
            elif name in NESTED:
                outer, inner = NESTED[name]
                event.setdefault(outer, {})[inner] = _consent(value) if outer == "consent" else str(value)
            else:
                event[name] = _field(name, value)
        return Raw(msgspec.json.encode(event))

    @property
    def _is_text(self) -> bool:
        return self.path.suffix == ".csv"

    def _typed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: typed(cell) for name, cell in row.items()} if self._is_text else row

    def _field_of(self, column: str) -> str | None:
        if column not in self.known:
            lowered = column.strip().lower()
            understood = lowered if lowered in FIELDS else COMMON.get(lowered)
            self.known[column] = self.columns.get(column) or understood
        return self.known[column]


@lru_cache(maxsize=1)
def presets() -> Mapping[str, ModuleType]:
    """Find every preset, by name."""
    return {
        module.__name__.rpartition(".")[2]: module for module in discover_modules(optimizer.ingest.presets.__name__)
    }


def _without_gaps(item: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(item, dict):
        filled = {name: _without_gaps(value) for name, value in item.items()}
        return {name: value for name, value in filled.items() if value not in (None, "", {})}
    return item


def _json_object(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    try:
        return msgspec.json.decode(str(value), type=dict[str, Any])
    except msgspec.DecodeError:
        return {PROPERTIES: value}


def _line(row: bytes, event_id: str) -> Raw:
    # JSON Lines hold events in our own form.
    try:
        found = msgspec.json.decode(row, type=_Identified)
        row.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _text(row)
    if found.event_id is not None:
        return Raw(row)
    rest = row[1:].lstrip()
    return Raw(b'{"event_id":"%s"%s%s' % (event_id.encode(), b"" if rest == b"}" else b",", rest))


def _text(row: bytes) -> Raw:
    # A line that is no object would make its whole batch unreadable, so it goes on as a text, which the pipeline
    # rejects by its place.
    return Raw(msgspec.json.encode(row.decode(errors="replace")))


def _consent(value: object) -> Any:  # noqa: ANN401 - a truth value, or what is rejected for being none
    return typed(value.lower()) if isinstance(value, str) else value


def _field(name: str, value: Any) -> Any:  # noqa: ANN401 - any cell
    if name == "timestamp":
        return _moment(value)
    if name == "value":
        number = amount(value)
        return value if number is None else number
    return str(value)


def _moment(value: Any) -> Any:  # noqa: ANN401 - a time, or what is rejected for being none
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    text = str(value).strip()
    if text.isdigit():
        return _since_1970(int(text))
    found = TIME.fullmatch(text)
    if found is None:
        return text
    day, clock, zone = found.groups()
    clock = clock or "00:00"
    zone = "Z" if zone in {None, "Z", "UTC"} else f"{zone[:3]}:{zone[-2:]}"
    return f"{day}T{clock}{'' if clock.count(':') > 1 else ':00'}{zone}"


def _since_1970(given: int) -> Any:  # noqa: ANN401 - a time, or what is rejected for being none
    # Seconds, milliseconds or microseconds: which, is told by the size (the smallest unit that lies before 5138).
    unit = next((unit for unit in (1, 1_000, 1_000_000) if given < unit * 10**11), None)
    if unit is None:
        return str(given)
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=given * (1_000_000 // unit))
