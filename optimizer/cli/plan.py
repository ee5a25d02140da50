"""`optimizer plan`: how many visitors a question takes, from flags alone or measured from a project's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console

from optimizer.cli._options import NewFile, data_dir_option
from optimizer.cli._source import opened_folder, pairs, service_options, validated
from optimizer.errors import InvalidInputError

PICTURES = {".png": "png", ".svg": "svg"}


@click.command()
@click.argument("goal")
@click.option("--proxy", "proxies", multiple=True, help="A micro conversion to compare; repeat for more.")
@click.option("--guardrail", "guardrails", multiple=True, help="NAME=MARGIN, the relative loss that is tolerated.")
@click.option(
    "--less-is-better", "decreasing", multiple=True, help="A guardrail whose loss is an increase, such as refunds."
)
@click.option("--baseline", "baselines", multiple=True, help="NAME=RATE (or mean); measured when omitted.")
@click.option("--std", "deviations", multiple=True, help="NAME=STANDARD DEVIATION of one unit, for a mean.")
@click.option("--window-hours", "windows", multiple=True, help="NAME=HOURS until a unit's value is final.")
@click.option("--relative-mde", type=float, help="Smallest relative effect worth finding [default: 0.1].")
@click.option("--alpha", type=float, help="Two-sided error rate [default: 0.05].")
@click.option("--power", type=float, help="Chance to find the effect [default: 0.8].")
@click.option(
    "--method", type=click.Choice(["fixed", "sequential", "group_sequential", "bayesian"]), help="[default: fixed]"
)
@click.option("--looks", type=int, help="Of group_sequential [default: 5].")
@click.option("--accepted-loss", type=float, help="Of bayesian, relative to the baseline.")
@click.option("--variants", type=int, help="Arms, the control included [default: 2].")
@click.option(
    "--weight", "weights", type=float, multiple=True, help="Per arm, the control first; equal when omitted."
)
@click.option("--daily-visitors", type=float, help="New eligible visitors a day; measured when omitted.")
@service_options
@data_dir_option
@click.option("--project", default="default", show_default=True, help="Key of the project, with --data-dir.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="What to print.",
)
@click.option("--curves", is_flag=True, help="Also show what other effects, other weeks and other sizes give.")
@click.option("--chart", type=NewFile(), help="Also draw the plan: .png or .svg.")
def command(  # noqa: PLR0917 - click hands over the declared options
    goal: str,
    url: str | None,
    service_key: str | None,
    data_dir: Path | None,
    project: str,
    form: Literal["table", "json"],
    chart: Path | None,
    curves: bool,
    **typed: Any,  # noqa: ANN401 - the options that make up the question
) -> None:
    r"""Plan a test on GOAL: visitors and time, with micro conversions and guardrails beside it.

    Baselines and traffic that are left out are measured from the last 30 days of a running service (--url and --key)
    or of a data folder that no service is using (--data-dir).

    \b
    Examples:
      optimizer plan purchase --baseline purchase=0.02 --daily-visitors 1500
      optimizer plan purchase --proxy cart --baseline purchase=0.02 --baseline cart=0.3 --method sequential
      optimizer plan revenue --baseline revenue=4.1 --std revenue=31 --weight 3 --weight 1
      optimizer plan purchase --guardrail refund=0.05 --less-is-better refund --url http://127.0.0.1:8000 --key opt_…
      optimizer plan purchase --data-dir ./optimizer-data --chart plan.png --curves
    """
    from optimizer.cli._shown_plan import show_plan  # noqa: PLC0415 - imported only when the command runs
    from optimizer.client import Client, Plan  # noqa: PLC0415 - same
    from optimizer.experiments.planning.shapes import PlannedTest, PlanRequest  # noqa: PLC0415 - same
    from optimizer.web import presenter  # noqa: PLC0415 - same

    picture = PICTURES.get(chart.suffix.lower()) if chart else None
    if chart and picture is None:
        raise click.UsageError("--chart takes a file that ends in .png or .svg.")
    asked = validated(PlanRequest, _fields(goal, typed))
    if url is not None and data_dir is None:
        with Client(url, service_key) as client:
            answer = client.plan(**asked.model_dump(exclude_unset=True)).model_dump(mode="json")
        planned = PlannedTest.model_validate(answer)
    else:
        planned = _planned(asked, data_dir, project)
    if chart and picture:  # first: who reads the first lines alone closes the output
        chart.write_bytes(presenter.plan_picture(planned, "png" if picture == "png" else "svg"))
    if form == "json":
        click.echo(planned.model_dump_json(indent=1))
    else:
        show_plan(Console(highlight=False), Plan.model_validate(planned.model_dump(mode="json")), curves=curves)
    if chart:
        click.echo(f"Wrote {chart}.", err=True)


def _planned(asked: Any, data_dir: Path | None, project: str) -> Any:  # noqa: ANN401 - types that load the statistics
    from optimizer.experiments.planning.measured import measure, resolve_names  # noqa: PLC0415 - as above
    from optimizer.experiments.planning.past import past_of  # noqa: PLC0415 - as above
    from optimizer.experiments.planning.service import plan  # noqa: PLC0415 - as above
    from optimizer.experiments.planning.subjects import asked_names  # noqa: PLC0415 - as above
    from optimizer.storage.tables.base import utc_now  # noqa: PLC0415 - as above

    if data_dir is None:
        try:
            return plan(asked)
        except InvalidInputError as error:
            missing = [fault for fault in error.problems if fault.code == "unknown_baseline"]
            if not missing:
                raise
            name = missing[0].pointer.rpartition("/")[2]
            raise InvalidInputError(
                f"Nothing is known of {name}: give --baseline {name}=RATE, or measure it with --url and --key, "
                "or with --data-dir.",
                error.problems,
            ) from None
    with opened_folder(data_dir, project, "plan") as (stores, project_id):
        with stores.control.reading() as session:
            metrics = resolve_names(session, project_id, [name for _, name, _ in asked_names(asked)])
            past = past_of(session, project_id)
        return plan(asked, measure(stores.events, project_id, metrics, now=utc_now()), past=past)


def _fields(goal: str, typed: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"goal": goal, "proxies": list(typed.pop("proxies"))}
    rails = pairs(typed.pop("guardrails"), "--guardrail")
    decreasing = typed.pop("decreasing")
    unknown = [name for name in decreasing if name not in rails]
    if unknown:
        raise click.UsageError(f"--less-is-better names a --guardrail, and {unknown[0]!r} is none.")
    fields["guardrails"] = [
        {"metric": name, "margin_relative": margin, **({"direction": "decrease"} if name in decreasing else {})}
        for name, margin in rails.items()
    ]
    named = {
        "baselines": pairs(typed.pop("baselines"), "--baseline"),
        "standard_deviations": pairs(typed.pop("deviations"), "--std"),
        "windows_hours": pairs(typed.pop("windows"), "--window-hours"),
        "weights": list(typed.pop("weights")),
        "accepted_loss_relative": typed.pop("accepted_loss"),
    }
    return fields | {name: value for name, value in {**named, **typed}.items() if value not in (None, {}, [])}
