"""Gunicorn with our settings, for the commands that answer HTTP.

Everything that must not cross a fork (the event store, the writer thread, the scheduler) is opened in the workers.
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication
from rich.console import Console

from optimizer.cli._bulk import suit_batches
from optimizer.settings import Settings

GRACEFUL_SECONDS = 30
KEEP_ALIVE_SECONDS = 15


class Server(BaseApplication):  # type: ignore[misc] # gunicorn carries no types
    """One address, answered by workers with many threads each; no file of its own."""

    def __init__(self, settings: Settings, listener: socket.socket, workers: int = 1) -> None:
        self._workers = workers
        self._settings = settings
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": self._workers,
            "worker_class": "gthread",
            "threads": self._settings.threads,
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - heartbeats stay off disk
            "graceful_timeout": GRACEFUL_SECONDS,
            "timeout": 120,
            "keepalive": KEEP_ALIVE_SECONDS,
            "loglevel": self._settings.log_level,
            "limit_request_line": 8190,
            "control_socket_disable": True,
            "post_worker_init": _say_ready,
            "worker_exit": _close,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:  # noqa: ANN401 - gunicorn's signature
        from optimizer.app import create_app  # noqa: PLC0415 - opened after the fork, and imported only when needed

        return create_app(self._settings)


def listen(settings: Settings) -> socket.socket:
    """Open the port, before anything else is opened.

    Raises:
        click.ClickException: It is taken; says what to do.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Choose another --port."
        ) from None
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


def announce(settings: Settings, url: str, key: str | None = None) -> None:
    """Tell the operator where everything is."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"[bold]optimizer[/] at [link={url}]{url}[/]")
    console.print(f"  docs     {url}/docs")
    console.print(f"  data     {settings.data_dir.resolve()}")
    console.print(f"  control  {_without_password(settings.control_url)}")
    console.print(f"  events   {_without_password(settings.event_store_url)}")
    if key:
        console.print(f"  admin key of the project `default`, shown this once:\n  [bold]{key}[/]")
    if not settings.listens_on_loopback:
        console.print("  [yellow]note[/] listening beyond this machine without TLS: put a TLS proxy in front.")


def address(settings: Settings, listener: socket.socket) -> str:
    """Return the URL that people can open."""
    return f"http://{_shown_host(settings.host)}:{listener.getsockname()[1]}"


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - already loaded by the control plane

    return make_url(url).render_as_string(hide_password=True)


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say_ready(worker: Any) -> None:  # noqa: ANN401 - gunicorn's worker
    suit_batches()
    _end_streams_first(worker)
    worker.log.info("ready (worker %s)", os.getpid())


def _end_streams_first(worker: Any) -> None:  # noqa: ANN401 - gunicorn's worker
    # A stream would hold its thread, and with it the stop, until gunicorn's patience ends.
    from optimizer.api._context import EXTENSION  # noqa: PLC0415 - already loaded by the application

    stopping = worker.wsgi.extensions[EXTENSION].stopping

    def stop(number: int, frame: Any) -> None:  # noqa: ANN401 - the signal module's signature
        stopping.set()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, stop)


def _close(server: Any, worker: Any) -> None:  # noqa: ANN401 - gunicorn's objects
    del server
    app = getattr(worker, "wsgi", None)
    if app is not None:
        from optimizer.app import close_app  # noqa: PLC0415

        close_app(app)
