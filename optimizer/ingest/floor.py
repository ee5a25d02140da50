"""Decides which thread runs Python next: one batch in preparation at a time, and the writer before all of them.

Python runs one thread at a time anyway, but picks it blindly: the one writer, behind which every request waits, would
get its turn after each of the many that only make more work for it. The time in which DuckDB inserts and the disk
syncs belongs to the requests.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Floor:
    """Who may speak: requests one by one, and whenever the writer asks, it is next.

    Attributes:
        writer_rests: Whether the writer neither has nor wants the floor.
    """

    def __init__(self) -> None:
        self._queue = threading.Lock()
        self._taken = threading.Lock()
        self.writer_rests = threading.Event()
        self.writer_rests.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold the floor for one piece of a batch; short pieces keep the writer from waiting."""
        with self._queue:
            self.writer_rests.wait()
            with self._taken:
                yield

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Hold the floor as soon as the present piece is done."""
        self.writer_rests.clear()
        try:
            with self._taken:
                yield
        finally:
            self.writer_rests.set()
