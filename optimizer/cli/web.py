"""`optimizer web`: answers HTTP in several processes, beside others on this machine or elsewhere; runs no jobs."""

from __future__ import annotations

import os
from typing import Any

import click

from optimizer.cli._logging import configure_logging
from optimizer.cli._options import data_dir_option
from optimizer.cli._server import address, announce, reserve_port, run
from optimizer.cli._shared import refuse_embedded
from optimizer.cli.serve import first_start
from optimizer.settings import load


@click.command()
@data_dir_option
@click.option("--host", help="Address to listen on [default: 127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on; 0 picks a free one [default: 8000].")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=os.cpu_count() or 1, help="Processes [default: cores]."
)
@click.option("--threads", type=int, help="Requests each process serves at the same time [default: 32].")
@click.option("--log-level", help="debug, info, warning or error [default: info].")
def command(workers: int, **flags: Any) -> None:  # noqa: ANN401 - click hands over the declared options
    r"""Answer HTTP in several processes; needs ClickHouse for events. Run `optimizer scheduler` beside it.

    \b
    Examples:
      export OPTIMIZER_DATABASE_URL=postgresql+psycopg://optimizer@db/optimizer
      export OPTIMIZER_EVENTS_URL=clickhouse://optimizer@events:8123/optimizer
      export OPTIMIZER_SECRET_KEY=…                  the same for every process
      optimizer web --host 0.0.0.0 --workers 8
    """
    settings = load({**flags, "scheduler": False})
    configure_logging(settings.log_level)
    refuse_embedded(settings, "web")
    reserved = reserve_port(settings)
    announce(settings, address(settings, reserved), first_start(settings))
    run(settings, reserved, workers)
