"""Who is kept out of tests: holdouts, and the ranges of namespaces."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel

from optimizer.api._auth import requires
from optimizer.api._context import changing_flags, now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.experiments import holdouts
from optimizer.experiments.holdouts import HoldoutAnswer, HoldoutRequest
from optimizer.experiments.namespaces import NamespaceAnswer, read_namespaces

blueprint = APIBlueprint("holdouts", __name__, tag="Experiments")


class HoldoutList(BaseModel):
    """One page of holdouts, oldest first."""

    data: list[HoldoutAnswer]
    next_cursor: str | None


class NamespaceList(BaseModel):
    """Every namespace in use."""

    data: list[NamespaceAnswer]
    next_cursor: None = None


@blueprint.get("/v1/holdouts")
@requires("read")
@blueprint.input(Page, location="query", arg_name="query")
@blueprint.output(HoldoutList)
@blueprint.doc(summary="List holdouts")
def read_holdouts(query: Page) -> HoldoutList:
    """List holdouts, oldest first."""
    after = int(decode_cursor(query.cursor, int)[0]) if query.cursor else 0
    with services().stores.control.reading() as session:
        rows = holdouts.list_holdouts(session, project_id(), after=after, limit=query.limit + 1)
    page = rows[: query.limit]
    following = encode_cursor(page[-1].id or 0) if len(rows) > query.limit else None
    return HoldoutList(
        data=[HoldoutAnswer.model_validate(row, from_attributes=True) for row in page], next_cursor=following
    )


@blueprint.get("/v1/holdouts/<key>")
@requires("read")
@blueprint.output(HoldoutAnswer)
@blueprint.doc(summary="Read one holdout")
def read_holdout(key: str) -> HoldoutAnswer:
    """Read one holdout."""
    with services().stores.control.reading() as session:
        row = holdouts.get_holdout(session, project_id(), key)
        return HoldoutAnswer.model_validate(row, from_attributes=True)


@blueprint.put("/v1/holdouts/<key>")
@requires("manage")
@blueprint.input(HoldoutRequest, arg_name="body")
@blueprint.output(HoldoutAnswer)
@blueprint.doc(
    summary="Keep a share of the people out of tests",
    description="Always the same people. A holdout may only grow; DELETE ends it.",
)
def put_holdout(key: str, body: HoldoutRequest) -> HoldoutAnswer:
    """Make a holdout or let it grow."""
    with changing_flags() as session:
        row = holdouts.put_holdout(session, project_id(), key, body, now=now())
        return HoldoutAnswer.model_validate(row, from_attributes=True)


@blueprint.delete("/v1/holdouts/<key>")
@requires("manage")
@blueprint.output(HoldoutAnswer)
@blueprint.doc(summary="End a holdout", description="Its people may be tested from now on; it stays readable.")
def end_holdout(key: str) -> HoldoutAnswer:
    """End a holdout."""
    with changing_flags() as session:
        row = holdouts.end_holdout(session, project_id(), key, now=now())
        return HoldoutAnswer.model_validate(row, from_attributes=True)


@blueprint.get("/v1/namespaces")
@requires("read")
@blueprint.output(NamespaceList)
@blueprint.doc(
    summary="List namespaces in use", description="Which ranges running experiments hold, and which are free."
)
def list_namespaces() -> NamespaceList:
    """List namespaces."""
    with services().stores.control.reading() as session:
        return NamespaceList(data=read_namespaces(session, project_id()))
