"""`optimizer aa`: shows on a project's own past how often each metric would have raised a false alarm."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from optimizer.cli._lock import data_folder_lock
from optimizer.cli._options import data_dir_option
from optimizer.errors import InvalidInputError
from optimizer.settings import load

if TYPE_CHECKING:
    from optimizer.experiments.aa import ReplayAnswer

UNITS = ("user", "anonymous", "session")
METHODS = ("sequential", "fixed", "group_sequential", "bayesian")
SPENDING = ("obrien_fleming", "pocock")
WORDS = {
    "as_promised": "as promised",
    "too_many": "[bold red]too many[/]",
    "no_verdict": "no verdict",
    "nothing_promised": "nothing promised",
}
NOT_AS_PROMISED = 1


@click.command()
@click.option("--days", default=28, show_default=True, type=click.IntRange(1, 400), help="How many days to replay.")
@click.option("--to", "end", type=click.DateTime(["%Y-%m-%d"]), help="Before this day (UTC) [default: today].")
@click.option(
    "--metric", "metrics", multiple=True, help="Metric or event; repeat for more [default: all that are in use]."
)
@click.option(
    "--method", "methods", multiple=True, type=click.Choice(METHODS), help="Repeat for more [default: all]."
)
@click.option("--looks", default=5, show_default=True, type=click.IntRange(2, 50), help="Of group_sequential.")
@click.option("--spending", default=SPENDING[0], show_default=True, type=click.Choice(SPENDING), help="Of it, too.")
@click.option("--alpha", default=0.05, show_default=True, help="The error rate that is promised.")
@click.option(
    "--splits", default=511, show_default=True, type=click.IntRange(20, 4095), help="At least so many random splits."
)
@click.option("--unit", default="user", show_default=True, type=click.Choice(UNITS), help="Whose numbers to compare.")
@click.option("--split-by", type=click.Choice(UNITS), help="What to toss the coin for [default: the unit].")
@click.option("--exposed-by", help="A unit enters with its first event of this name [default: of any].")
@click.option(
    "--covariate-days", default=0, show_default=True, type=click.IntRange(0, 365), help="As in experiments."
)
@click.option("--seed", default="aa", show_default=True, help="Another one draws other splits.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@data_dir_option
@click.option("--project", default="default", show_default=True, help="Key of the project.")
def command(
    *,
    days: int,
    end: dt.datetime | None,
    splits: int,
    data_dir: Path | None,
    project: str,
    as_json: bool,
    **design: Any,  # noqa: ANN401 - fields of the request
) -> None:
    r"""Replay the past with random splits, where no verdict can be right, and count the verdicts.

    Every metric is read as results read it: monitored at each daily look (sequential, bayesian) or at a few planned
    ones (group_sequential), where one alarm is enough, or once at the end (fixed). Bayesian figures promise nothing,
    so nothing is held against them. Exits with 0 when no rate is above what is promised by more than chance, else 1.
    With the embedded store, stop the service first.

    \b
    Examples:
      optimizer aa --days 28
      optimizer aa --days 56 --metric purchase --metric revenue-14d --exposed-by view_item
      optimizer aa --days 28 --covariate-days 14 --splits 2047 --json
      optimizer aa --days 28 --unit session --split-by user    what sessions claim when users were split
    """
    from optimizer.app import open_stores  # noqa: PLC0415 - imported only when the command runs
    from optimizer.catalog.projects import find_project  # noqa: PLC0415 - same
    from optimizer.experiments.aa import ReplayRequest, replay_history  # noqa: PLC0415 - same
    from optimizer.storage.tables.base import utc_now  # noqa: PLC0415 - same

    if not 0 < design["alpha"] < 1:
        raise InvalidInputError.at("/alpha", "out_of_range", "--alpha must lie between 0 and 1.")
    first = (end.date() if end else utc_now().date()) - dt.timedelta(days=days)
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in design.items()}
    given["methods"] = given["methods"] or list(METHODS)
    request = ReplayRequest(start=first, days=days, bits=splits.bit_length(), **given)
    settings = load({"data_dir": data_dir})
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        data_folder_lock(settings.data_dir, "optimizer aa"),
        Progress(*columns, console=console, transient=True) as bar,
    ):
        task, stores = bar.add_task("opening"), open_stores(settings)

        def tell(what: str, done: int, steps: int) -> None:
            bar.update(task, description=what, completed=done, total=steps)

        try:
            with stores.control.reading() as session:
                project_id = find_project(session, project).id or 0
            answer = replay_history(stores, project_id, request, progress=tell)
        finally:
            stores.events.close()
            stores.control.close()
    if as_json:
        click.echo(answer.model_dump_json(indent=2))
    else:
        _show(answer)
    if not answer.as_promised:
        raise SystemExit(NOT_AS_PROMISED)


def _show(answer: ReplayAnswer) -> None:
    console = Console(highlight=False)
    tossed = "" if answer.split_by == answer.unit else f", split by {answer.split_by}"
    table = Table(
        "metric", "method", "promised", "false alarms (95% interval)", "verdict",
        title=f"A/A from {answer.start} to {answer.end}: {answer.splits:,} splits of {answer.units:,} units "
        f"({answer.unit}{tossed})",
    )  # fmt: skip
    for row in answer.rates:
        measured = row.detail
        if row.rate is not None and row.interval is not None:
            measured = f"{row.rate:.1%} ({row.interval[0]:.1%} to {row.interval[1]:.1%})"
        promised = "–" if row.promised is None else f"≤ {row.promised:.1%}"
        table.add_row(row.metric, row.method.replace("_", " "), promised, measured, WORDS[row.verdict])
    console.print(table)
    console.print(answer.conclusion, soft_wrap=True)
