"""Who runs Python next."""

from __future__ import annotations

import threading

import pytest

from optimizer.ingest.floor import Floor


def test_the_writer_goes_before_requests_that_waited_longer() -> None:
    floor, order, asked = Floor(), [], threading.Event()

    def request() -> None:
        asked.set()
        with floor.request():
            order.append("request")

    def write() -> None:
        with floor.writer():
            order.append("writer")

    with floor.request():
        threads = [threading.Thread(target=request), threading.Thread(target=write)]
        threads[0].start()
        asked.wait(10)
        threads[1].start()
        while floor.writer_rests.is_set():
            threads[1].join(0.001)
        order.append("first")
    for thread in threads:
        thread.join(10)
    assert order == ["first", "writer", "request"]


@pytest.mark.parametrize("hold", ["request", "writer"])
def test_the_floor_is_free_again_after_an_error(hold: str) -> None:
    floor = Floor()
    with pytest.raises(KeyError), getattr(floor, hold)():
        raise KeyError
    done = threading.Event()

    def request() -> None:
        with floor.request():
            done.set()

    threading.Thread(target=request, daemon=True).start()
    assert done.wait(10)
