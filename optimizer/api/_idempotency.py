"""`Idempotency-Key` on every POST that creates: the first answer is kept, encrypted, and replayed on a repeat."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

from flask import Response, request
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from optimizer.api._bodies import cached_body
from optimizer.api._context import now, project_id, services
from optimizer.errors import ConflictError, InvalidInputError
from optimizer.storage.tables import IdempotentAnswer

KEPT_FOR = dt.timedelta(hours=24)
ABANDONED_AFTER = dt.timedelta(seconds=60)
MAXIMUM_LENGTH = 200
UNFINISHED = 0


def once(view: Callable[[], Response]) -> Response:
    """Run the view, or replay its first answer if this key was used for the same request before.

    Raises:
        ConflictError: The first request is still under way, or the key was used for another request.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != "POST":
        return view()
    if not 0 < len(key) <= MAXIMUM_LENGTH:
        raise InvalidInputError.at("/headers/Idempotency-Key", "invalid", "Use 1 to 200 characters.")
    fingerprint = hashlib.sha256(b"\0".join([request.path.encode(), request.query_string, cached_body()])).hexdigest()
    replay = _claim(key, fingerprint)
    if replay is not None:
        return replay
    try:
        response = view()
    except BaseException:
        _release(key)
        raise
    _keep(key, response)
    return response


def _claim(key: str, fingerprint: str) -> Response | None:
    control = services().stores.control
    with control.session() as session:
        session.exec(delete(IdempotentAnswer).where(col(IdempotentAnswer.created_at) < now() - KEPT_FOR))
        found = _find(session, key)
        abandoned = found is not None and found.status == UNFINISHED and found.created_at < now() - ABANDONED_AFTER
        if found is not None and not abandoned:
            return _replay(found, fingerprint)
        row = found or IdempotentAnswer(
            project_id=project_id(), idempotency_key=key, request_sha256=fingerprint, status=UNFINISHED, body=""
        )
        row.request_sha256, row.created_at = fingerprint, now()
        session.add(row)
        try:
            session.flush()
        except IntegrityError:
            raise ConflictError("A request with this Idempotency-Key is under way.") from None
    return None


def _replay(found: IdempotentAnswer, fingerprint: str) -> Response:
    if found.request_sha256 != fingerprint:
        raise ConflictError("This Idempotency-Key was used for another request; nothing was changed.")
    if found.status == UNFINISHED:
        raise ConflictError("A request with this Idempotency-Key is under way.")
    body = services().stores.cipher.decrypt(found.body.encode())
    return Response(body, found.status, {"Idempotency-Replayed": "true"}, mimetype="application/json")


def _keep(key: str, response: Response) -> None:
    with services().stores.control.session() as session:
        found = _find(session, key)
        if found is not None:
            found.status = response.status_code
            found.body = services().stores.cipher.encrypt(response.get_data()).decode()
            session.add(found)


def _release(key: str) -> None:
    with services().stores.control.session() as session:
        found = _find(session, key)
        if found is not None:
            session.delete(found)


def _find(session: Session, key: str) -> IdempotentAnswer | None:
    return session.exec(
        select(IdempotentAnswer).where(
            IdempotentAnswer.project_id == project_id(), IdempotentAnswer.idempotency_key == key
        )
    ).first()
