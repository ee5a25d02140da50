"""Past experiments: imported, listed and taken out."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel

from optimizer.api._auth import requires
from optimizer.api._bodies import describes_body, parse_body
from optimizer.api._context import now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.signals import history
from optimizer.signals.history_shapes import (
    HistoryBody,
    HistoryRequest,
    HistoryVerdict,
    PastExperimentAnswer,
    PastExperimentPatch,
)

blueprint = APIBlueprint("history", __name__, tag="Insights and signals")


class HistoryList(BaseModel):
    """One page of past experiments, in the order they entered."""

    data: list[PastExperimentAnswer]
    next_cursor: str | None


@blueprint.post("/v1/experiments/history")
@requires("manage")
@describes_body(HistoryRequest)
@blueprint.output(HistoryVerdict)
@blueprint.doc(
    summary="Import past experiments",
    description="Sums per arm, from whichever tool ran them: what proxies are judged by. The same key again "
    "replaces; each item is judged by itself. Experiments of this service enter by themselves.",
)
def import_past() -> HistoryVerdict:
    """Store finished experiments."""
    items = parse_body(HistoryBody).experiments
    return history.import_history(services().stores.control, project_id(), items, now=now())


@blueprint.get("/v1/experiments/history")
@requires("read")
@blueprint.input(Page, location="query", arg_name="query")
@blueprint.output(HistoryList)
@blueprint.doc(summary="List past experiments", description="As they were imported, and those that ran here.")
def read_past(query: Page) -> HistoryList:
    """List the history."""
    after = int(decode_cursor(query.cursor, int)[0]) if query.cursor else 0
    with services().stores.control.reading() as session:
        rows = history.list_history(session, project_id(), after=after, limit=query.limit + 1)
    page = rows[: query.limit]
    following = encode_cursor(page[-1].id or 0) if len(rows) > query.limit else None
    return HistoryList(data=[history.answer(row) for row in page], next_cursor=following)


@blueprint.patch("/v1/experiments/history/<key>")
@requires("manage")
@blueprint.input(PastExperimentPatch, arg_name="body")
@blueprint.output(PastExperimentAnswer)
@blueprint.doc(
    summary="Say which type of change an experiment tried",
    description="So that proxies are looked at by type of change; also for experiments that ran here.",
)
def label_past(key: str, body: PastExperimentPatch) -> PastExperimentAnswer:
    """Label one experiment."""
    with services().stores.control.session() as session:
        return history.answer(history.label_past(session, project_id(), key, body.change))


@blueprint.delete("/v1/experiments/history/<key>")
@requires("manage")
@blueprint.doc(
    summary="Take an experiment out of the history",
    description="Proxies are judged without it; one that ran here stays out.",
    responses={204: "Taken out"},
)
def remove_past(key: str) -> tuple[str, int]:
    """Take one experiment out."""
    with services().stores.control.session() as session:
        history.delete_past(session, project_id(), key, now=now())
    return "", 204
