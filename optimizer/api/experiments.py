"""Experiments: drafted, started, stopped, archived. Their metrics and results have files of their own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from apiflask import APIBlueprint
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._bodies import cached_body, parse_body
from optimizer.api._context import now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.experiments import design
from optimizer.experiments.shapes import ExperimentAnswer, ExperimentPatch, ExperimentRequest
from optimizer.storage.tables import Experiment

blueprint = APIBlueprint("experiments", __name__, tag="Experiments")


class ExperimentList(BaseModel):
    """One page of experiments, oldest first."""

    data: list[ExperimentAnswer]
    next_cursor: str | None


class MomentRequest(BaseModel):
    """When it happened."""

    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime | None = Field(None, description="Now, or in the past so that history can be loaded.")


@blueprint.get("/v1/experiments")
@requires("read")
@blueprint.input(Page, location="query", arg_name="query")
@blueprint.output(ExperimentList)
@blueprint.doc(summary="List experiments")
def read_experiments(query: Page) -> ExperimentList:
    """List experiments, oldest first."""
    after = int(decode_cursor(query.cursor, int)[0]) if query.cursor else 0
    with services().stores.control.reading() as session:
        rows = design.list_experiments(session, project_id(), after=after, limit=query.limit + 1)
    page = rows[: query.limit]
    following = encode_cursor(page[-1].id or 0) if len(rows) > query.limit else None
    return ExperimentList(data=[design.answer(row) for row in page], next_cursor=following)


@blueprint.post("/v1/experiments")
@requires("manage")
@blueprint.input(ExperimentRequest, arg_name="body")
@blueprint.output(ExperimentAnswer, status_code=201)
@blueprint.doc(summary="Draft an experiment", description="The first variant is the control.")
def make_experiment(body: ExperimentRequest) -> ExperimentAnswer:
    """Draft an experiment."""
    with services().stores.control.session() as session:
        return design.answer(design.create_experiment(session, project_id(), body, now=now()))


@blueprint.get("/v1/experiments/<key>")
@requires("read")
@blueprint.output(ExperimentAnswer)
@blueprint.doc(summary="Read one experiment")
def read_experiment(key: str) -> ExperimentAnswer:
    """Read one experiment."""
    with services().stores.control.reading() as session:
        return design.answer(design.get_experiment(session, project_id(), key))


@blueprint.patch("/v1/experiments/<key>")
@requires("manage")
@blueprint.input(ExperimentPatch, arg_name="body")
@blueprint.output(ExperimentAnswer)
@blueprint.doc(summary="Change an experiment", description="Once it has started only its name and hypothesis.")
def change_experiment(key: str, body: ExperimentPatch) -> ExperimentAnswer:
    """Change what was given."""
    with services().stores.control.session() as session:
        return design.answer(design.patch_experiment(session, project_id(), key, body))


@blueprint.post("/v1/experiments/<key>/start")
@requires("manage")
@blueprint.output(ExperimentAnswer)
@blueprint.doc(
    summary="Start a draft", description='Optional body `{"at": time}`; from then on the design is frozen.'
)
def start_experiment(key: str) -> ExperimentAnswer:
    """Start a draft."""
    return _move(key, design.start)


@blueprint.post("/v1/experiments/<key>/stop")
@requires("manage")
@blueprint.output(ExperimentAnswer)
@blueprint.doc(
    summary="Stop an experiment", description='Optional body `{"at": time}`; later exposures do not count.'
)
def stop_experiment(key: str) -> ExperimentAnswer:
    """Stop a running experiment."""
    return _move(key, design.stop)


@blueprint.post("/v1/experiments/<key>/archive")
@requires("manage")
@blueprint.output(ExperimentAnswer)
@blueprint.doc(summary="Archive an experiment", description='Optional body `{"at": time}`; it stays readable.')
def archive_experiment(key: str) -> ExperimentAnswer:
    """Put an experiment away."""
    return _move(key, design.archive)


Transition = Callable[..., Experiment]


def _move(key: str, transition: Transition) -> ExperimentAnswer:
    at: dt.datetime | None = parse_body(MomentRequest).at if cached_body() else None
    with services().stores.control.session() as session:
        moved = transition(session, project_id(), key, at, now=now())
        session.flush()
        return design.answer(moved)
