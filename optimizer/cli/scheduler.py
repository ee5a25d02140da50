"""`optimizer scheduler`: runs the scheduled jobs and nothing else; start as many as you like, one runs each slot."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from optimizer.cli._logging import configure_logging
from optimizer.cli._options import data_dir_option
from optimizer.cli._shared import refuse_embedded
from optimizer.cli._stops import await_stop, write_stops
from optimizer.settings import load


@click.command()
@data_dir_option
@click.option("--log-level", help="debug, info, warning or error [default: info].")
def command(**flags: Any) -> None:  # noqa: ANN401 - click hands over the declared options
    r"""Run the scheduled jobs beside `optimizer web`; several of these are safe.

    \b
    Examples:
      OPTIMIZER_EVENTS_URL=clickhouse://… OPTIMIZER_DATABASE_URL=postgresql+psycopg://… optimizer scheduler
    """
    from optimizer.app import close_app, create_app  # noqa: PLC0415 - imported only when the command runs

    settings = load({**flags, "scheduler": True})
    configure_logging(settings.log_level)
    refuse_embedded(settings, "scheduler")
    signals = write_stops()
    app = create_app(settings)
    Console(stderr=True).print("[bold]optimizer[/] scheduler ready", highlight=False)
    await_stop(signals)
    close_app(app)
