"""Feedback: the policy, runs, deliveries and how each destination does."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.errors import BusyError
from optimizer.feedback import deliveries
from optimizer.feedback.accounts import list_destinations
from optimizer.feedback.deliveries import DeliveryAnswer, DeliveryFilter, DestinationHealth
from optimizer.feedback.policy import PolicyAnswer, PolicyRequest, put_policy, read_policy
from optimizer.feedback.reconciliation import Reconciliation, reconcile
from optimizer.feedback.sync import SyncAnswer, preview
from optimizer.feedback.values import ValuesInUse, current_values, values_in_use

JOB = "feedback_sync"
blueprint = APIBlueprint("feedback", __name__, tag="Feedback")


class SyncQuery(BaseModel):
    """How to run."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Say what would be sent and skipped; nothing leaves.")


class DeliveryQuery(Page, DeliveryFilter):
    """Which deliveries, and which page of them."""


class DeliveryList(BaseModel):
    """One page of deliveries, oldest first."""

    data: list[DeliveryAnswer]
    next_cursor: str | None


class RetryAnswer(BaseModel):
    """How many deliveries were put back in the queue."""

    retried: int


class HealthAnswer(BaseModel):
    """How every destination does."""

    data: list[DestinationHealth]
    next_cursor: None = None


@blueprint.get("/v1/feedback/policy")
@requires("read")
@blueprint.output(PolicyAnswer)
@blueprint.doc(summary="Read the policy and its latest choices")
def get_policy() -> PolicyAnswer:
    """Read the policy."""
    with services().stores.control.reading() as session:
        return read_policy(session, project_id())


@blueprint.put("/v1/feedback/policy")
@requires("manage")
@blueprint.input(PolicyRequest, arg_name="body")
@blueprint.output(PolicyAnswer)
@blueprint.doc(
    summary="Set the policy",
    description="It chooses and maintains rules by itself, on its schedule, and stores every choice with its "
    "reasons. A chosen signal stays for 14 days unless its volume falls below the gate.",
)
def write_policy(body: PolicyRequest) -> PolicyAnswer:
    """Create or replace the policy."""
    with services().stores.control.session() as session:
        return put_policy(session, project_id(), body, now=now())


@blueprint.get("/v1/feedback/values")
@requires("read")
@blueprint.output(ValuesInUse)
@blueprint.doc(
    summary="Read what predicted values are in use",
    description="Per destination, with the proof beside: learned anew every week from journeys whose window has "
    "elapsed, held against later weeks. Predicted, not incremental.",
)
def read_values_in_use() -> ValuesInUse:
    """Show the values that rules with the mode `predicted` send."""
    return values_in_use(services().stores, project_id(), now=now())


@blueprint.get("/v1/feedback/reconciliation")
@requires("read")
@blueprint.output(Reconciliation)
@blueprint.doc(
    summary="Hold what platforms were told against what was bought",
    description="Per destination and week: the people who were first told of then, the predicted values that really "
    "left within their windows, and what the same people brought in them.",
)
def read_reconciliation() -> Reconciliation:
    """Reconcile what was told with what was brought."""
    values = current_values(services().stores, project_id(), now=now())
    return reconcile(services().stores, project_id(), values, now=now())


@blueprint.post("/v1/feedback/sync")
@requires("manage")
@blueprint.input(SyncQuery, location="query", arg_name="query")
@blueprint.output(SyncAnswer)
@blueprint.doc(
    summary="Send what is due, now",
    description="Waits for a run under way and answers when this one has ended, with totals per destination. "
    "`dry_run=true` shows the rendered requests and every reason to skip instead.",
)
def run_sync(query: SyncQuery) -> SyncAnswer:
    """Run the feedback for this project."""
    parts = services()
    if query.dry_run:
        values = current_values(parts.stores, project_id(), now=now())
        return preview(parts.stores, project_id(), values, now=now())
    run = parts.schedule.run_now(JOB, now=now(), only=project_id())
    found = run.summary.get("projects", {}).get(str(project_id()))
    if run.status != "ok" or found is None:
        detail = (
            f"The run did not finish: {run.error or run.status}. Nothing is lost: what was not sent stays queued."
        )
        raise BusyError(detail, retry_after_seconds=30)
    return SyncAnswer.model_validate(found)


@blueprint.get("/v1/deliveries")
@requires("read")
@blueprint.input(DeliveryQuery, location="query", arg_name="query")
@blueprint.output(DeliveryList)
@blueprint.doc(summary="List deliveries", description="Oldest first; every one says why it is where it is.")
def read_deliveries(query: DeliveryQuery) -> DeliveryList:
    """List deliveries."""
    after = str(decode_cursor(query.cursor, str)[0]) if query.cursor else ""
    with services().stores.control.reading() as session:
        found = deliveries.find(session, project_id(), query, after=after, limit=query.limit + 1)
    page = [deliveries.answer(row, key) for row, key in found[: query.limit]]
    return DeliveryList(data=page, next_cursor=encode_cursor(page[-1].id) if len(found) > query.limit else None)


@blueprint.post("/v1/deliveries/<delivery_id>/retry")
@requires("manage")
@blueprint.output(RetryAnswer)
@blueprint.doc(
    summary="Queue one delivery again",
    description="409 for what was sent or may have arrived: repeating it could count twice.",
)
def retry_delivery(delivery_id: str) -> RetryAnswer:
    """Put one delivery back in the queue."""
    with services().stores.control.session() as session:
        deliveries.retry(session, project_id(), delivery_id, now=now())
    return RetryAnswer(retried=1)


@blueprint.post("/v1/deliveries/retry")
@requires("manage")
@blueprint.input(DeliveryFilter, arg_name="body")
@blueprint.output(RetryAnswer)
@blueprint.doc(summary="Queue deliveries again, by filter", description="Skipped, rejected and dead ones only.")
def retry_deliveries(body: DeliveryFilter) -> RetryAnswer:
    """Put every matching delivery back in the queue."""
    with services().stores.control.session() as session:
        return RetryAnswer(retried=deliveries.retry_all(session, project_id(), body, now=now()))


@blueprint.get("/v1/feedback/health")
@requires("read")
@blueprint.output(HealthAnswer)
@blueprint.doc(summary="How every destination does", description="Lag, counts by state, reasons, circuit state.")
def read_health() -> HealthAnswer:
    """Sum up every destination."""
    with services().stores.control.reading() as session:
        rows = list_destinations(session, project_id())
        return HealthAnswer(data=[deliveries.health(session, project_id(), row) for row in rows])
