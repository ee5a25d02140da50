"""Signal rules: which event goes to which destinations."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel, Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.feedback.outbox import backfill, last_sequence
from optimizer.feedback.rules import RuleAnswer, RuleRequest, answer, delete_rule, get_rule, list_rules, put_rule
from optimizer.feedback.values import current_values

blueprint = APIBlueprint("signal_rules", __name__, tag="Feedback")


class RuleList(BaseModel):
    """A project's rules."""

    data: list[RuleAnswer]
    next_cursor: None = None


class BackfillAnswer(BaseModel):
    """How far a rule reached back."""

    enqueued: int = Field(description="Deliveries made; events that had one already are not repeated.")


@blueprint.get("/v1/signal-rules")
@requires("read")
@blueprint.output(RuleList)
@blueprint.doc(summary="List signal rules")
def read_rules() -> RuleList:
    """List the project's rules."""
    with services().stores.control.reading() as session:
        return RuleList(data=[answer(row) for row in list_rules(session, project_id())])


@blueprint.get("/v1/signal-rules/<key>")
@requires("read")
@blueprint.output(RuleAnswer)
@blueprint.doc(summary="Read one signal rule")
def read_rule(key: str) -> RuleAnswer:
    """Read one rule."""
    with services().stores.control.reading() as session:
        return answer(get_rule(session, project_id(), key))


@blueprint.put("/v1/signal-rules/<key>")
@requires("manage")
@blueprint.input(RuleRequest, arg_name="body")
@blueprint.output(RuleAnswer)
@blueprint.doc(
    summary="Create or replace a signal rule",
    description="A rule covers events received from its creation on; POST …/backfill reaches back.",
)
def write_rule(key: str, body: RuleRequest) -> RuleAnswer:
    """Create or replace one rule."""
    stores = services().stores
    last = last_sequence(stores.events, project_id())
    with stores.control.session() as session:
        return put_rule(session, project_id(), key, body, last_sequence=last, now=now())


@blueprint.delete("/v1/signal-rules/<key>")
@requires("manage")
@blueprint.doc(
    summary="Delete a signal rule", description="What it has queued is skipped.", responses={204: "Deleted"}
)
def remove_rule(key: str) -> tuple[str, int]:
    """Delete one rule."""
    with services().stores.control.session() as session:
        delete_rule(session, project_id(), key, now=now())
    return "", 204


@blueprint.post("/v1/signal-rules/<key>/backfill")
@requires("manage")
@blueprint.output(BackfillAnswer)
@blueprint.doc(
    summary="Reach back to stored events",
    description="Queues every stored event of the rule that has no delivery yet. What a platform finds too old is "
    "skipped with that reason.",
)
def backfill_rule(key: str) -> BackfillAnswer:
    """Queue what was stored before the rule was made."""
    stores = services().stores
    with stores.control.reading() as session:
        rule = get_rule(session, project_id(), key)
    values = current_values(stores, project_id(), now=now())
    return BackfillAnswer(enqueued=backfill(stores, project_id(), rule, values, now=now()))
