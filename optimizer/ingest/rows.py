"""Rows on their way to the writer, column by column: what Arrow takes without another walk over every row.

Events are laid out many at a time, because that is the hot path; exposures, links and what is taken back one by one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from optimizer.core.naming import canonical_name
from optimizer.ingest.dedup import hash_bytes, hash_id, hash_ids, hash_many
from optimizer.ingest.event import ConsentSignals, Context, Event, Exposure
from optimizer.ingest.match_data import Kept
from optimizer.storage.events import SCHEMAS

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FEW = 20  # so many rows are converted in one call: by columns each column costs a call, however few its values
_RECORDS = {table: pa.struct(list(schema)) for table, schema in SCHEMAS.items()}
_NO_CONTEXT = Context()
_NO_CONSENT = ConsentSignals()


@dataclass(slots=True)
class Rows:
    """Rows of one table that is deduplicated.

    Attributes:
        indexes: Each row's place in its request's batch.
        project_ids: Whose it is.
        ids: Its id within the project.
        id_hashes: `hash_id` of both.
        content_hashes: Of what was sent, server-set fields aside.
        others: The table's further columns in schema order, each a list of values.
        kept: Match data and contact by row, where consent allows any.
    """

    indexes: list[int] = field(default_factory=list)
    project_ids: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    id_hashes: list[int] = field(default_factory=list)
    content_hashes: list[int] = field(default_factory=list)
    others: list[list[Any]] = field(default_factory=list)
    kept: dict[int, Kept] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, index: int, project_id: int, identifier: str, content: bytes, others: Sequence[Any]) -> None:
        """Add one row."""
        self._extend(
            ([index], [project_id], [identifier], [hash_id(project_id, identifier)], [hash_bytes(content)]),
            [[value] for value in others],
        )

    def add_events(self, project_id: int, judged: Judged, received_at: dt.datetime) -> None:
        """Add events."""
        first = len(self.ids)
        own = (
            judged.indexes,
            [project_id] * len(judged.ids),
            judged.ids,
            hash_ids(project_id, judged.ids),
            hash_many(judged.contents),
        )
        self._extend(own, _event_columns(judged, received_at))
        self.kept.update((first + row, kept) for row, kept in judged.kept.items())

    def twins(self, stored: Mapping[tuple[int, str], int]) -> dict[int, int]:
        """Find the rows that have an earlier twin.

        Args:
            stored: (project, id) of stored rows that share a hash with any of these, to their content hash.

        Returns:
            By row, the content hash under which its id was first seen; rows whose id is new are left out.
        """
        if not stored and len(set(self.id_hashes)) == len(self):
            return {}
        first: dict[tuple[int, str], int] = dict(stored)
        found: dict[int, int] = {}
        for row, key in enumerate(zip(self.project_ids, self.ids, strict=True)):
            if key in first:
                found[row] = first[key]
            else:
                first[key] = self.content_hashes[row]
        return found

    def columns(self) -> list[list[Any]]:
        """Return the columns in schema order, without `sequence`."""
        return [self.project_ids, self.ids, self.id_hashes, self.content_hashes, *self.others]

    def without(self, rows: Container[int]) -> Rows:
        """Return the other rows."""
        stays = [row not in rows for row in range(len(self))]
        new = Rows()
        own = [list(compress(column, stays)) for column in self._own()]
        new._extend(own, [list(compress(column, stays)) for column in self.others])
        staying = compress(range(len(self)), stays)
        new.kept = {place: self.kept[row] for place, row in enumerate(staying) if row in self.kept}
        return new

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        """Join rows of one table from several requests."""
        filled = [part for part in parts if part.ids]
        if len(filled) == 1:
            return filled[0]
        new = cls()
        for part in filled:
            new.kept.update((len(new) + row, kept) for row, kept in part.kept.items())
            new._extend(part._own(), part.others)  # noqa: SLF001 - its own kind
        return new

    def _own(self) -> tuple[list[Any], ...]:
        return (self.indexes, self.project_ids, self.ids, self.id_hashes, self.content_hashes)

    def _extend(self, own: Iterable[list[Any]], others: Sequence[list[Any]]) -> None:
        for column, more in zip(self._own(), own, strict=True):
            column.extend(more)
        if not self.others:
            self.others = [[] for _ in others]
        for column, more in zip(self.others, others, strict=True):
            column.extend(more)


@dataclass(slots=True)
class Judged:
    """Events that are going to be stored, and what preparation found about them; by row.

    Attributes:
        indexes: Places in the request's batch.
        events: What was sent, attributed.
        ids: Event ids.
        contents: See `event_content`.
        names: Canonical names.
        units: Whose they are; empty without analytics consent.
        times: When they happened, aware.
        private: Rows without analytics consent.
        bots: Rows that are set aside.
        codes: Codes of warnings by row, joined by commas.
        kept: Match data and contact by row.
    """

    indexes: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    times: list[dt.datetime] = field(default_factory=list)
    private: set[int] = field(default_factory=set)
    bots: set[int] = field(default_factory=set)
    codes: dict[int, str] = field(default_factory=dict)
    kept: dict[int, Kept] = field(default_factory=dict)


def numbered(table: str, columns: Sequence[Sequence[Any]], sequences: range) -> pa.Table:
    """Make an Arrow table of columns in schema order that lack `sequence`."""
    schema = SCHEMAS[table]
    if len(sequences) <= FEW:
        records = list(zip(columns[0], sequences, *columns[1:], strict=True))
        return pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array(records, _RECORDS[table]))])
    rows = pa.array(np.arange(sequences.start, sequences.stop, sequences.step))
    others = [_array(column, kind) for column, kind in zip(columns[1:], schema.types[2:], strict=True)]
    return pa.table([pa.array(columns[0], schema.types[0]), rows, *others], schema=schema)


def _array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    # Two thirds of what `pa.array` takes for an event would go to aware datetimes and to columns that nobody fills.
    if column and column[0] is None and column.count(None) == len(column):
        return pa.nulls(len(column), kind)
    if pa.types.is_timestamp(kind):
        return pa.array([moment - _EPOCH for moment in column], pa.duration(kind.unit)).view(kind)
    return pa.array(column, kind)


def event_content(event: Event, name: str) -> bytes:
    """Write down what was sent, for telling a repeat from other content under the same id.

    Contacts, IP and user agent stay out: not even a hash of them goes into the event store.
    """
    context = event.context
    if context.ip is not None or context.user_agent is not None:
        context = msgspec.structs.replace(context, ip=None, user_agent=None)
    return _encode_sorted(
        (
            name,
            event.timestamp,
            event.user_id,
            event.anonymous_id,
            event.session_id,
            event.properties,
            event.value,
            event.currency,
            context,
            event.consent,
        )
    )


def exposure_content(exposure: Exposure) -> bytes:
    """Write down what was sent, likewise."""
    return _encode(msgspec.structs.replace(exposure, exposure_id=None))


def _event_columns(judged: Judged, received_at: dt.datetime) -> list[list[Any]]:
    # In the order of EVENT_SCHEMA, from `name` on.
    events, rows = judged.events, len(judged.events)
    persons = [
        [event.user_id for event in events],
        [event.anonymous_id for event in events],
        [event.session_id for event in events],
    ]
    for row in judged.private:
        for column in persons:
            column[row] = None
    bots = [False] * rows
    for row in judged.bots:
        bots[row] = True
    return [
        judged.names,
        judged.times,
        [received_at] * rows,
        judged.units,
        *persons,
        [event.value for event in events],
        [event.currency for event in events],
        *_context_columns([event.context for event in events]),
        [_encode(event.properties) if event.properties else b"{}" for event in events],
        *_consent_columns([event.consent for event in events]),
        bots,
        list(map(judged.codes.get, range(rows))) if judged.codes else [None] * rows,
    ]


def _context_columns(contexts: list[Context]) -> list[list[Any]]:
    if contexts.count(_NO_CONTEXT) == len(contexts):
        return [[None] * len(contexts)] * 6
    return [
        [_canonical(context.source) for context in contexts],
        [_canonical(context.medium) for context in contexts],
        [_canonical(context.campaign) for context in contexts],
        [context.device for context in contexts],
        [context.page for context in contexts],
        [context.country for context in contexts],
    ]


def _consent_columns(consents: list[ConsentSignals]) -> list[list[Any]]:
    if consents.count(_NO_CONSENT) == len(consents):
        return [[None] * len(consents)] * 4
    return [
        [consent.analytics for consent in consents],
        [consent.ad_user_data for consent in consents],
        [consent.ad_personalization for consent in consents],
        [consent.email for consent in consents],
    ]


def _canonical(text: str | None) -> str | None:
    return canonical_name(text) or None if text else None
