"""Metrics: what one unit's events are turned into."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.experiments import metrics
from optimizer.experiments.metrics import MetricAnswer, MetricRequest

blueprint = APIBlueprint("metrics", __name__, tag="Experiments")


class MetricList(BaseModel):
    """A project's own metrics."""

    data: list[MetricAnswer]
    next_cursor: None = None


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
