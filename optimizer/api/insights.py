"""Insights and signals."""

from __future__ import annotations

from typing import Literal

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.api._forms import MEDIA_TYPES, STANDS_ALONE, chosen_form
from optimizer.insights.consent import ConsentAnswer, ConsentRequest, model_consent
from optimizer.insights.funnel import FunnelAnswer, FunnelRequest, funnel
from optimizer.signals.answers import SignalsAnswer, SignalsRequest
from optimizer.signals.service import rank_signals


class SignalsQuery(SignalsRequest):
    """Which goal, which units, in which form."""

    format: Literal["json", "svg", "png", "vega"] | None = Field(
        None, description="Beats the Accept header; svg, png and vega are the picture."
    )
    picture: Literal["lift", "calibration"] = Field(
        "lift", description="lift: a forest of lifts. calibration: values against those of held-out weeks."
    )


blueprint = APIBlueprint("insights", __name__, tag="Insights and signals")


@blueprint.post("/v1/insights/funnel")
@requires("read")
@blueprint.input(FunnelRequest, arg_name="body")
@blueprint.output(FunnelAnswer)
@blueprint.doc(
    summary="Compute a funnel",
    description="Units per step and where most conversions are lost. A unit passes when any start has the steps "
    "within the window; equal times count as in order.",
)
def compute_funnel(body: FunnelRequest) -> FunnelAnswer:
    """Compute a funnel."""
    return funnel(services().stores, project_id(), body)


@blueprint.get("/v1/insights/consent")
@requires("read")
@blueprint.input(ConsentRequest, location="query", arg_name="query")
@blueprint.output(ConsentAnswer)
@blueprint.doc(
    summary="Model the conversions of visitors who denied consent",
    description="Scaled up by source and device from those who consented, with an interval. Refused where too few "
    "consented. Modelled numbers are labelled and never part of observed ones.",
)
def read_consent(query: ConsentRequest) -> ConsentAnswer:
    """Model what was not observed."""
    return model_consent(services().stores, project_id(), query, now=now())


@blueprint.get("/v1/signals")
@requires("read")
@blueprint.input(SignalsQuery, location="query", arg_name="query")
@blueprint.output(SignalsAnswer, content_type="application/json")
@blueprint.doc(
    summary="Rank events by how well they predict the goal",
    description="Units that are active and have not converted are compared, period by period, with those that have "
    "done as much else, so that people who stay longer do not make every event look good; the naive figures stand "
    "beside. Association, not cause.",
)
def read_signals(query: SignalsQuery) -> Response:
    """Rank every event of the project, or draw the ranking."""
    form = chosen_form(request, query.format, "json", "svg", "png", "vega")
    asked = SignalsRequest.model_validate(query.model_dump(exclude={"format", "picture"}))
    answer = rank_signals(services().stores, project_id(), asked, now=now())
    if form == "svg" or form == "png" or form == "vega":  # noqa: PLR1714 - so that the type checker sees which
        picture = services().presenter.signals_picture(answer, query.picture, form)
        return Response(picture, mimetype=MEDIA_TYPES[form], headers=STANDS_ALONE)
    return Response(answer.model_dump_json(), mimetype="application/json")
