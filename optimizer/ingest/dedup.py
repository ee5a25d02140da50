"""Exact deduplication by (project, id), across restarts, at a cost that does not grow with what is stored.

Sorted arrays of the 64-bit hashes of every stored id answer almost every question alone; ids added since are in a
small set that becomes an array now and then. Only a hash that was seen before is checked against the store, so two
different ids that share a hash are both kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from optimizer.storage.events import EventStore

RUN_AT = 50_000
# An array is merged into the one before it when that is less than so many times as long: the longest is rewritten
# rarely (10 M ids take up to .2 s, for which every request waits), and there are never many to look through.
STEP = 4


def hash_id(project_id: int, identifier: str) -> int:
    """Hash (project, id) to a signed 64-bit integer."""
    return hash_bytes(f"{project_id}\0{identifier}".encode())


def hash_bytes(content: bytes) -> int:
    """Hash bytes to a signed 64-bit integer (BLAKE2b)."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)


def hash_ids(project_id: int, identifiers: Iterable[str]) -> list[int]:
    """Hash many ids of one project, each as `hash_id` does."""
    prefix = f"{project_id}\0"
    return hash_many([(prefix + identifier).encode() for identifier in identifiers])


def hash_many(contents: Iterable[bytes]) -> list[int]:
    """Hash many, each as `hash_bytes` does."""
    digests = b"".join([blake2b(content, digest_size=8).digest() for content in contents])
    hashes: list[int] = np.frombuffer(digests, "<i8").tolist()
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
        self._runs: list[NDArray[np.int64]] = []  # sorted, the longest first
        self._recent: set[int] = set()
        self.last_sequence = 0
        self.reload()

    def reload(self) -> None:
        """Read what is stored: at the start, and after a commit whose outcome nobody knows."""
        stored = self._store.stored_ids(self._table)
        self.last_sequence = stored.last_sequence
        self._runs = [np.sort(np.asarray(stored.id_hashes.to_numpy(zero_copy_only=False), np.int64))]
        self._recent.clear()

    def suspects(self, id_hashes: Sequence[int]) -> list[int]:
        """Return the id hashes that were seen before: those of repeats, and next to no others."""
        # Sorted, because neighbours then share their way through memory: a third of the time at 10 M ids.
        wanted = np.sort(np.asarray(id_hashes, np.int64))
        seen: list[int] = []
        for run in filter(len, self._runs):
            places = np.minimum(np.searchsorted(run, wanted), len(run) - 1)
            seen += wanted[run[places] == wanted].tolist()
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
        if len(self._recent) < RUN_AT:
            return
        self._runs.append(np.sort(np.fromiter(self._recent, np.int64, len(self._recent))))
        self._recent.clear()
        while len(self._runs) > 1 and len(self._runs[-2]) < STEP * len(self._runs[-1]):
            # A stable sort merges two sorted runs in one pass, a tenth of what sorting anew takes.
            merged = np.concatenate([self._runs[-2], self._runs.pop()])
            self._runs[-1] = np.sort(merged, kind="stable")
