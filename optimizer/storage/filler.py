"""Takes records of the journal into the engine, many at once, behind those who wait for the journal alone.

Whoever reads asks first that everything acknowledged before be taken in, so that nobody sees less than was stored.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from optimizer.errors import BusyError
from optimizer.storage.journal import Record

FILL_BYTES = 8_000_000  # taken in at once without waiting for more
FILL_SECONDS = 0.5  # or after this time; who reads does not wait for it
MOST_BYTES = 64_000_000  # may wait in memory; then writers wait too
RETRY_SECONDS = 0.5
log = structlog.get_logger(__name__)


class Filler:
    """A thread that applies records in order.

    Args:
        apply: Takes records in, in one commit. On a BusyError nothing was taken in, and they are offered again.
    """

    def __init__(self, apply: Callable[[Sequence[Record]], None]) -> None:
        self._apply = apply
        self._waiting: deque[Record] = deque()
        self._bytes = 0
        self._since = 0.0
        self._added = self._applied = 0
        self._attempt = self._failed = 0  # the number of the one that runs or ran last, and of the last that failed
        self._failure: BusyError | None = None
        self._asked = self._closing = self._ended = False
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def admit(self) -> None:
        """Wait for room.

        Raises:
            BusyError: The engine takes nothing in at present.
        """
        if self._failure is not None:
            self.settle()
        with self._condition:
            self._condition.wait_for(lambda: self._bytes < MOST_BYTES or self._failure is not None)
            if self._failure is not None:
                raise self._failure

    def add(self, record: Record) -> None:
        """Take over a record that is safe in the journal."""
        with self._condition:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(record)
            self._bytes += record.size
            self._added = record.position
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="event-filler", daemon=True)
                self._thread.start()
            elif len(self._waiting) == 1 or self._bytes >= FILL_BYTES:
                self._condition.notify_all()

    def settle(self) -> None:
        """Wait until everything that was added before is in the engine.

        Raises:
            BusyError: An attempt that began after the call failed, or there will be none.
        """
        wanted = self._added
        if self._applied >= wanted:
            return
        with self._condition:
            attempt = self._attempt + 1
            self._asked = True
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._applied >= wanted or self._failed >= attempt or self._ended)
            if self._applied < wanted and self._failure is not None:
                raise self._failure

    def close(self) -> bool:
        """Take in what waits, end the thread; return whether everything was taken in."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()
        with self._condition:
            self._ended = True  # whoever still waits is not left waiting
            self._condition.notify_all()
        return not self._waiting

    def _run(self) -> None:
        while True:
            records = self._next()
            if not records:
                return
            try:
                self._apply(records)
                failure = None
            except BusyError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - the records are acknowledged: they are offered until they are taken
                failure = BusyError(f"The event store could not take events in ({type(error).__name__}).")
            self._note(records, failure)
            if failure is not None and self._closing:
                return

    def _next(self) -> list[Record]:
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closing)
            due = self._since + FILL_SECONDS if self._failure is None else time.monotonic() + RETRY_SECONDS
            while not (self._asked or self._closing or (self._bytes >= FILL_BYTES and self._failure is None)):
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._condition.wait(left)
            self._asked = False
            self._attempt += 1
            return self._taken()

    def _taken(self) -> list[Record]:
        taken: list[Record] = []
        size = 0
        for record in self._waiting:
            if taken and size + record.size > MOST_BYTES // 2:
                break
            taken.append(record)
            size += record.size
        return taken

    def _note(self, records: Sequence[Record], failure: BusyError | None) -> None:
        with self._condition:
            if failure is None:
                for record in records:
                    self._waiting.popleft()
                    self._bytes -= record.size
                self._applied = records[-1].position
                self._since = time.monotonic()
            else:
                self._failed = self._attempt
                if self._failure is None:
                    log.error("fill_failed", records=len(records), reason=failure.detail)
            self._failure = failure
            self._condition.notify_all()
