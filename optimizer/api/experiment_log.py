"""Who did and read what about an experiment, and what people want remembered."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel

from optimizer.api._auth import requires
from optimizer.api._context import actor, now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.experiments import journal
from optimizer.experiments.design import get_experiment
from optimizer.experiments.journal import LogAnswer, NoteAnswer, NoteRequest

blueprint = APIBlueprint("experiment_log", __name__, tag="Experiments")


class LogList(BaseModel):
    """One page of a log, oldest first."""

    data: list[LogAnswer]
    next_cursor: str | None


class NoteList(BaseModel):
    """One page of notes, oldest first."""

    data: list[NoteAnswer]
    next_cursor: str | None


@blueprint.get("/v1/experiments/<key>/log")
@requires("read")
@blueprint.input(Page, location="query", arg_name="query")
@blueprint.output(LogList)
@blueprint.doc(
    summary="Read the decision log",
    description="Who did or looked at what, when, and what the verdict said; lines are only ever added.",
)
def read_log(key: str, query: Page) -> LogList:
    """Show the log, oldest line first."""
    after = int(decode_cursor(query.cursor, int)[0]) if query.cursor else 0
    with services().stores.control.reading() as session:
        experiment = get_experiment(session, project_id(), key)
        rows = journal.read_log(session, experiment, after=after, limit=query.limit + 1)
    page = rows[: query.limit]
    following = encode_cursor(page[-1].id or 0) if len(rows) > query.limit else None
    return LogList(data=[LogAnswer.model_validate(row, from_attributes=True) for row in page], next_cursor=following)


@blueprint.get("/v1/experiments/<key>/notes")
@requires("read")
@blueprint.input(Page, location="query", arg_name="query")
@blueprint.output(NoteList)
@blueprint.doc(summary="Read notes")
def read_notes(key: str, query: Page) -> NoteList:
    """Show the notes, oldest first."""
    after = int(decode_cursor(query.cursor, int)[0]) if query.cursor else 0
    with services().stores.control.reading() as session:
        experiment = get_experiment(session, project_id(), key)
        rows = journal.read_notes(session, experiment, after=after, limit=query.limit + 1)
    page = rows[: query.limit]
    following = encode_cursor(page[-1].id or 0) if len(rows) > query.limit else None
    return NoteList(
        data=[NoteAnswer.model_validate(row, from_attributes=True) for row in page], next_cursor=following
    )


@blueprint.post("/v1/experiments/<key>/notes")
@requires("manage")
@blueprint.input(NoteRequest, arg_name="body")
@blueprint.output(NoteAnswer, status_code=201)
@blueprint.doc(summary="Keep a note about an experiment")
def make_note(key: str, body: NoteRequest) -> NoteAnswer:
    """Keep a note."""
    with services().stores.control.session() as session:
        experiment = get_experiment(session, project_id(), key)
        note = journal.add_note(session, experiment, body.text, actor=actor(), now=now())
        return NoteAnswer.model_validate(note, from_attributes=True)
