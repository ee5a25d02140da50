"""Nothing that was added is ever taken for new, and next to nothing new for seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.ingest import seen
from optimizer.ingest.seen import SeenFilter

hashes = st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3)), max_size=60)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "LEAST_WORDS", 4)
    monkeypatch.setattr(seen, "PIECE", 7)
    monkeypatch.setattr(seen, "HELD", 5)


@given(runs=st.lists(hashes, max_size=4), later=hashes, others=hashes)
def test_what_was_added_is_perhaps_seen(runs: list[list[int]], later: list[int], others: list[int]) -> None:
    found = SeenFilter([np.array(sorted(run), np.int64) for run in runs])
    found.add(np.array(sorted(later), np.int64))
    known = {value for run in [*runs, later] for value in run}
    asked = np.array([*known, *others], np.int64)
    assert known <= set(found.perhaps(asked).tolist()) <= known | set(others)


@pytest.mark.parametrize(("words_filled", "most"), [(2, 0.0015), (4, 0.007)])
def test_few_new_ones_are_taken_for_seen(monkeypatch: pytest.MonkeyPatch, words_filled: int, most: float) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(seen, "LEAST_WORDS", 1 << 14)
    rng = np.random.default_rng(4)
    found = SeenFilter()
    found.add(np.sort(rng.integers(-(2**63), 2**63 - 1, words_filled << 14)))
    assert found.room == (4 - words_filled) << 14
    new = rng.integers(-(2**63), 2**63 - 1, 100_000)
    assert len(found.perhaps(new)) / len(new) < most


def test_it_is_made_with_room_for_as_many_again() -> None:
    assert SeenFilter([np.arange(1_000)]).room >= 1_000
