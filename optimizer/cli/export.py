"""`optimizer export`: writes a project's events to a file that `optimizer import` reads."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from optimizer.cli._bulk import bulk_settings
from optimizer.cli._lock import data_folder_lock
from optimizer.cli._options import NewFile, data_dir_option
from optimizer.ingest.exporting import Wanted, pieces, writer

Moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


@click.command()
@click.argument("file", type=NewFile())
@click.option("--name", help="Only this event.")
@click.option("--from", "start", type=Moment, help="From this day or time on (UTC).")
@click.option("--to", "end", type=Moment, help="Before this day or time (UTC).")
@data_dir_option
@click.option("--project", default="default", show_default=True, help="Key of the project.")
def command(  # noqa: PLR0917 - click hands over the declared options
    file: Path,
    name: str | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    data_dir: Path | None,
    project: str,
) -> None:
    r"""Export events to FILE: CSV, JSON Lines (.jsonl) or Parquet, in the form that import reads.

    Events are written as they were sent, with names in canonical form; bots, contacts and match data are left out.
    With the embedded store, stop the service first.

    \b
    Examples:
      optimizer export everything.parquet
      optimizer export october.csv --name purchase --from 2026-10-01 --to 2026-11-01
    """
    from optimizer.app import open_stores  # noqa: PLC0415 - imported only when the command runs
    from optimizer.catalog.projects import find_project  # noqa: PLC0415 - same

    settings = bulk_settings(data_dir)
    console = Console(stderr=True, highlight=False)
    wanted = Wanted(name, _utc(start), _utc(end))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with data_folder_lock(settings.data_dir, "optimizer export"), Progress(*columns, console=console) as bar:
        task = bar.add_task(f"Exporting to {file.name}", total=None)
        out, stores, rows = writer(file), open_stores(settings), 0
        try:
            with stores.control.reading() as session:
                project_id = find_project(session, project).id or 0
            for piece in pieces(stores.events, project_id, wanted):
                out.write(piece)
                rows += piece.num_rows
                bar.update(task, description=f"Exporting to {file.name}: {rows:,} events")
        finally:
            out.close()
            stores.events.close()
            stores.control.close()
    console.print(f"Exported {rows:,} events to {file}.")


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return moment.replace(tzinfo=dt.UTC) if moment else None
