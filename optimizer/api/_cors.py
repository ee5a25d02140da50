"""Lets browsers' own pages send events: cross-origin answers for the ingest routes, for allowed origins only.

Only what takes the scope `ingest` is opened, never a route that reads: a key in a page can write and nothing else.
"""

from __future__ import annotations

from apiflask import APIFlask
from flask import Response, current_app, g, request

from optimizer.api._auth import NEEDED_SCOPE
from optimizer.api._context import services
from optimizer.catalog.sites import allows

HEADERS = "Authorization, Content-Type, Content-Encoding, Idempotency-Key, If-None-Match, X-API-Key"
PREFLIGHT_SECONDS = "600"


def install(app: APIFlask) -> None:
    """Add the headers to every answer of an ingest route that an allowed page asked for."""
    app.after_request(_allow)


def _allow(response: Response) -> Response:
    origin = request.headers.get("Origin")
    if origin is None or not _takes_events():
        return response
    response.vary.add("Origin")
    if request.method == "OPTIONS":
        if services().sites.any_allows(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Methods"] = "POST"
            response.headers["Access-Control-Allow-Headers"] = HEADERS
            response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    elif "project" in g and allows(g.project, origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "ETag, Retry-After"
    return response


def _takes_events() -> bool:
    rule = request.url_rule
    if rule is None or "POST" not in (rule.methods or ()):
        return False
    return getattr(current_app.view_functions[rule.endpoint], NEEDED_SCOPE, None) == "ingest"
