"""`optimizer analyse`: compares counts that somebody brings along, with nothing stored and no service."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console

from optimizer.cli._source import pairs, validated
from optimizer.errors import InvalidInputError

COLUMNS = ("key", "visitors", "conversions", "sum", "sum_squares", "converters")


@click.command()
@click.argument("counts", nargs=-1)
@click.option("--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="CSV or JSON instead.")
@click.option("--method", type=click.Choice(["fixed", "sequential", "bayesian"]), help="sequential when omitted.")
@click.option("--alpha", type=float, help="Two-sided error rate [default: 0.05].")
@click.option("--baseline", help="The control; the first variant when omitted.")
@click.option("--planned-visitors", type=int, help="Planned total, fixed before the first look.")
@click.option("--weight", "weights", multiple=True, help="NAME=WEIGHT, the split that was meant; equal when omitted.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True,
    help="What to print.",
)  # fmt: skip
def command(  # noqa: PLR0917 - click hands over the declared options
    counts: tuple[str, ...],
    file: Path | None,
    method: str | None,
    alpha: float | None,
    baseline: str | None,
    planned_visitors: int | None,
    weights: tuple[str, ...],
    form: Literal["table", "json", "csv"],
) -> None:
    r"""Compare COUNTS, each NAME=VISITORS/CONVERSIONS, the control first.

    A CSV file has the columns key, visitors and conversions, or sum and sum_squares of a value per visitor (and
    converters, those with a value); a JSON file is what POST /v1/analyses takes, or its list of variants.

    \b
    Examples:
      optimizer analyse control=4000/400 treatment=4012/468
      optimizer analyse none=21306/2262 mens=21307/3894 womens=21387/3238 --method fixed
      optimizer analyse --file counts.csv --method bayesian --format json
    """
    from optimizer.cli._shown import show_result  # noqa: PLC0415 - imported only when the command runs
    from optimizer.client import Result  # noqa: PLC0415 - same
    from optimizer.experiments.analysis import AnalysisRequest, analyse  # noqa: PLC0415 - same
    from optimizer.experiments.export import result_rows, to_csv  # noqa: PLC0415 - same

    if bool(counts) == bool(file):
        raise click.UsageError("Give counts as NAME=VISITORS/CONVERSIONS, or --file; one of the two.")
    fields: dict[str, Any] = _read(file) if file else {"variants": [_variant(one) for one in counts]}
    typed = {"method": method, "alpha": alpha, "baseline": baseline, "planned_visitors": planned_visitors}
    fields |= {name: value for name, value in typed.items() if value is not None}
    if weights:
        fields["weights"] = pairs(weights, "--weight")
    found = analyse(validated(AnalysisRequest, fields))
    if form == "csv":
        click.echo(to_csv(result_rows(found)), nl=False)
    elif form == "json":
        click.echo(found.model_dump_json(indent=1))
    else:
        show_result(Console(highlight=False), Result.model_validate(found.model_dump(mode="json")))


def _variant(given: str) -> dict[str, Any]:
    name, _, figures = given.rpartition("=")
    visitors, _, conversions = figures.partition("/")
    try:
        return {"key": name, "visitors": int(visitors), "conversions": int(conversions)}
    except ValueError:
        raise click.UsageError(
            f"Counts are NAME=VISITORS/CONVERSIONS, such as control=4000/400, not {given!r}."
        ) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".json":
            found = json.loads(text)
            return found if isinstance(found, dict) else {"variants": found}
        rows = list(csv.DictReader(text.splitlines()))
    except (ValueError, csv.Error) as error:
        raise InvalidInputError(f"{file} cannot be read: {error}") from None
    unknown = sorted({str(name) for row in rows for name in row} - {*COLUMNS, "variant"})
    if unknown or not rows:
        raise InvalidInputError(
            f"{file} needs rows with the columns {', '.join(COLUMNS)}, and has {unknown or 'none'}."
        )
    return {"variants": [_row(row) for row in rows]}


def _row(row: dict[str, str | None]) -> dict[str, Any]:
    if "variant" in row:
        row = {"key": row["variant"], **{name: value for name, value in row.items() if name != "variant"}}
    return {name: value for name, value in row.items() if value not in {"", None}}
