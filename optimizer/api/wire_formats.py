"""Foreign wire formats, so that existing trackers work unmodified: one route each, made from what is discovered."""

from __future__ import annotations

from apiflask import APIBlueprint
from apiflask.types import ResponseObjectType, ResponsesObjectType
from flask import Response, jsonify, request

from optimizer.api._auth import NEEDED_SCOPE, authenticate, enter, presented_key
from optimizer.api._bodies import cached_body, refuse_deep_nesting
from optimizer.api._context import now, project_id, services
from optimizer.api.ingest import MAXIMUM_BATCH, origin
from optimizer.errors import TooLargeError
from optimizer.ingest.wire import Batch, Incoming, Reply, WireFormat, wire_formats

MAXIMUM_USER_AGENT = 1_000
blueprint = APIBlueprint("wire_formats", __name__, tag="Foreign formats")


def _register(wire_format: WireFormat, path: str) -> None:
    name = f"{type(wire_format).__name__.lower()}{path.replace('/', '_')}"

    def view() -> Response:
        return _take(wire_format)

    setattr(view, NEEDED_SCOPE, "ingest")
    responses: ResponsesObjectType = {status: _described(form) for status, form in wire_format.replies.items()}
    described = blueprint.doc(
        summary=f"{wire_format.title}: {path}",
        description=f"The key stands {wire_format.where_the_key_is}. See docs/ingest.md.",
        security="bearer",
        responses=responses,
    )
    blueprint.add_url_rule(path, name, described(view), methods=["POST"])


def _described(form: str) -> ResponseObjectType:
    return {"description": "Read; what was accepted is on disk", "content": {form: {"schema": {}}} if form else {}}


def _take(wire_format: WireFormat) -> Response:
    raw = cached_body()
    refuse_deep_nesting(raw)
    has_header = "Authorization" in request.headers
    if has_header or not raw:
        authenticate(presented_key(request), "ingest")
    batch = wire_format.read(Incoming(request.path, raw, request.args.to_dict(), now(), _visitor()))
    if batch.decoded is None:
        return _response(wire_format.reply(batch, None))
    if not has_header and batch.site is not None:
        enter(services().sites.open(batch.site, request.headers.get("Origin", "")))
    elif not has_header:
        authenticate(batch.key or presented_key(request), "ingest")
    return _store(wire_format, batch)


def _store(wire_format: WireFormat, batch: Batch) -> Response:
    if batch.items > MAXIMUM_BATCH or batch.decoded is None:
        raise TooLargeError(f"The batch is over the limit of {MAXIMUM_BATCH} items a request. Send less at a time.")
    answer = services().ingest.take(project_id(), batch.decoded, origin())
    return _response(wire_format.reply(batch, answer))


def _visitor() -> dict[str, str]:
    found = {"ip": request.remote_addr, "user_agent": request.headers.get("User-Agent", "")[:MAXIMUM_USER_AGENT]}
    return {name: value for name, value in found.items() if value}


def _response(reply: Reply) -> Response:
    if reply.body is None or isinstance(reply.body, str):
        return Response(reply.body, reply.status, mimetype="text/plain")
    response = jsonify(reply.body)
    response.status_code = reply.status
    return response


for _format in wire_formats():
    for _path in _format.routes:
        _register(_format, _path)
