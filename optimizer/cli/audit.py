"""`optimizer audit`: the catalog audit on a screen, from the stores themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from optimizer.cli._bulk import bulk_settings
from optimizer.cli._lock import data_folder_lock
from optimizer.cli._options import data_dir_option

if TYPE_CHECKING:
    from optimizer.signals.audit import AuditAnswer

LONGEST_NAME = 200


@click.command()
@click.option("--goal", help="Rank events by it [default: the policy's goal or the only macro conversion].")
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="Silent so long is unused.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole audit as JSON.")
@data_dir_option
@click.option("--project", default="default", show_default=True, help="Key of the project.")
def command(goal: str | None, days: int, as_json: bool, data_dir: Path | None, project: str) -> None:
    r"""Audit the catalog: what is unused, double or incomplete, what to drop, and what to begin with.

    It proposes and changes nothing. With the embedded store, stop the service first, or ask the service itself:
    GET /v1/catalog/audit.

    \b
    Examples:
      optimizer audit
      optimizer audit --goal purchase --json
    """
    from optimizer.app import open_stores  # noqa: PLC0415 - imported only when the command runs
    from optimizer.catalog.projects import find_project  # noqa: PLC0415 - same
    from optimizer.signals.audit import AuditRequest, audit_catalog  # noqa: PLC0415 - same
    from optimizer.storage.tables.base import utc_now  # noqa: PLC0415 - same

    if goal and len(goal) > LONGEST_NAME:
        raise click.BadParameter(f"names have up to {LONGEST_NAME} characters", param_hint="--goal")
    settings = bulk_settings(data_dir)
    request = AuditRequest(goal=goal or None, days=days)
    with data_folder_lock(settings.data_dir, "optimizer audit"):
        stores = open_stores(settings)
        try:
            with stores.control.reading() as session:
                project_id = find_project(session, project).id or 0
            answer = audit_catalog(stores, project_id, request, now=utc_now())
        finally:
            stores.events.close()
            stores.control.close()
    if as_json:
        click.echo(answer.model_dump_json(indent=2))
    else:
        _print(Console(highlight=False), answer)


def _print(console: Console, answer: AuditAnswer) -> None:
    amount = answer.micro_conversions
    console.print(
        f"{answer.names} names, {amount.total} micro conversions in use ({amount.recommended_maximum} are enough: "
        f"{amount.excess} too many). Goal: {answer.goal or 'none'}; ranking: {answer.ranking}"
    )
    drops = [(one.event, one.reason.replace("_", " "), one.detail) for one in answer.drop]
    _table(console, "Drop", ("event", "reason", "why"), drops)
    unused = [(one.event, str(one.days_silent), ", ".join(one.used_by)) for one in answer.unused]
    _table(console, f"Not sent for {answer.days} days", ("event", "days", "used by"), unused)
    pairs = [
        (" / ".join(one.events), one.why.replace("_", " "), str(one.occurrences)) for one in answer.near_duplicates
    ]
    _table(console, "Near-duplicates", ("events", "why", "occurrences"), pairs)
    merged = [(one.event, ", ".join(one.spellings)) for one in answer.merged_spellings]
    _table(console, "Merged spellings", ("event", "also sent as"), merged)
    lacking = [(one.event, f"{one.missing} of {one.occurrences}") for one in answer.missing_properties]
    _table(console, "Missing properties", ("event", "lacking"), lacking)
    begin = [(one.role.replace("_", " "), one.event, one.detail) for one in answer.start_set]
    _table(console, "Begin with", ("role", "event", "why"), begin)
    console.print(answer.caveat)


def _table(console: Console, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
