"""`optimizer move`: takes the events from the embedded store to ClickHouse, resumably, and proves that all came."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from optimizer.cli._lock import data_folder_lock
from optimizer.cli._options import data_dir_option
from optimizer.settings import load


@click.command()
@data_dir_option
@click.option("--to", "target", required=True, metavar="URL", help="clickhouse://user:password@host:8123/database")
def command(data_dir: Path | None, target: str) -> None:
    r"""Move events, exposures and counts to ClickHouse. Stop the service first; run again after a break.

    Nothing is deleted here: keep the data folder until the new store has served you for a while.

    \b
    Examples:
      optimizer move --to clickhouse://optimizer:…@events.example.com:8123/optimizer
    """
    from optimizer.ingest.moving import move  # noqa: PLC0415 - imported only when the command runs
    from optimizer.storage.open import open_event_store  # noqa: PLC0415 - same

    settings = load({"data_dir": data_dir})
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with data_folder_lock(settings.data_dir, "optimizer move"), Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def show(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = bar.add_task(f"Moving {table}", total=total)
            bar.update(tasks[table], completed=done)

        source, goal = open_event_store(settings.event_store_url), open_event_store(target)
        try:
            moved = move(source, goal, show)
        finally:
            source.close()
            goal.close()
    for one in moved:
        console.print(f"{one.table}: {one.rows:,} rows there, {one.copied:,} copied now; counts and checksums agree.")
    console.print("Now set OPTIMIZER_EVENTS_URL to the new store and start again.")
