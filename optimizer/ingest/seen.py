"""Says of a 64-bit hash that it is certainly new, or perhaps not.

The writer asks it of every event while busy requests wait for the interpreter's lock. Searching sorted arrays lets go
of that lock again and again, and each time the writer stands in line for it; one look at one word does not. It is a
Bloom filter of one machine word a block (Putze, Sanders and Singler 2007, "Cache-, hash- and space-efficient Bloom
filters", section 3): what is sorted is added in one pass through memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.int64]
Words = NDArray[np.uint64]
WORD_BITS = 64
PROBES = 4
LEAST_WORDS = 1 << 21  # 16 MB, of which only what is written to takes memory
HASHES_PER_WORD = 4  # at most: of new hashes .5% are then taken for perhaps seen, with half as many .1%
PIECE = 1 << 16  # added at once: what fits into the processor's cache
HELD = 500  # NumPy keeps the interpreter's lock for up to so many elements


class SeenFilter:
    """Remembers hashes in four bits each.

    Args:
        runs: What is in it from the start; see `add`.
    """

    def __init__(self, runs: Sequence[Hashes] = ()) -> None:
        words = LEAST_WORDS
        while words * HASHES_PER_WORD < 2 * sum(map(len, runs)):
            words *= 2
        self.room = words * HASHES_PER_WORD
        self._shift = np.uint64(WORD_BITS + 1 - words.bit_length())
        zeros = mmap(-1, words * WORD_BITS // 8, flags=MAP_PRIVATE | MAP_ANONYMOUS)  # NumPy may write them all
        self._words: Words = np.frombuffer(zeros, np.uint64)
        for run in runs:
            self.add(run)

    def add(self, run: Hashes) -> None:
        """Remember sorted hashes; `room` says for how many more there are words enough."""
        self.room -= len(run)
        for start in range(0, len(run), PIECE):
            places, bits = self._spread(run[start : start + PIECE])
            first = np.flatnonzero(np.diff(places, prepend=places[:1] + 1))  # of those that share a word
            self._words[places[first]] |= np.bitwise_or.reduceat(bits, first)

    def perhaps(self, hashes: Hashes) -> Hashes:
        """Return those that may have been added: all that were, and few others."""
        pieces = [hashes[first : first + HELD] for first in range(0, len(hashes), HELD)]
        return np.concatenate([piece[self._all_set(piece)] for piece in pieces]) if pieces else hashes

    def _all_set(self, hashes: Hashes) -> NDArray[np.bool_]:
        places, bits = self._spread(hashes)
        found: NDArray[np.bool_] = (self._words[places] & bits) == bits
        return found

    def _spread(self, hashes: Hashes) -> tuple[NDArray[np.int64], Words]:
        # The highest bits choose the word, each six of the lowest a bit of it.
        plain = hashes.view(np.uint64)
        one, six, last = np.uint64(1), np.uint64(6), np.uint64(WORD_BITS - 1)
        bits = one << (plain & last)
        for probe in range(1, PROBES):
            bits |= one << ((plain >> (six * np.uint64(probe))) & last)
        return (plain >> self._shift).astype(np.int64), bits
