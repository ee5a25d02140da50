"""`optimizer results`: what an experiment says, in the terminal or as a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click
from rich.console import Console

from optimizer.cli._options import NewFile, data_dir_option
from optimizer.cli._source import opened_folder, service_options

Form = Literal["html", "png", "csv", "json"]
HTML: Form = "html"
PNG: Form = "png"


@click.command()
@click.argument("experiment")
@service_options
@data_dir_option
@click.option("--project", default="default", show_default=True, help="Key of the project, with --data-dir.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True,
    help="What to print.",
)  # fmt: skip
@click.option("--html", type=NewFile(), help="Also write the report to this file.")
@click.option("--png", type=NewFile(), help="Also write the forest plot to this file.")
def command(  # noqa: PLR0917 - click hands over the declared options
    experiment: str,
    url: str | None,
    service_key: str | None,
    data_dir: Path | None,
    project: str,
    form: Literal["table", "json", "csv"],
    html: Path | None,
    png: Path | None,
) -> None:
    r"""Show the result of EXPERIMENT: the decision, the checks, the figures with their intervals.

    A service that runs owns its data folder, so read it over HTTP with --url and --key. Reading adds no look:
    everybody sees the verdict of the last cut-off.

    \b
    Examples:
      optimizer results pdp-cta --url http://127.0.0.1:8000 --key opt_…
      optimizer results pdp-cta --html report.html --png forest.png     (from ./optimizer-data, the service stopped)
      optimizer results pdp-cta --format csv > figures.csv
    """
    if url is not None and data_dir is None:
        from optimizer.client import Client  # noqa: PLC0415 - imported only when the command runs

        with Client(url, service_key) as client:
            _put(lambda wanted: client.report(experiment, wanted), form, html, png)
        return
    from optimizer.experiments.export import result_rows, to_csv  # noqa: PLC0415 - same
    from optimizer.experiments.report import build_report  # noqa: PLC0415 - same
    from optimizer.storage.tables.base import utc_now  # noqa: PLC0415 - same
    from optimizer.web import presenter  # noqa: PLC0415 - same

    with opened_folder(data_dir, project, "results") as (stores, project_id):
        report = build_report(stores, project_id, experiment, now=utc_now())
    made: dict[Form, Callable[[], bytes]] = {
        "html": lambda: presenter.report_page(report).encode(),
        "png": lambda: presenter.report_picture(report, "png"),
        "csv": lambda: to_csv(result_rows(report.result)).encode(),
        "json": lambda: report.model_dump_json().encode(),
    }
    _put(lambda wanted: made[wanted](), form, html, png)


def _put(
    read: Callable[[Form], bytes], form: Literal["table", "json", "csv"], html: Path | None, png: Path | None
) -> None:
    from optimizer.cli._shown import show_result  # noqa: PLC0415 - as above
    from optimizer.client import Result  # noqa: PLC0415 - as above

    files = [(wanted, path) for wanted, path in ((HTML, html), (PNG, png)) if path is not None]
    for wanted, path in files:  # first: who reads the first lines alone closes the output
        path.write_bytes(read(wanted))
    if form == "csv":
        click.echo(read("csv").decode(), nl=False)
    else:
        result = json.loads(read("json"))["result"]
        if form == "json":
            click.echo(json.dumps(result, indent=1, ensure_ascii=False))
        else:
            show_result(Console(highlight=False), Result.model_validate(result))
    for _, path in files:
        click.echo(f"Wrote {path}.", err=True)
