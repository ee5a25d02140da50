"""Suppressions: people who must receive nothing."""

from __future__ import annotations

from apiflask import APIBlueprint

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.segments.suppressions import SuppressionAnswer, SuppressionRequest, lift, suppress

blueprint = APIBlueprint("suppressions", __name__, tag="Segments")


@blueprint.post("/v1/suppressions")
@requires("manage")
@blueprint.input(SuppressionRequest, arg_name="body")
@blueprint.output(SuppressionAnswer)
@blueprint.doc(
    summary="Suppress people",
    description="They leave every segment at once, nothing of them goes to ad platforms, and addresses are stored as "
    "hashes only.",
)
def add_suppressions(body: SuppressionRequest) -> SuppressionAnswer:
    """Suppress people."""
    stores = services().stores
    with stores.control.session() as session:
        return suppress(session, stores, project_id(), body, now=now())


@blueprint.delete("/v1/suppressions")
@requires("manage")
@blueprint.input(SuppressionRequest, arg_name="body")
@blueprint.output(SuppressionAnswer)
@blueprint.doc(summary="Lift suppressions", description="The same body as for suppressing.")
def remove_suppressions(body: SuppressionRequest) -> SuppressionAnswer:
    """Lift suppressions."""
    with services().stores.control.session() as session:
        return lift(session, project_id(), body)
