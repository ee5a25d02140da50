"""`optimizer keys`: makes and lists keys directly in the control plane, also while the service runs."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from sqlmodel import Session

from optimizer.cli._options import data_dir_option
from optimizer.settings import load


@click.group()
def command() -> None:
    r"""Make and list API keys.

    \b
    Examples:
      optimizer keys create --scope ingest --name "shop tracker"
      optimizer keys list
    """


@command.command()
@data_dir_option
@click.option("--project", default="default", show_default=True, help="Key of the project it opens.")
@click.option(
    "--scope",
    type=click.Choice(["ingest", "read", "segments", "manage", "admin"]),
    required=True,
    help="What it may do.",
)
@click.option("--name", default="", help="What it is for.")
def create(data_dir: Path | None, project: str, scope: str, name: str) -> None:
    """Make a key and print it, this once, to standard output."""
    from optimizer.app import prepare_control  # noqa: PLC0415 - imported only when the command runs
    from optimizer.catalog.keys import create_key  # noqa: PLC0415
    from optimizer.storage.tables.base import utc_now  # noqa: PLC0415

    control, _, _ = prepare_control(load({"data_dir": data_dir}))
    with control.session() as session:
        _, key = create_key(session, _project_id(session, project), scope, name, now=utc_now())
    control.close()
    click.echo(key)


@command.command(name="list")
@data_dir_option
@click.option("--project", default="default", show_default=True, help="Key of the project.")
def list_(data_dir: Path | None, project: str) -> None:
    """List a project's keys by prefix."""
    from optimizer.app import prepare_control  # noqa: PLC0415 - imported only when the command runs
    from optimizer.catalog.keys import list_keys  # noqa: PLC0415

    control, _, _ = prepare_control(load({"data_dir": data_dir}))
    table = Table("prefix", "scope", "name", "made", "revoked")
    with control.reading() as session:
        for row in list_keys(session, _project_id(session, project)):
            revoked = row.revoked_at.isoformat(timespec="seconds") if row.revoked_at else ""
            table.add_row(row.prefix, row.scope, row.name, row.created_at.isoformat(timespec="seconds"), revoked)
    control.close()
    Console().print(table)


def _project_id(session: Session, key: str) -> int:
    from optimizer.catalog.projects import find_project  # noqa: PLC0415 - as above

    return find_project(session, key).id or 0
