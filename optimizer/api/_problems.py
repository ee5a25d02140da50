"""One error shape for every route but OFREP's: RFC 9457 `application/problem+json`; it never echoes what was sent."""

from __future__ import annotations

import json
from typing import Any

import structlog
from apiflask import APIFlask, HTTPError
from flask import Response
from pydantic import BaseModel, Field
from werkzeug.exceptions import HTTPException

from optimizer import errors

STATUSES: dict[type[errors.OptimizerError], tuple[int, str]] = {
    errors.UnreadableInputError: (400, "Unreadable input"),
    errors.InvalidInputError: (422, "Invalid input"),
    errors.UnauthenticatedError: (401, "Key needed"),
    errors.ForbiddenError: (403, "Scope missing"),
    errors.NotFoundError: (404, "Not found"),
    errors.ConflictError: (409, "Conflict"),
    errors.GoneError: (410, "Expired"),
    errors.TooLargeError: (413, "Too large"),
    errors.BusyError: (503, "Busy"),
}
log = structlog.get_logger(__name__)


class ProblemItem(BaseModel):
    """One faulty field."""

    pointer: str = Field(description="RFC 6901 pointer of the field, in the body or as `/query/name`.")
    code: str = Field(description="Stable name of the fault.")
    detail: str = Field(description="One sentence.")


class ProblemDocument(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="Always `about:blank`: the status and the codes say what happened.")
    title: str
    status: int
    detail: str
    errors: list[ProblemItem] = []


class Refusal(BaseModel):
    """Why there is no evaluation, in OFREP's own terms."""

    key: str | None = Field(None, description="The flag's, where one was asked for.")
    errorCode: str | None = Field(None, description="In OpenFeature's terms.")  # noqa: N815 - OFREP's own names
    errorDetails: str = Field(description="One sentence.")  # noqa: N815


def problem(
    status: int,
    title: str,
    detail: str,
    items: tuple[errors.Problem, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Build a problem response."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body["errors"] = [{"pointer": item.pointer, "code": item.code, "detail": item.detail} for item in items]
    return Response(json.dumps(body), status, headers=headers, mimetype="application/problem+json")


def install(app: APIFlask) -> None:
    """Answer every kind of failure in the one shape."""
    app.register_error_handler(errors.OptimizerError, _on_own)
    app.register_error_handler(HTTPException, _on_http)
    app.register_error_handler(Exception, _on_unexpected)

    def on_framework(error: HTTPError) -> Response:
        return problem(error.status_code, "Request refused", str(error.message))

    app.error_processor(on_framework)


def unreachable(error: Exception) -> Response:
    """Answer for an event store that cannot be asked now."""
    log.error("event_store_unreachable", kind=type(error).__name__)
    detail = "The event store cannot be reached or did not answer. Nothing was changed; try again."
    return problem(503, "Busy", detail, (), {"Retry-After": "5"})


def _on_own(error: errors.OptimizerError) -> Response:
    for kind, (status, title) in STATUSES.items():
        if isinstance(error, kind):
            headers = {}
            if isinstance(error, errors.BusyError):
                headers["Retry-After"] = str(error.retry_after_seconds)
            if isinstance(error, errors.UnauthenticatedError):
                headers["WWW-Authenticate"] = "Bearer"
            items = error.problems if isinstance(error, errors.InvalidInputError) else ()
            return problem(status, title, error.detail, items, headers)
    return _on_unexpected(error)


def _on_http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {}
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        headers["Allow"] = ", ".join(allowed)
    retry_after = getattr(error, "retry_after", None)
    if isinstance(retry_after, int):
        headers["Retry-After"] = str(retry_after)
    return problem(status, error.name, str(error.description), (), headers)


def _on_unexpected(error: Exception) -> Response:
    log.error("unexpected_error", kind=type(error).__name__, exc_info=_without_values(error))
    return problem(500, "Internal error", "Something failed on our side; the log has the place. Retrying may help.")


def _without_values(error: Exception) -> tuple[type[Exception], Exception, Any]:
    # A message may quote what the caller sent, hence personal data: the log gets the kind and the place only.
    return RuntimeError, RuntimeError(type(error).__name__), error.__traceback__
