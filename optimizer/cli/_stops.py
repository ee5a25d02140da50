"""How a process hears that it must stop: at any time, and once.

Python runs signal handlers in the main thread, which may sleep through a signal that comes as it falls asleep. So the
signals are written to a socket as they come, and whoever must know reads them there.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

from granian import _signals
from granian._granian import WorkerSignal

STOPS = (signal.SIGTERM, signal.SIGINT)


def write_stops() -> socket.socket:
    """Have SIGTERM and SIGINT written, instead of what they did before; call it in the main thread.

    Returns:
        Where they are read, see `await_stop`; keep it to the end, for what is written must have a reader.
    """
    signals, written = socket.socketpair()
    written.settimeout(0)
    signal.set_wakeup_fd(written.detach(), warn_on_full_buffer=False)  # never closed
    for number in STOPS:
        signal.signal(number, lambda *_: None)
    return signals


def await_stop(signals: socket.socket) -> None:
    """Wait for the next SIGTERM or SIGINT, also one that came before."""
    while signals.recv(1)[0] not in STOPS:
        pass


def hear_stops() -> Callable[[threading.Event], None]:
    """Take a worker's stop signals over from Granian; call it first, and in the main thread.

    Granian hears them only from when it serves, so that one before is lost; and a later one, as terminals and service
    managers tell every process and Granian's first process tells its workers again, can block the main thread, and
    with it the requests in flight. Here a thread reads them, and Granian is told once.

    Returns:
        Begins to read, and takes what is to be set before Granian ends: a stream would hold its thread, and with it
        the stop, until patience ends.
    """
    signals, ending = write_stops(), WorkerSignal()
    _signals.set_sync_signals = lambda: ending

    def read(stopping: threading.Event) -> None:
        await_stop(signals)
        stopping.set()
        ending.set()
        while True:  # later ones change nothing
            await_stop(signals)

    return lambda stopping: threading.Thread(target=read, args=(stopping,), name="stop-watch", daemon=True).start()
