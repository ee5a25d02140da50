"""Recent events as server-sent events, for a debug view that shows a tracker's events as they arrive.

The store is asked once a second. A stream ends after ten minutes, and browsers come back by themselves with the last
id they saw, so nothing is missed; a few streams at a time, because each holds a thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import BoundedSemaphore

from apiflask import APIBlueprint
from apiflask.types import ResponsesObjectType
from flask import Response, current_app, request, stream_with_context

from optimizer.api._auth import requires
from optimizer.api._context import Services, project_id, services
from optimizer.errors import BusyError, UnreadableInputError
from optimizer.ingest.recent import RecentFilter, recent_events

POLL_SECONDS = 1.0
KEEP_ALIVE_POLLS = 15
LONGEST_SECONDS = 600.0
AT_ONCE = 200
SLOTS = "optimizer.streams"
STREAM: ResponsesObjectType = {
    200: {
        "description": "Until ten minutes have passed or either side ends it",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
blueprint = APIBlueprint("stream", __name__, tag="Ingest")


@blueprint.get("/v1/events/stream")
@requires("read")
@blueprint.input(RecentFilter, location="query", arg_name="query")
@blueprint.doc(
    summary="Watch events arrive",
    description="Server-sent events: each has the sequence as `id` and an event of `GET /v1/events` as `data`. "
    "`Last-Event-ID` goes on after that sequence.",
    responses=STREAM,
)
def stream_events(query: RecentFilter) -> Response:
    """Send events from now on, or from the last one the reader saw."""
    after = _last_seen()
    slots = _slots()
    if not slots.acquire(blocking=False):
        raise BusyError("Too many streams are open. Close one, or try again.", retry_after_seconds=10)
    parts, project = services(), project_id()
    if after is None:
        newest = recent_events(parts.stores.events, project, query, limit=1)
        after = newest[0].sequence if newest else 0
    lines = stream_with_context(_lines(parts, project, query, after))
    response = Response(lines, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})
    response.call_on_close(slots.release)
    return response


def _lines(parts: Services, project: int, query: RecentFilter, after: int) -> Iterator[str]:
    yield "retry: 1000\n\n"
    quiet, end = 0, time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < end:
        found = recent_events(parts.stores.events, project, query, after=after, limit=AT_ONCE)
        for event in found:
            yield f"id: {event.sequence}\nevent: event\ndata: {event.model_dump_json()}\n\n"
        quiet = 0 if found else quiet + 1
        if quiet >= KEEP_ALIVE_POLLS:
            quiet = 0
            yield ": still here\n\n"
        if found:
            after = found[-1].sequence
        if parts.stopping.wait(POLL_SECONDS):
            return


def _last_seen() -> int | None:
    given = request.headers.get("Last-Event-ID")
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or int(given) >= 2**63:
        raise UnreadableInputError("Last-Event-ID must be an `id` that a stream sent.")
    return int(given)


def _slots() -> BoundedSemaphore:
    slots: BoundedSemaphore = current_app.extensions.setdefault(
        SLOTS, BoundedSemaphore(max(1, services().settings.threads // 4))
    )
    return slots
