"""Our own ingest: events, counts and exposures, durable before the answer."""

from __future__ import annotations

from typing import Annotated

import msgspec
from apiflask import APIBlueprint
from flask import Response, request
from msgspec import Meta, Struct
from pydantic import BaseModel, Field

from optimizer.api._auth import requires
from optimizer.api._bodies import cached_body, decodes, refuse_deep_nesting
from optimizer.api._context import now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.errors import InvalidInputError, TooLargeError, UnreadableInputError
from optimizer.ingest.aside import SetAside
from optimizer.ingest.counts import Count
from optimizer.ingest.event import Event, Exposure
from optimizer.ingest.recent import RecentEvent, RecentFilter, recent_events
from optimizer.ingest.service import Origin

MAXIMUM_BATCH = 2_500
MAXIMUM_SYSTEM_LENGTH = 64
blueprint = APIBlueprint("ingest", __name__, tag="Ingest")


class VerdictAnswer(BaseModel):
    """What became of one item."""

    index: int = Field(description="Its place in the batch, from 0.")
    code: str = Field(description="Stable name, for example `missing_name`.")
    detail: str = Field(description="One sentence for a person.")


class IngestAnswer(BaseModel):
    """The answer to every readable batch; what is counted as accepted is on disk."""

    accepted: int = Field(description="Items stored by this request.")
    duplicates: int = Field(description="Items whose id was stored before; the first content stays.")
    rejected: list[VerdictAnswer] = Field(description="Items that were not stored, and why.")
    warnings: list[VerdictAnswer] = Field(description="Items that were stored with a reservation.")


class RecoveredAnswer(BaseModel):
    """How many events count from now on."""

    recovered: int


class RecentQuery(Page, RecentFilter):
    """Which events, and which page of them."""


class RecentList(BaseModel):
    """One page of events, newest first."""

    data: list[RecentEvent]
    next_cursor: str | None


class EventsBody(Struct):
    """Up to 2 500 events; each is judged by itself."""

    events: Annotated[list[Event], Meta(max_length=MAXIMUM_BATCH)]


class ExposuresBody(Struct):
    """Up to 2 500 exposures; each is judged by itself."""

    exposures: Annotated[list[Exposure], Meta(max_length=MAXIMUM_BATCH)]


class CountsBody(Struct):
    """Up to 2 500 daily totals; each is judged by itself."""

    system: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAXIMUM_SYSTEM_LENGTH,
            description="Which tool counted, for example `swetrix`; part of the replacement key.",
        ),
    ]
    counts: Annotated[list[Count], Meta(max_length=MAXIMUM_BATCH)]


@blueprint.post("/v1/events")
@requires("ingest")
@decodes(EventsBody)
@blueprint.output(IngestAnswer)
@blueprint.doc(
    summary="Store events",
    description="Durable before the answer. Answers 200 for a readable batch and judges each event by itself.",
)
def store_events() -> Response:
    """Store a batch of events."""
    items = _items(_envelope({"events"}), "events")
    return _json(services().ingest.take_events(project_id(), items, origin()))


@blueprint.post("/v1/events/validate")
@requires("ingest")
@decodes(EventsBody)
@blueprint.output(IngestAnswer)
@blueprint.doc(
    summary="Check events without storing them",
    description="The same verdicts as for storing; only duplicates are not looked up.",
)
def check_events() -> Response:
    """Judge a batch of events."""
    items = _items(_envelope({"events"}), "events")
    return _json(services().ingest.check_events(project_id(), items, origin()))


@blueprint.get("/v1/events")
@requires("read")
@blueprint.input(RecentQuery, location="query", arg_name="query")
@blueprint.output(RecentList)
@blueprint.doc(summary="Look at recent events", description="Newest first; `bots=true` shows those set aside.")
def read_recent(query: RecentQuery) -> RecentList:
    """Show what was stored last."""
    before = int(decode_cursor(query.cursor, int)[0]) if query.cursor else None
    rows = recent_events(services().stores.events, project_id(), query, before=before, limit=query.limit + 1)
    page = rows[: query.limit]
    return RecentList(data=page, next_cursor=encode_cursor(page[-1].sequence) if len(rows) > query.limit else None)


@blueprint.post("/v1/events/recover")
@requires("manage")
@blueprint.input(SetAside, arg_name="body")
@blueprint.output(RecoveredAnswer)
@blueprint.doc(
    summary="Take events back that were set aside as a bot's",
    description="From then on they count like all others. Ad platforms get them by a rule's backfill only.",
)
def recover_events(body: SetAside) -> RecoveredAnswer:
    """Take events back."""
    parts = services()
    return RecoveredAnswer(recovered=parts.ingest.recover(project_id(), parts.stores.events, body, origin()))


@blueprint.post("/v1/exposures")
@requires("ingest")
@decodes(ExposuresBody)
@blueprint.output(IngestAnswer)
@blueprint.doc(summary="Store exposures", description="Who saw which variant; the first exposure of a unit counts.")
def store_exposures() -> Response:
    """Store a batch of exposures."""
    items = _items(_envelope({"exposures"}), "exposures")
    return _json(services().ingest.take_exposures(project_id(), items, origin()))


@blueprint.post("/v1/counts")
@requires("ingest")
@decodes(CountsBody)
@blueprint.output(IngestAnswer)
@blueprint.doc(
    summary="Store daily totals",
    description="For cookieless tools that only know totals. The same key sent again replaces what was stored.",
)
def store_counts() -> Response:
    """Store a batch of daily totals."""
    envelope = _envelope({"system", "counts"})
    system = _system(envelope)
    return _json(services().ingest.take_counts(project_id(), system, _items(envelope, "counts"), origin()))


def origin() -> Origin:
    """Describe the present request as the pipeline wants it."""
    return Origin(now(), request.remote_addr or "", request.headers.get("User-Agent", ""))


def _envelope(known: set[str]) -> dict[str, msgspec.Raw]:
    raw = cached_body()
    try:
        envelope = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise InvalidInputError.at("", "not_an_object", "The body must be a JSON object.") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        refuse_deep_nesting(raw)
        raise UnreadableInputError("The body is not JSON.") from None
    for name in envelope.keys() - known:
        raise InvalidInputError.at(f"/{name[:80]}", "unknown_field", f"The body takes {' and '.join(sorted(known))}.")
    return envelope


def _items(envelope: dict[str, msgspec.Raw], name: str) -> list[msgspec.Raw]:
    if name not in envelope:
        raise InvalidInputError.at(f"/{name}", "missing", f"`{name}` is missing.")
    try:
        items = msgspec.json.decode(envelope[name], type=list[msgspec.Raw])
    except msgspec.ValidationError:
        raise InvalidInputError.at(f"/{name}", "not_a_list", f"`{name}` must be a list.") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise UnreadableInputError(f"`{name}` is not JSON.") from None
    if len(items) > MAXIMUM_BATCH:
        raise TooLargeError(f"{name} is over the limit of {MAXIMUM_BATCH} a request. Send less at a time.")
    for item in items:
        refuse_deep_nesting(bytes(item))
    return items


def _system(envelope: dict[str, msgspec.Raw]) -> str:
    try:
        system = msgspec.json.decode(envelope.get("system", b"null"), type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        system = ""
    if not 0 < len(system) <= MAXIMUM_SYSTEM_LENGTH:
        raise InvalidInputError.at("/system", "invalid", "`system` must name the counting tool, up to 64 characters.")
    return system


def _json(answer: object) -> Response:
    return Response(msgspec.json.encode(answer), mimetype="application/json")
