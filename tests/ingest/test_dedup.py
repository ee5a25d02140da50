"""Whatever was remembered, in however many runs, is suspected when it comes again; nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.ingest import dedup
from optimizer.ingest.dedup import Deduplicator, hash_bytes, hash_id, hash_ids, hash_many
from optimizer.ingest.rows import Rows
from optimizer.ingest.seen import Hashes
from optimizer.storage.engines.duckdb import DuckDBEventStore

hashes = st.integers(-(2**63), 2**63 - 1)
batches = st.lists(st.lists(st.one_of(hashes, st.integers(0, 50)), max_size=40), max_size=12)


@pytest.fixture(scope="module")
def store() -> Iterator[DuckDBEventStore]:
    made = DuckDBEventStore(":memory:")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "RUN_AT", 5)


@pytest.mark.parametrize("few", [0, 50])  # looked up together, and one by one
@given(remembered=batches, asked=st.lists(st.one_of(hashes, st.integers(0, 50)), unique=True))
def test_exactly_what_was_remembered_is_suspected(
    store: DuckDBEventStore, few: int, remembered: list[list[int]], asked: list[int]
) -> None:
    found = Deduplicator(store, "events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup, "FEW", few)
        _exactly_suspected(found, remembered, asked)


def _exactly_suspected(found: Deduplicator, remembered: list[list[int]], asked: list[int]) -> None:
    for batch in remembered:
        found.remember(batch)
    known = {value for batch in remembered for value in batch}
    assert set(found.suspects(asked)) == known & set(asked)


def test_what_is_remembered_while_arrays_are_merged_is_suspected_too(
    store: DuckDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on, may_end, plainly = threading.Event(), threading.Event(), dedup._merged

    def slowly(longer: Hashes, shorter: Hashes) -> Hashes:
        going_on.set()
        may_end.wait(30)
        return plainly(longer, shorter)

    monkeypatch.setattr(dedup, "_merged", slowly)
    found = Deduplicator(store, "events")
    for first in range(0, 40, 5):
        found.remember(range(first, first + 5))
    assert going_on.wait(30)
    assert set(found.suspects(range(50))) == set(range(40))
    may_end.set()
    for first in range(40, 80, 5):
        _remember(found, range(first, first + 5))
    assert set(found.suspects(range(100))) == set(range(80))


def test_what_was_merged_of_before_a_reload_does_not_come_back(
    store: DuckDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, plainly = threading.Event(), dedup._merged

    def slowly(longer: Hashes, shorter: Hashes) -> Hashes:
        may_end.wait(30)
        return plainly(longer, shorter)

    monkeypatch.setattr(dedup, "_merged", slowly)
    found = Deduplicator(store, "events")
    for first in range(0, 40, 5):
        found.remember(range(first, first + 5))
    found.reload()  # the store holds none of them
    may_end.set()
    for first in range(40, 80, 5):
        _remember(found, range(first, first + 5))
    assert set(found.suspects(range(100))) == set(range(40, 80))


def test_arrays_that_cannot_be_merged_are_kept_apart(
    store: DuckDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(*_: Hashes) -> Hashes:
        raise MemoryError

    monkeypatch.setattr(dedup, "_merged", without_memory)
    found = Deduplicator(store, "events")
    for first in range(0, 80, 5):
        _remember(found, range(first, first + 5))
    assert set(found.suspects(range(100))) == set(range(80))


def _remember(found: Deduplicator, ids: Iterable[int]) -> None:
    """Remember, once what is being merged is."""
    if found._merging is not None:
        found._merging[1].exception(30)
    found.remember(list(ids))


@given(st.lists(st.text(max_size=20)), st.integers(1, 2**31 - 1))
def test_many_are_hashed_as_one_by_one(identifiers: list[str], project_id: int) -> None:
    assert hash_ids(project_id, identifiers) == [hash_id(project_id, one) for one in identifiers]
    contents = [one.encode() for one in identifiers]
    assert hash_many(contents) == [hash_bytes(one) for one in contents]


@given(st.lists(st.tuples(st.integers(1, 2), st.sampled_from("abcd"), st.sampled_from("xy"))))
def test_a_row_s_twin_is_the_first_of_its_id_in_its_project(sent: list[tuple[int, str, str]]) -> None:
    rows = Rows()
    first: dict[tuple[int, str], str] = {}
    expected = {}
    for place, (project_id, identifier, content) in enumerate(sent):
        rows.add(place, project_id, identifier, content.encode(), (content,))
        key = (project_id, identifier)
        if key in first:
            expected[place] = hash_bytes(first[key].encode())
        first.setdefault(key, content)
    twins = rows.twins({})
    assert twins == expected
    fresh = rows.without(twins)
    assert (
        dict(zip(zip(fresh.project_ids, fresh.ids, strict=True), fresh.others[0] if first else [], strict=True))
        == first
    )


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=5))
def test_joining_requests_keeps_every_row_in_order(requests: list[list[str]]) -> None:
    parts = []
    for identifiers in requests:
        part = Rows()
        for place, identifier in enumerate(identifiers):
            part.add(place, 1, identifier, b"", (identifier.upper(),))
        parts.append(part)
    joined = Rows.joined(parts)
    assert joined.ids == [identifier for identifiers in requests for identifier in identifiers]
    assert joined.indexes == [place for identifiers in requests for place in range(len(identifiers))]
    assert (joined.others[0] if joined.ids else []) == [identifier.upper() for identifier in joined.ids]
