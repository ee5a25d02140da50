"""The log of batches: what was acknowledged is read again, half a write is not, and what was taken in goes."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.errors import ConfigurationError
from optimizer.storage import journal as module
from optimizer.storage.journal import Journal
from tests.storage.test_events import event, events


def written(path: Path, numbers: range) -> Journal:
    journal = Journal(path)
    assert list(journal.records(after=0)) == []
    for number in numbers:
        assert journal.append(events(event(number))).position == number
    return journal


def numbers_in(path: Path, *, after: int = 0) -> list[int]:
    found = list(Journal(path).records(after=after))
    assert [record.position for record in found] == list(range(after + 1, after + 1 + len(found)))
    return [number for record in found for number in record.batches["events"]["sequence"].to_pylist()]


def segments(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.journal"))


def test_another_process_reads_what_was_not_taken_in(tmp_path: Path) -> None:
    path = tmp_path / "e"
    written(path, range(1, 8))
    assert numbers_in(path) == [1, 2, 3, 4, 5, 6, 7]
    assert numbers_in(path, after=5) == [6, 7]


def test_it_continues_behind_what_it_read(tmp_path: Path) -> None:
    path = tmp_path / "e"
    written(path, range(1, 4)).close()
    again = Journal(path)
    assert len(list(again.records(after=2))) == 1
    assert again.append(events(event(4))).position == 4
    assert numbers_in(path) == [1, 2, 3, 4]


@given(cut=st.integers(1, 200))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_end_that_was_not_wholly_written_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "e"
    written(path, range(1, 4)).close()
    [segment] = segments(path)
    os.truncate(segment, segment.stat().st_size - cut)
    assert numbers_in(path) == [1, 2]


def test_an_end_whose_content_never_reached_the_disk_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "e"
    written(path, range(1, 4)).close()
    [segment] = segments(path)
    with segment.open("ab") as file:
        file.write(bytes(500))
    assert numbers_in(path) == [1, 2, 3]


def test_a_damaged_record_is_never_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "e"
    written(path, range(1, 4)).close()
    [segment] = segments(path)
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"damaged at byte \d+.*truncate -s"):
        numbers_in(path)


def test_segments_go_once_everything_in_them_was_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    path = tmp_path / "e"
    journal = written(path, range(1, 5))
    assert len(segments(path)) == 4
    journal.release(2)
    assert numbers_in(path, after=2) == [3, 4]
    journal.release(4)
    assert len(segments(path)) == 1  # that which is written to
    journal.release(4, all_segments=True)
    assert segments(path) == []
    assert journal.append(events(event(5))).position == 5


def test_after_a_write_that_failed_nothing_stands_half(tmp_path: Path) -> None:
    path = tmp_path / "e"
    journal = written(path, range(1, 3))
    [segment] = segments(path)
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 100, free[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append(events(event(3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
    assert numbers_in(path) == [1, 2]
    assert journal.append(events(event(4))).position == 3
    assert numbers_in(path) == [1, 2, 4]
