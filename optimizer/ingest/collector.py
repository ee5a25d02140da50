"""Group commit: many requests' rows become one durable commit, and only then is any of them answered.

Requests hand their rows to one writer thread and wait. The writer takes everything that has queued up meanwhile,
removes duplicates, writes what may be kept of persons, commits the events, and answers all at once. The queue is
bounded in rows: when the disk falls behind, requests are refused with `BusyError` instead of filling memory.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from optimizer.catalog.definitions import record_seen
from optimizer.errors import BusyError, OptimizerError, UnknownOutcomeError
from optimizer.ingest import match_data
from optimizer.ingest.dedup import Deduplicator
from optimizer.ingest.prepare import Prepared
from optimizer.ingest.rows import Rows, numbered
from optimizer.storage.events import ID_COLUMN, WRITERS
from optimizer.storage.stores import Stores

MAXIMUM_GROUP_ROWS = 20_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a submission, by index in the request's batch.

    Attributes:
        duplicates: Rows whose id was stored before with the same content.
        differing: Rows whose id was stored before with other content; the first content was kept.
    """

    duplicates: Sequence[int]
    differing: Sequence[int]


@dataclass(slots=True)
class _Submission:
    project_id: int
    prepared: Prepared
    counts: list[tuple[Any, ...]]
    received_at: dt.datetime
    answer: Future[Receipt] = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return sum(len(getattr(self.prepared, name)) for name in ID_COLUMN) + len(self.counts)


class Collector:
    """The one writer of events of this process.

    Args:
        stores: Where rows go.
        queue_rows: Rows that may wait for the disk.
        timeout_seconds: How long a request waits for its commit.
    """

    def __init__(self, stores: Stores, *, queue_rows: int = 50_000, timeout_seconds: float = 30.0) -> None:
        self._stores = stores
        self._queue_rows = queue_rows
        self._timeout_seconds = timeout_seconds
        self._dedup = {table: Deduplicator(stores.events, table) for table in ID_COLUMN}
        counts = stores.events.table("counts").sequence.max().to_pyarrow().as_py() or 0
        self._sequence = max(counts, *(dedup.last_sequence for dedup in self._dedup.values()))
        self._uncertain = False
        self._slot = secrets.randbelow(WRITERS)
        self._waiting: deque[_Submission] = deque()
        self._waiting_rows = 0
        self._condition = threading.Condition()
        self._closing = False
        self._writer = threading.Thread(target=self._run, name="event-writer", daemon=True)
        self._writer.start()

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for the disk now."""
        return self._waiting_rows

    @property
    def alive(self) -> bool:
        """Whether the writer can take rows."""
        return self._writer.is_alive() and not self._closing

    def submit(
        self,
        project_id: int,
        prepared: Prepared,
        *,
        received_at: dt.datetime,
        counts: Sequence[tuple[Any, ...]] = (),
    ) -> Receipt:
        """Store a batch and return when it is on disk.

        Args:
            project_id: Whose rows.
            prepared: Events and exposures that passed preparation.
            received_at: When the request arrived.
            counts: Count rows in schema order without `sequence`.

        Raises:
            BusyError: The queue is full, the service is stopping, or the store could not commit. Nothing of this
                batch is acknowledged; it is safe to send it again.
        """
        submission = _Submission(project_id, prepared, list(counts), received_at)
        if not submission.rows:
            return Receipt((), ())
        with self._condition:
            if self._closing:
                raise BusyError("The service is stopping; nothing was stored. Send it again.", retry_after_seconds=5)
            if self._waiting_rows + submission.rows > self._queue_rows and self._waiting:
                raise BusyError("Too many events wait for the disk; nothing of this batch was stored. Send it again.")
            self._waiting.append(submission)
            self._waiting_rows += submission.rows
            self._condition.notify()
        try:
            return submission.answer.result(self._timeout_seconds)
        except FutureTimeoutError:
            detail = "The disk did not answer in time. Send it again: event ids keep repeats from counting twice."
            raise BusyError(detail, retry_after_seconds=5) from None

    def close(self) -> None:
        """Refuse new rows, write out what waits, and stop the writer."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._writer.join()

    def _run(self) -> None:
        while True:
            group = self._next_group()
            if not group:
                return
            try:
                self._answer(group)
            except (OptimizerError, SQLAlchemyError) as error:
                self._refuse(group, error)
            except Exception as error:  # noqa: BLE001 - the writer must outlive any single batch
                self._one_by_one(group, error)

    def _answer(self, group: list[_Submission]) -> None:
        for submission, receipt in zip(group, self._commit(group), strict=True):
            submission.answer.set_result(receipt)

    def _one_by_one(self, group: list[_Submission], error: Exception) -> None:
        # Something in one batch that nobody foresaw must not cost the others their commit.
        if len(group) == 1:
            self._refuse(group, error)
            return
        for submission in group:
            try:
                self._answer([submission])
            except Exception as own:  # noqa: BLE001 - as above
                self._refuse([submission], own)

    def _next_group(self) -> list[_Submission]:
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closing)
            group: list[_Submission] = []
            rows = 0
            while self._waiting and (not group or rows + self._waiting[0].rows <= MAXIMUM_GROUP_ROWS):
                submission = self._waiting.popleft()
                rows += submission.rows
                group.append(submission)
            self._waiting_rows -= rows
            return group

    def _append(self, batches: dict[str, pa.Table]) -> None:
        try:
            self._stores.events.append(batches)
        except UnknownOutcomeError:
            self._uncertain = True
            raise

    def _make_certain(self) -> None:
        # The last commit may have happened although it failed: its repeat must be recognised.
        for dedup in self._dedup.values():
            dedup.reload()
            self._sequence = max(self._sequence, dedup.last_sequence)
        self._uncertain = False

    def _commit(self, group: list[_Submission]) -> list[Receipt]:
        if self._uncertain:
            self._make_certain()
        incoming = {name: Rows.joined(getattr(one.prepared, name) for one in group) for name in self._dedup}
        incoming = {name: rows for name, rows in incoming.items() if rows}
        suspects = {name: self._dedup[name].suspects(rows.id_hashes) for name, rows in incoming.items()}
        stored = {name: self._dedup[name].stored(found) for name, found in suspects.items()}
        twins = {name: rows.twins(stored[name]) for name, rows in incoming.items()}
        fresh = {name: rows.without(twins[name]) if twins[name] else rows for name, rows in incoming.items()}
        batches = {name: self._numbered(name, rows.columns()) for name, rows in fresh.items() if rows}
        self._write_control(group, fresh["events"].kept.values() if "events" in fresh else ())
        counts = _last_of_each_key([values for submission in group for values in submission.counts])
        if counts:
            batches["counts"] = self._numbered("counts", list(zip(*counts, strict=True)))
        if batches:
            self._append(batches)
        for name, rows in fresh.items():
            self._dedup[name].remember(rows.id_hashes)
        return _receipts(group, incoming, twins)

    def _write_control(self, group: list[_Submission], kept: Collection[match_data.Kept]) -> None:
        named = [submission for submission in group if submission.prepared.new_names]
        if not kept and not named:
            return
        with self._stores.control.session() as session:
            match_data.write(session, self._stores.cipher, kept)
            for submission in named:
                seen = submission.prepared.new_names
                record_seen(session, submission.project_id, seen, now=submission.received_at)

    def _numbered(self, name: str, columns: Sequence[Sequence[Any]]) -> pa.Table:
        sequences = self._next_sequences(len(columns[0]))
        self._sequence = sequences[-1]
        return numbered(name, columns, sequences)

    def _next_sequences(self, wanted: int) -> range:
        if not self._stores.events.several_writers:
            return range(self._sequence + 1, self._sequence + 1 + wanted)
        # By the clock, so that writers that know nothing of each other number in about the order of arrival.
        first = max(time.time_ns() // 1000, self._sequence // WRITERS + 1)
        return range(first * WRITERS + self._slot, (first + wanted) * WRITERS + self._slot, WRITERS)

    def _refuse(self, group: list[_Submission], error: Exception) -> None:
        log.error("commit_failed", kind=type(error).__name__, rows=sum(submission.rows for submission in group))
        detail = "The store could not commit; nothing of this batch was stored. Send it again."
        if isinstance(error, BusyError):
            detail = error.detail
        for submission in group:
            submission.answer.set_exception(BusyError(detail, retry_after_seconds=2))


def _receipts(group: list[_Submission], incoming: dict[str, Rows], twins: dict[str, dict[int, int]]) -> list[Receipt]:
    # A repeated link is no item of the batch: a unit's first link holds.
    repeated = {name: found for name, found in twins.items() if found and name != "links"}
    if not repeated:
        return [Receipt((), ())] * len(group)
    receipts = []
    before = dict.fromkeys(repeated, 0)
    for submission in group:
        duplicates: list[int] = []
        differing: list[int] = []
        for name, found in repeated.items():
            own = range(before[name], before[name] + len(getattr(submission.prepared, name)))
            before[name] = own.stop
            rows = incoming[name]
            for row in own:
                if row in found:
                    same = found[row] == rows.content_hashes[row]
                    (duplicates if same else differing).append(rows.indexes[row])
        receipts.append(Receipt(duplicates, differing))
    return receipts


def _last_of_each_key(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    # project, system, date, name, dimensions, experiment, variant come first in a count row
    return list({row[:7]: row for row in rows}.values())
