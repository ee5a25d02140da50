"""What experiments show: figures, checks and a decision as of the last look."""

from __future__ import annotations

from typing import Annotated

from apiflask import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._context import actor, now, project_id, services
from optimizer.experiments import journal
from optimizer.experiments.results import ExperimentResult, read_result

blueprint = APIBlueprint("results", __name__, tag="Experiments")


class ResultQuery(BaseModel):
    """What to see besides."""

    model_config = ConfigDict(extra="forbid")

    dimension: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None,
        description="Split by source, medium, campaign, device, page, country, or an event property that is a text.",
    )


@blueprint.get("/v1/experiments/<key>/results")
@requires("read")
@blueprint.input(ResultQuery, location="query", arg_name="query")
@blueprint.output(ExperimentResult)
@blueprint.doc(
    summary="Read an experiment's result",
    description="As of the last cut-off of a daily grid: asking more often gives nobody another verdict.",
)
def read_results(key: str, query: ResultQuery) -> ExperimentResult:
    """Read the result of the last cut-off."""
    dimension = query.dimension or ""
    result = read_result(services().stores, project_id(), key, now=now(), dimension=dimension)
    control = services().stores.control
    journal.record_reading(control, project_id(), result, actor=actor(), now=now(), dimension=dimension)
    return result
