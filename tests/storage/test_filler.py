"""Behind the journal: records reach the engine in order and once, readers wait for them, failures are tried again."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from optimizer.errors import BusyError
from optimizer.storage import filler as module
from optimizer.storage.filler import Filler
from optimizer.storage.journal import Record


class Engine:
    """Remembers what it took; fails while it is told to."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.commits = 0
        self.fails: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def apply(self, records: Sequence[Record]) -> None:
        assert self.gate.wait(30)
        if self.fails is not None:
            raise self.fails
        self.commits += 1
        self.taken += [record.position for record in records]


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def filler(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filler]:
    monkeypatch.setattr(module, "FILL_SECONDS", 60.0)
    monkeypatch.setattr(module, "RETRY_SECONDS", 60.0)
    made = Filler(engine.apply)
    yield made
    made.close()


def record(position: int, size: int = 10) -> Record:
    return Record(position, {}, size)


def test_whoever_settles_finds_everything_in_and_in_one_commit(filler: Filler, engine: Engine) -> None:
    for position in range(1, 101):
        filler.add(record(position))
    filler.settle()
    assert engine.taken == list(range(1, 101))
    assert engine.commits == 1


def test_settling_with_nothing_new_asks_nobody(filler: Filler, engine: Engine) -> None:
    filler.settle()
    filler.add(record(1))
    filler.settle()
    filler.settle()
    assert engine.commits == 1


def test_enough_bytes_are_taken_in_without_being_asked(filler: Filler, engine: Engine) -> None:
    filler.add(record(1))
    filler.add(record(2, size=module.FILL_BYTES))
    with filler._condition:
        assert filler._condition.wait_for(lambda: engine.taken == [1, 2], timeout=30)


def test_a_time_later_they_are_taken_in_without_being_asked(
    filler: Filler, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILL_SECONDS", 0.001)
    filler.add(record(1))
    with filler._condition:
        assert filler._condition.wait_for(lambda: engine.taken == [1], timeout=30)


@pytest.mark.parametrize("error", [BusyError("no room"), RuntimeError("nobody foresaw")])
def test_what_could_not_be_taken_in_is_offered_until_it_is(filler: Filler, engine: Engine, error: Exception) -> None:
    engine.fails = error
    filler.add(record(1))
    with pytest.raises(BusyError):
        filler.settle()
    with pytest.raises(BusyError):
        filler.admit()  # nothing more is acknowledged meanwhile
    engine.fails = None
    filler.admit()
    filler.add(record(2))
    filler.settle()
    assert engine.taken == [1, 2]


def test_writers_are_admitted_once_what_waits_in_memory_was_taken_in(filler: Filler, engine: Engine) -> None:
    engine.gate.clear()
    filler.add(record(1, size=module.MOST_BYTES))
    taken_when_admitted: list[list[int]] = []

    def write() -> None:
        filler.admit()
        taken_when_admitted.append(list(engine.taken))

    writer = threading.Thread(target=write)
    writer.start()
    engine.gate.set()
    writer.join(30)
    assert taken_when_admitted == [[1]]


def test_closing_takes_in_what_waits_and_says_whether_it_could(engine: Engine) -> None:
    filler = Filler(engine.apply)
    filler.add(record(1))
    assert filler.close()
    assert engine.taken == [1]
    other = Filler(engine.apply)
    engine.fails = BusyError("no room")
    other.add(record(2))
    assert not other.close()


def test_nobody_waits_for_what_will_never_be_taken_in(engine: Engine) -> None:
    filler = Filler(engine.apply)
    engine.fails = BusyError("no room")
    filler.add(record(1))
    assert not filler.close()
    with pytest.raises(BusyError):
        filler.settle()
