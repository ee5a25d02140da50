"""Granian with our settings, for the commands that answer HTTP.

Everything that must not cross a fork (the event store, the writer thread, the scheduler) is opened in the workers.
HTTP is read and written outside the interpreter's lock, which leaves it to the work.
"""

from __future__ import annotations

import multiprocessing.util
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server as Granian
from rich.console import Console

from optimizer.cli._bulk import suit_batches
from optimizer.cli._stops import hear_stops, hold_stops_at_forks, stop_with_parent
from optimizer.errors import OptimizerError
from optimizer.settings import Settings

GRACEFUL_SECONDS = 30
IDLE_MILLISECONDS = 15_000  # a connection that asks nothing is closed, as is one that does not finish its headers
HEAD_BYTES = 65_536
CONNECTIONS = 2_048
BEFORE_OTHERS = 100  # among what a worker does at its end
READY_SECONDS = 30.0
ERRORS = {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"}


def run(settings: Settings, reserved: socket.socket, workers: int = 1) -> None:
    """Answer until SIGTERM or SIGINT.

    Args:
        settings: Frozen settings.
        reserved: From `reserve_port`; keeps the port while the workers start.
        workers: Processes that answer, each with its own threads.
    """
    host, port = reserved.getsockname()[:2]
    hold_stops_at_forks()
    Granian(
        "optimizer",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=settings.threads,
        backlog=CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=IDLE_MILLISECONDS, max_buffer_size=HEAD_BYTES),
        websockets=False,
        log_level=LogLevels.error,
        log_dictconfig={"handlers": {"console": ERRORS, "access": ERRORS}},
        respawn_failed_workers=True,
        workers_kill_timeout=GRACEFUL_SECONDS,
    ).serve(target_loader=partial(_load, settings, (host, port), os.pipe()), wrap_loader=False)


def reserve_port(settings: Settings) -> socket.socket:
    """Reserve the port, before anything else is opened; the workers bind it too, and they alone listen.

    Raises:
        click.ClickException: It is taken; says what to do.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:  # sees others, who may share the port as well
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
            address = probe.getsockname()
        reserved = socket.socket(family, socket.SOCK_STREAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Choose another --port."
        ) from None
    return reserved


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


def address(settings: Settings, reserved: socket.socket) -> str:
    """Return the URL that people can open."""
    return f"http://{_shown_host(settings.host)}:{reserved.getsockname()[1]}"


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - already loaded by the control plane

    return make_url(url).render_as_string(hide_password=True)


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _load(settings: Settings, where: tuple[str, int], lifeline: tuple[int, int]) -> Callable[..., Any]:
    # Runs in each worker, after the fork.
    from optimizer.api._context import EXTENSION  # noqa: PLC0415 - opened after the fork, imported only when needed
    from optimizer.app import close_app, create_app  # noqa: PLC0415

    watch_stops = hear_stops()
    stop_with_parent(lifeline)
    try:
        app = create_app(settings)
    except OptimizerError as error:
        click.echo(f"Error: {error.detail}", err=True)
        sys.exit(1)
    suit_batches()
    watch_stops(app.extensions[EXTENSION].stopping)
    multiprocessing.util.Finalize(None, close_app, (app,), exitpriority=BEFORE_OTHERS)  # once all are answered
    threading.Thread(target=_say_ready, args=(where,), daemon=True).start()
    return app


def _say_ready(where: tuple[str, int]) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection(where, timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            click.echo(f"ready (worker {os.getpid()})", err=True)
            return
