"""Exact deduplication by (project, id), across restarts, at a cost that does not grow with what is stored.

A filter says of almost every new id that it is new; of the few others sorted arrays of the 64-bit hashes of every
stored id tell whether they are. Ids added since are in a small set that becomes an array now and then. Only a hash
that was seen before is checked against the store, so two different ids that share a hash are both kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b

import numpy as np

from optimizer.ingest.seen import Hashes, SeenFilter
from optimizer.storage.events import EventStore

RUN_AT = 50_000
# An array is merged into the one before it when that is less than so many times as long: the longest is rewritten
# rarely, and there are never many to look through. A thread does it (10 M ids take up to half a second).
STEP = 4
FEW = 50  # so many are looked up one by one: NumPy would let go of the interpreter's lock for each array


def hash_id(project_id: int, identifier: str) -> int:
    """Hash (project, id) to a signed 64-bit integer."""
    return hash_bytes(f"{project_id}\0{identifier}".encode())


def hash_bytes(content: bytes) -> int:
    """Hash bytes to a signed 64-bit integer (BLAKE2b)."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)


def hash_ids(project_id: int, identifiers: Iterable[str]) -> list[int]:
    """Hash many ids of one project, each as `hash_id` does."""
    return hash_many([identifier.encode() for identifier in identifiers], prefix=f"{project_id}\0".encode())


def hash_many(contents: Iterable[bytes], *, prefix: bytes = b"") -> list[int]:
    """Hash many, each with the prefix before it as `hash_bytes` does."""
    begun = blake2b(prefix, digest_size=8).copy  # a copy takes two thirds of what a new one takes
    digests = []
    for content in contents:
        hashing = begun()
        hashing.update(content)
        digests.append(hashing.digest())
    hashes: list[int] = np.frombuffer(b"".join(digests), "<i8").tolist()
    return hashes


class Deduplicator:
    """Remembers the ids of one table. Used by the writer thread alone.

    Args:
        store: Where suspected duplicates are verified.
        table: One of those that `ID_COLUMN` names.
    """

    def __init__(self, store: EventStore, table: str) -> None:
        self._store = store
        self._table = table
        self._runs: list[Hashes] = []  # sorted, the longest first but for those not merged yet
        self._merger = ThreadPoolExecutor(1, thread_name_prefix=f"{table}-ids")
        self._merging: tuple[int, Future[Hashes]] | None = None  # place of two runs, and what they become
        self._filter: SeenFilter  # what is in the runs
        self._recent: set[int] = set()
        self.last_sequence = 0
        self.reload()

    def reload(self) -> None:
        """Read what is stored: at the start, and after a commit whose outcome nobody knows."""
        stored = self._store.stored_ids(self._table)
        self.last_sequence = stored.last_sequence
        self._merging = None
        self._runs = [np.sort(np.asarray(stored.id_hashes.to_numpy(zero_copy_only=False), np.int64))]
        self._filter = SeenFilter(self._runs)
        self._recent.clear()

    def suspects(self, id_hashes: Sequence[int]) -> list[int]:
        """Return the id hashes that were seen before: those of repeats, and next to no others."""
        perhaps = self._filter.perhaps(np.array(id_hashes, np.int64))
        seen = self._in_runs(perhaps) if len(perhaps) else []
        if not self._recent.isdisjoint(id_hashes):
            seen += [value for value in id_hashes if value in self._recent]
        return seen

    def stored(self, suspects: Sequence[int]) -> dict[tuple[int, str], int]:
        """Read which ids are stored under these hashes, with what content: (project, id) to content hash."""
        if not suspects:
            return {}
        found = self._store.find_by_id_hash(self._table, suspects).to_pylist()
        return {(row["project_id"], row["id"]): row["content_hash"] for row in found}

    def remember(self, id_hashes: Sequence[int]) -> None:
        """Add ids that are now stored."""
        self._recent.update(id_hashes)
        if len(self._recent) >= RUN_AT:
            self._runs.append(np.sort(np.fromiter(self._recent, np.int64, len(self._recent))))
            self._recent.clear()
            if self._filter.room < len(self._runs[-1]):
                self._filter = SeenFilter(self._runs)
            else:
                self._filter.add(self._runs[-1])
        self._merge()

    def _merge(self) -> None:
        if self._merging is not None:
            place, merged = self._merging
            if not merged.done():
                return
            if merged.exception() is None:  # else memory did not suffice: both stay, and it is tried again
                self._runs[place : place + 2] = [merged.result()]
            self._merging = None
        for place in range(len(self._runs) - 2, -1, -1):
            longer, shorter = self._runs[place : place + 2]
            if len(longer) < STEP * len(shorter):
                self._merging = place, self._merger.submit(_merged, longer, shorter)
                return

    def _in_runs(self, hashes: Hashes) -> list[int]:
        seen: list[int] = []
        if len(hashes) <= FEW:
            for run in filter(len, self._runs):
                view = memoryview(run)  # type: ignore[arg-type] # its items are plain integers
                for value in hashes.tolist():
                    place = bisect_left(view, value)
                    if place < len(run) and view[place] == value:
                        seen.append(value)
            return seen
        # Sorted, because neighbours then share their way through memory: a third of the time at 10 M ids.
        wanted = np.sort(hashes)
        for run in filter(len, self._runs):
            places = np.minimum(np.searchsorted(run, wanted), len(run) - 1)
            seen += wanted[run[places] == wanted].tolist()
        return seen


def _merged(longer: Hashes, shorter: Hashes) -> Hashes:
    # A stable sort merges two sorted runs in one pass, a tenth of what sorting anew takes.
    return np.sort(np.concatenate([longer, shorter]), kind="stable")
