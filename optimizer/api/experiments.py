"""Metrics, experiments and their results."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from apiflask import APIBlueprint
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._bodies import cached_body, parse_body
from optimizer.api._context import now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.experiments import design, metrics
from optimizer.experiments.metrics import MetricAnswer, MetricRequest
from optimizer.experiments.results import ExperimentResult, read_result
from optimizer.experiments.shapes import ExperimentAnswer, ExperimentPatch, ExperimentRequest
from optimizer.storage.tables import Experiment

blueprint = APIBlueprint("experiments", __name__, tag="Experiments")


class MetricList(BaseModel):
    """A project's own metrics."""

    data: list[MetricAnswer]
    next_cursor: None = None


class ExperimentList(BaseModel):
    """One page of experiments, oldest first."""

    data: list[ExperimentAnswer]
    next_cursor: str | None


class MomentRequest(BaseModel):
    """When it happened."""

    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime | None = Field(None, description="Now, or in the past so that history can be loaded.")


@blueprint.get("/v1/metrics")
@requires("read")
@blueprint.output(MetricList)
@blueprint.doc(
    summary="List metrics", description="Every catalogued event's own name is a proportion metric besides."
)
def read_metrics() -> MetricList:
    """List the project's own metrics."""
    with services().stores.control.reading() as session:
        return MetricList(data=[metrics.answer(row) for row in metrics.list_metrics(session, project_id())])


@blueprint.get("/v1/metrics/<key>")
@requires("read")
@blueprint.output(MetricAnswer)
@blueprint.doc(summary="Read one metric")
def read_metric(key: str) -> MetricAnswer:
    """Read a metric, or the ready-made one of an event."""
    with services().stores.control.reading() as session:
        return metrics.answer(metrics.get_metric(session, project_id(), key))


@blueprint.put("/v1/metrics/<key>")
@requires("manage")
@blueprint.input(MetricRequest, arg_name="body")
@blueprint.output(MetricAnswer)
@blueprint.doc(summary="Create or replace a metric", description="409 while an experiment that has started uses it.")
def write_metric(key: str, body: MetricRequest) -> MetricAnswer:
    """Create or replace one metric."""
    with services().stores.control.session() as session:
        return metrics.answer(metrics.put_metric(session, project_id(), key, body, now=now()))


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


@blueprint.get("/v1/experiments/<key>/results")
@requires("read")
@blueprint.output(ExperimentResult)
@blueprint.doc(
    summary="Read an experiment's result",
    description="As of the last cut-off of a daily grid: asking more often gives nobody another verdict.",
)
def read_results(key: str) -> ExperimentResult:
    """Read the result of the last cut-off."""
    return read_result(services().stores, project_id(), key, now=now())


Transition = Callable[..., Experiment]


def _move(key: str, transition: Transition) -> ExperimentAnswer:
    at: dt.datetime | None = parse_body(MomentRequest).at if cached_body() else None
    with services().stores.control.session() as session:
        moved = transition(session, project_id(), key, at, now=now())
        session.flush()
        return design.answer(moved)
