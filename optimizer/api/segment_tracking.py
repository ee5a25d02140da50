"""Segment's `POST /v1/batch`, so that its SDKs work unmodified: point their host here, use a key as write key."""

from __future__ import annotations

import datetime as dt

import msgspec
from apiflask import APIBlueprint
from flask import Response, jsonify, request
from msgspec import Raw, Struct

from optimizer.api._auth import authenticate, presented_key
from optimizer.api._bodies import cached_body, refuse_deep_nesting
from optimizer.api._context import now, project_id, services
from optimizer.api.ingest import MAXIMUM_BATCH, origin
from optimizer.errors import TooLargeError, UnauthenticatedError, UnreadableInputError
from optimizer.ingest.formats.segment import decode_batch

blueprint = APIBlueprint("segment_tracking", __name__, tag="Foreign formats")


class Batch(Struct, rename="camel"):
    """The envelope of Segment's batch call."""

    batch: list[Raw]
    write_key: str | None = None
    sent_at: dt.datetime | None = None


@blueprint.post("/v1/batch")
@blueprint.doc(
    summary="Segment: store a batch",
    description="Takes a key with the scope `ingest` as write key, in HTTP Basic or in the body. docs/ingest.md has "
    "the table of names.",
    security="bearer",
    responses={200: "Stored, and on disk"},
)
def store_batch() -> Response:
    """Store a batch of Segment calls."""
    batch = _read()
    if batch.write_key and "Authorization" not in request.headers:
        authenticate(batch.write_key, "ingest")
    else:
        authenticate(presented_key(request), "ingest")
    if len(batch.batch) > MAXIMUM_BATCH:
        raise TooLargeError(f"batch is over the limit of {MAXIMUM_BATCH} calls a request. Send less at a time.")
    decoded = decode_batch(batch.batch, received_at=now(), sent_at=batch.sent_at)
    answer = services().ingest.take(project_id(), decoded, origin())
    return jsonify(success=True, **msgspec.to_builtins(answer))


def _read() -> Batch:
    raw = cached_body()
    refuse_deep_nesting(raw)
    try:
        return msgspec.json.decode(raw, type=Batch)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        if not raw:
            raise UnauthenticatedError("Send a batch and a write key.") from None
        raise UnreadableInputError('The body is not a Segment batch: {"batch": [calls], "sentAt": time}.') from None
