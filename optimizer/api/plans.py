"""Plans: how many visitors a question takes, with nothing stored."""

from __future__ import annotations

from typing import Literal

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.api._forms import MEDIA_TYPES, STANDS_ALONE, chosen_form
from optimizer.experiments.planning.measured import measure, resolve_names
from optimizer.experiments.planning.past import past_of
from optimizer.experiments.planning.service import plan
from optimizer.experiments.planning.shapes import PlannedTest, PlanRequest
from optimizer.experiments.planning.subjects import asked_names

blueprint = APIBlueprint("plans", __name__, tag="Experiments")


class PlanQuery(BaseModel):
    """In which form."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["json", "svg", "png", "vega"] | None = Field(
        None, description="Beats the Accept header; json by default. The others are the plan as a picture."
    )


@blueprint.post("/v1/plans")
@requires("read")
@blueprint.input(PlanRequest, arg_name="body")
@blueprint.input(PlanQuery, location="query", arg_name="query")
@blueprint.output(PlannedTest, content_type="application/json")
@blueprint.doc(
    summary="Plan a test",
    description="Visitors and days for the goal and for each proxy side by side, guardrails included. Baselines and "
    "traffic that are left out are measured from the project's own data.",
)
def make_plan(body: PlanRequest, query: PlanQuery) -> Response:
    """Plan a test on the goal and on its proxies."""
    stores = services().stores
    with stores.control.reading() as session:
        metrics = resolve_names(session, project_id(), [name for _, name, _ in asked_names(body)])
        past = past_of(session, project_id())
    found = plan(body, measure(stores.events, project_id(), metrics, now=now()), past=past)
    form = chosen_form(request, query.format, "json", "svg", "png", "vega")
    if form == "svg" or form == "png" or form == "vega":  # noqa: PLR1714 - mypy narrows these, not `in`
        picture = services().presenter.plan_picture(found, form)
        return Response(picture, mimetype=MEDIA_TYPES[form], headers=STANDS_ALONE)
    return Response(found.model_dump_json(), mimetype=MEDIA_TYPES["json"])
