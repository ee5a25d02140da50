"""How a process hears that it must stop: at any time, and once.

Python runs signal handlers in the main thread, which may sleep through a signal that comes as it falls asleep. So the
signals are written to a socket as they come, and whoever must know reads them there.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial

from granian import _signals
from granian._granian import WorkerSignal

STOPS = (signal.SIGTERM, signal.SIGINT)


def hold_stops_at_forks() -> None:
    """Have SIGTERM and SIGINT wait in every process forked from now on, until it takes them over."""
    hold, let_go = (partial(signal.pthread_sigmask, how, STOPS) for how in (signal.SIG_BLOCK, signal.SIG_UNBLOCK))
    os.register_at_fork(before=hold, after_in_parent=let_go)


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
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
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


def stop_with_parent(lifeline: tuple[int, int]) -> None:
    """Stop a worker as by SIGTERM once its first process is gone, which else would tell it: when that one was killed.

    Args:
        lifeline: Both ends of a pipe that the first process made and keeps open.
    """
    read, written = lifeline
    os.close(written)

    def watch() -> None:
        os.read(read, 1)  # nothing is ever written: it ends when nobody could
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
