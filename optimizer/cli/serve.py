"""`optimizer serve`: web, scheduler and both embedded stores in one process, with Granian in front.

The parent prepares the control plane and then forks one worker with many threads. Everything that must not
cross a fork (DuckDB, the writer thread, the scheduler) is opened in the worker. On SIGTERM the worker finishes its
requests, writes out what was acknowledged and releases its jobs.
"""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from optimizer.cli._lock import data_folder_lock
from optimizer.cli._logging import configure_logging
from optimizer.cli._options import data_dir_option
from optimizer.cli._server import address, announce, reserve_port, run
from optimizer.settings import Settings, load


@click.command()
@data_dir_option
@click.option("--host", help="Address to listen on [default: 127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on; 0 picks a free one [default: 8000].")
@click.option("--threads", type=int, help="Requests served at the same time [default: 32].")
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
    reserved = reserve_port(settings)
    url = address(settings, reserved)
    with data_folder_lock(settings.data_dir, url):
        key = first_start(settings)
        announce(settings, url, key)
        run(settings, reserved)


def first_start(settings: Settings) -> str | None:
    """Prepare the control plane and what workers share; return the first admin key if it was made just now."""
    from optimizer.app import load_parts, prepare_control  # noqa: PLC0415 - after the lock was taken
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
    load_parts()
    return key
