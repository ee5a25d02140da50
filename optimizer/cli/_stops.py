"""How a worker hears that it must stop: at any time, and once."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

from granian import _signals
from granian._granian import WorkerSignal

STOPS = (signal.SIGTERM, signal.SIGINT)


def hear_stops() -> Callable[[threading.Event], None]:
    """Take a worker's stop signals over from Granian; call it first, and in the main thread.

    Granian hears them in the main thread, and only from when it serves. It loses a stop that comes before, or just
    when that thread falls asleep; and a later one, as terminals and service managers tell every process and Granian's
    first process tells its workers again, can block the main thread together with the requests in flight. Here a
    thread reads them, and Granian is told once.

    Returns:
        Begins to read, and takes what is to be set before Granian ends: a stream would hold its thread, and with it
        the stop, until patience ends.
    """
    signals, written = socket.socketpair()
    written.settimeout(0)
    ending = WorkerSignal()
    signal.set_wakeup_fd(written.detach(), warn_on_full_buffer=False)  # never closed
    for number in STOPS:
        signal.signal(number, lambda *_: None)  # what matters is that it is written
    _signals.set_sync_signals = lambda: ending

    def read(stopping: threading.Event) -> None:
        while True:  # to the end: what is written must have a reader
            if signals.recv(1)[0] in STOPS and not stopping.is_set():
                stopping.set()
                ending.set()

    return lambda stopping: threading.Thread(target=read, args=(stopping,), name="stop-watch", daemon=True).start()
