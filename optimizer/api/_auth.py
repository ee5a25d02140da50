"""Keys and scopes: every route names the scope it needs with `requires`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import structlog
from flask import Request, current_app, g, request

from optimizer.api._context import services
from optimizer.api._idempotency import once
from optimizer.catalog.keys import Opened, open_key
from optimizer.errors import ForbiddenError, UnauthenticatedError
from optimizer.storage.tables import Project

View = TypeVar("View", bound=Callable[..., Any])
NEEDED_SCOPE = "needed_scope"  # attribute of a view; the documentation and the route test read it


def requires(scope: str) -> Callable[[View], View]:
    """Let a view run only with a key that has the scope; its project is then `project()`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - a decorator passes everything on
            authenticate(presented_key(request), scope)
            return once(lambda: current_app.make_response(view(*args, **kwargs)))

        setattr(guarded, NEEDED_SCOPE, scope)
        spec = getattr(guarded, "_spec", {})
        guarded._spec = {**spec, "security": "bearer"}  # type: ignore[attr-defined] # noqa: SLF001 - APIFlask's own slot
        return guarded  # type: ignore[return-value]

    return decorate


def authenticate(key: str, scope: str) -> Opened:
    """Open a key for this request.

    Raises:
        UnauthenticatedError: Unknown or revoked.
        ForbiddenError: The key lacks the scope.
    """
    if scope == "ingest":  # the hot path
        opened = services().keys.open(key)
    else:
        with services().stores.control.reading() as session:
            opened = open_key(session, key)
    if scope not in opened.scopes:
        raise ForbiddenError(f"This takes a key with the scope `{scope}`.")
    enter(opened.project)
    g.key_id, g.key_prefix = opened.key_id, opened.prefix
    structlog.contextvars.bind_contextvars(key_id=opened.key_id)
    return opened


def enter(project: Project) -> None:
    """Let the rest of this request act on a project."""
    g.project = project
    structlog.contextvars.bind_contextvars(project=project.key)


def presented_key(incoming: Request) -> str:
    """Read the key from a Bearer or Basic header (Basic: the user name, as tracker SDKs send their write key).

    Raises:
        UnauthenticatedError: There is none, or it cannot be read.
    """
    header = incoming.headers.get("Authorization", "")
    kind, _, credentials = header.partition(" ")
    if kind.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    if kind.lower() == "basic":
        return _basic_user(credentials.strip())
    raise UnauthenticatedError("A key is needed: send `Authorization: Bearer <key>`.")


def _basic_user(credentials: str) -> str:
    try:
        user, _, _ = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise UnauthenticatedError("The Authorization header cannot be read.") from None
    return user
