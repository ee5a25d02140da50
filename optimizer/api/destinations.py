"""Destinations: accounts at ad platforms."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel, Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.feedback.accounts import (
    DestinationAnswer,
    DestinationRequest,
    Reach,
    answer,
    connect,
    delete_destination,
    get_destination,
    list_destinations,
    put_destination,
)
from optimizer.feedback.contract import Finding

blueprint = APIBlueprint("destinations", __name__, tag="Feedback")


class DestinationList(BaseModel):
    """A project's destinations."""

    data: list[DestinationAnswer]
    next_cursor: None = None


class DestinationCheckAnswer(BaseModel):
    """What the platform said, without anything having been changed there."""

    passed: bool = Field(description="No finding is an error.")
    findings: list[Finding]


@blueprint.get("/v1/destinations")
@requires("read")
@blueprint.output(DestinationList)
@blueprint.doc(summary="List destinations", description="Credentials are never shown.")
def read_destinations() -> DestinationList:
    """List the project's destinations."""
    with services().stores.control.reading() as session:
        return DestinationList(data=[answer(row) for row in list_destinations(session, project_id())])


@blueprint.get("/v1/destinations/<key>")
@requires("read")
@blueprint.output(DestinationAnswer)
@blueprint.doc(summary="Read one destination")
def read_destination(key: str) -> DestinationAnswer:
    """Read one destination."""
    with services().stores.control.reading() as session:
        return answer(get_destination(session, project_id(), key))


@blueprint.put("/v1/destinations/<key>")
@requires("manage")
@blueprint.input(DestinationRequest, arg_name="body")
@blueprint.output(DestinationAnswer)
@blueprint.doc(
    summary="Create or replace a destination",
    description="Credentials are encrypted and never shown. Saving clears what paused the destination.",
)
def write_destination(key: str, body: DestinationRequest) -> DestinationAnswer:
    """Create or replace one destination."""
    parts = services()
    reach = Reach(private=parts.settings.allow_private_urls, loopback=parts.settings.listens_on_loopback)
    with parts.stores.control.session() as session:
        return put_destination(session, parts.stores.cipher, project_id(), key, body, reach=reach, now=now())


@blueprint.delete("/v1/destinations/<key>")
@requires("manage")
@blueprint.doc(
    summary="Delete a destination",
    description="Forgets its credentials and skips what is queued; past deliveries stay readable.",
    responses={204: "Deleted"},
)
def remove_destination(key: str) -> tuple[str, int]:
    """Delete one destination."""
    with services().stores.control.session() as session:
        delete_destination(session, project_id(), key, now=now())
    return "", 204


@blueprint.post("/v1/destinations/<key>/check")
@requires("manage")
@blueprint.output(DestinationCheckAnswer)
@blueprint.doc(
    summary="Ask the platform whether this destination would work",
    description="A validate-only call. Warnings say what the account may do with a secondary signal.",
)
def check_destination(key: str) -> DestinationCheckAnswer:
    """Check one destination."""
    stores = services().stores
    with stores.control.reading() as session:
        row = get_destination(session, project_id(), key)
    findings = connect(stores.cipher, row).check()
    return DestinationCheckAnswer(passed=all(finding.level != "error" for finding in findings), findings=findings)
