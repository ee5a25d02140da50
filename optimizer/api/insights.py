"""Insights and signals."""

from __future__ import annotations

from apiflask import APIBlueprint

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.insights.consent import ConsentAnswer, ConsentRequest, model_consent
from optimizer.insights.funnel import FunnelAnswer, FunnelRequest, funnel
from optimizer.signals.answers import SignalsAnswer, SignalsRequest
from optimizer.signals.service import rank_signals

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
@blueprint.input(SignalsRequest, location="query", arg_name="query")
@blueprint.output(SignalsAnswer)
@blueprint.doc(
    summary="Rank events by how well they predict the goal",
    description="Behaviour up to a landmark against the goal after it, so that people who stay longer do not make "
    "every event look good; the naive figures stand beside. Association, not cause.",
)
def read_signals(query: SignalsRequest) -> SignalsAnswer:
    """Rank every event of the project."""
    return rank_signals(services().stores, project_id(), query, now=now())
