"""`optimizer serve`: web, scheduler and both embedded stores in one process, with Gunicorn in front.

Gunicorn's parent prepares the control plane and then forks one worker with many threads. Everything that must not
cross a fork (DuckDB, the writer thread, the scheduler) is opened in the worker. On SIGTERM the worker finishes its
requests, writes out what was acknowledged and releases its jobs.
"""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication
from rich.console import Console

from optimizer.cli._lock import data_folder_lock
from optimizer.cli._logging import configure_logging
from optimizer.cli._options import data_dir_option
from optimizer.settings import Settings, load

GRACEFUL_SECONDS = 30
KEEP_ALIVE_SECONDS = 15
GARBAGE_THRESHOLDS = (100_000, 20, 100)


@click.command()
@data_dir_option
@click.option("--host", help="Address to listen on [default: 127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on; 0 picks a free one [default: 8000].")
@click.option("--threads", type=int, help="Requests served at the same time [default: 16].")
@click.option("--log-level", help="debug, info, warning or error [default: info].")
def command(**flags: Any) -> None:  # noqa: ANN401 - click hands over the declared options
    r"""Start everything in one process.

    \b
    Examples:
      optimizer serve
      optimizer serve --data-dir /srv/optimizer --host 0.0.0.0 --port 80
      OPTIMIZER_BOOTSTRAP_KEY=… optimizer serve        unattended set-up
    """
    settings = load(flags)
    configure_logging(settings.log_level)
    listener = _listen(settings)
    url = f"http://{_shown_host(settings.host)}:{listener.getsockname()[1]}"
    with data_folder_lock(settings.data_dir, url):
        key = _first_start(settings)
        _announce(settings, url, key)
        _Server(settings, listener).run()


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn carries no types
    """Gunicorn with our settings, without any file of its own."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": 1,
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


def _listen(settings: Settings) -> socket.socket:
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


def _first_start(settings: Settings) -> str | None:
    from optimizer.app import prepare_control  # noqa: PLC0415 - after the lock was taken
    from optimizer.catalog.keys import create_key, list_keys  # noqa: PLC0415
    from optimizer.catalog.projects import ensure_default_project  # noqa: PLC0415
    from optimizer.storage.tables.base import utc_now  # noqa: PLC0415

    control, _, made = prepare_control(settings)
    if made:
        Console(stderr=True).print(
            f"[yellow]note[/] a secret key was generated at {settings.data_dir / 'secret.key'}. "
            "Back it up apart from the data: without it stored credentials and contacts cannot be read.",
            highlight=False,
        )
    key = None
    with control.session() as session:
        project_id = ensure_default_project(session).id or 0
        if not list_keys(session, project_id):
            _, key = create_key(session, project_id, "admin", "first key", now=utc_now())
    control.close()
    return key


def _announce(settings: Settings, url: str, key: str | None) -> None:
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


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - already loaded by the control plane

    return make_url(url).render_as_string(hide_password=True)


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say_ready(worker: Any) -> None:  # noqa: ANN401 - gunicorn's worker
    # A batch is thousands of short-lived objects, and the collector would walk all of them again and again: a quarter
    # of the time an event takes. What lives as long as the process is left out of its walks.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    worker.log.info("ready (worker %s)", os.getpid())


def _close(server: Any, worker: Any) -> None:  # noqa: ANN401 - gunicorn's objects
    del server
    app = getattr(worker, "wsgi", None)
    if app is not None:
        from optimizer.app import close_app  # noqa: PLC0415

        close_app(app)
