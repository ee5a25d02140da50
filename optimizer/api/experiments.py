"""Experiments: drafted, started, stopped, archived, rolled out. Metrics, results and logs have files of their own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from apiflask import APIBlueprint
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._bodies import cached_body, describes_body, parse_body
from optimizer.api._context import actor, changing_flags, now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.experiments import design, journal, lifecycle
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


class RolloutRequest(BaseModel):
    """What everybody gets."""

    model_config = ConfigDict(extra="forbid")

    variant: str = Field(max_length=100, description="Key of one of the experiment's variants.")


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
    with changing_flags() as session:
        row = design.create_experiment(session, project_id(), body, now=now())
        journal.record(session, row, "created", {}, actor=actor(), now=now())
        return design.answer(row)


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
@blueprint.doc(
    summary="Change an experiment",
    description="Everything in a draft; name and hypothesis always; while it runs also `scheduled_stop_at` and, "
    "upwards, `allocation`.",
)
def change_experiment(key: str, body: ExperimentPatch) -> ExperimentAnswer:
    """Change what was given."""
    with changing_flags() as session:
        row, changed = design.patch_experiment(session, project_id(), key, body, now=now())
        detail = {"fields": changed, **({"allocation": row.allocation} if "allocation" in changed else {})}
        journal.record(session, row, "changed", detail, actor=actor(), now=now())
        return design.answer(row)


@blueprint.post("/v1/experiments/<key>/start")
@requires("manage")
@describes_body(MomentRequest, required=False)
@blueprint.output(ExperimentAnswer)
@blueprint.doc(summary="Start a draft", description="From then on the design is frozen.")
def start_experiment(key: str) -> ExperimentAnswer:
    """Start a draft."""
    return _move(key, lifecycle.start)


@blueprint.post("/v1/experiments/<key>/stop")
@requires("manage")
@describes_body(MomentRequest, required=False)
@blueprint.output(ExperimentAnswer)
@blueprint.doc(summary="Stop an experiment", description="Later exposures do not count.")
def stop_experiment(key: str) -> ExperimentAnswer:
    """Stop a running experiment."""
    return _move(key, lifecycle.stop)


@blueprint.post("/v1/experiments/<key>/archive")
@requires("manage")
@describes_body(MomentRequest, required=False)
@blueprint.output(ExperimentAnswer)
@blueprint.doc(summary="Archive an experiment", description="It stays readable.")
def archive_experiment(key: str) -> ExperimentAnswer:
    """Put an experiment away."""
    return _move(key, lifecycle.archive)


@blueprint.post("/v1/experiments/<key>/rollout")
@requires("manage")
@blueprint.input(RolloutRequest, arg_name="body")
@blueprint.output(ExperimentAnswer)
@blueprint.doc(
    summary="Roll a variant out to everybody",
    description="After the stop: whomever the targeting reaches gets the variant from now on, but for holdouts.",
)
def roll_out_variant(key: str, body: RolloutRequest) -> ExperimentAnswer:
    """Give everybody one variant."""
    with changing_flags() as session:
        row = lifecycle.roll_out(session, project_id(), key, body.variant, actor=actor(), now=now())
        return design.answer(row)


Transition = Callable[..., Experiment]


def _move(key: str, transition: Transition) -> ExperimentAnswer:
    at: dt.datetime | None = parse_body(MomentRequest).at if cached_body() else None
    with changing_flags() as session:
        moved = transition(session, project_id(), key, at, actor=actor(), now=now())
        session.flush()
        return design.answer(moved)
