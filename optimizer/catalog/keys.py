"""API keys: made once, shown once, stored hashed, compared in constant time, listed by prefix."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlmodel import Session, col, select

from optimizer.errors import ConfigurationError, InvalidInputError, NotFoundError, UnauthenticatedError
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import ApiKey, Project

SCOPES = ("ingest", "read", "segments", "manage", "admin")
# What each scope may do beyond itself. `ingest` may sit in a tracker, `segments` in an e-mail tool: they open nothing
# else.
IMPLIED: dict[str, frozenset[str]] = {
    "ingest": frozenset({"ingest"}),
    "segments": frozenset({"segments"}),
    "read": frozenset({"read"}),
    "manage": frozenset({"manage", "read"}),
    "admin": frozenset(SCOPES),
}
PREFIX_LENGTH = 10
MINIMUM_BOOTSTRAP_LENGTH = 16
FRESH_SECONDS = 2.0
REMEMBERED_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """What a valid key opens.

    Attributes:
        project: The one project.
        scopes: Everything the key may do there.
        key_id: The key's row, for logs and rate limits.
        prefix: What the key is listed by, for people to read who did something.
    """

    project: Project
    scopes: frozenset[str]
    key_id: int
    prefix: str


def create_key(
    session: Session, project_id: int, scope: str, name: str = "", *, now: dt.datetime
) -> tuple[ApiKey, str]:
    """Make a key and return its row and, this once, the key itself.

    Raises:
        InvalidInputError: The scope is unknown.
    """
    if scope not in SCOPES:
        raise InvalidInputError.at("/scope", "unknown_scope", f"scope must be one of {', '.join(SCOPES)}.")
    key = f"opt_{secrets.token_urlsafe(32)}"
    return _store(session, key, ApiKey(project_id=project_id, scope=scope, name=name, created_at=now)), key


def ensure_bootstrap_key(session: Session, project_id: int, key: str, *, now: dt.datetime) -> None:
    """Make the operator's own key an admin key of the first project, if it is not one yet.

    Raises:
        ConfigurationError: The key is too short to be safe.
    """
    if len(key) < MINIMUM_BOOTSTRAP_LENGTH:
        raise ConfigurationError(f"bootstrap_key must have at least {MINIMUM_BOOTSTRAP_LENGTH} characters.")
    prefix = _prefix(key)
    found = session.exec(select(ApiKey).where(ApiKey.prefix == prefix)).first()
    if found is None:
        _store(session, key, ApiKey(project_id=project_id, scope="admin", name="bootstrap", created_at=now))


def open_key(session: Session, key: str) -> Opened:
    """Find what a key opens.

    Raises:
        UnauthenticatedError: The key is unknown or was revoked.
    """
    row = session.exec(select(ApiKey).where(ApiKey.prefix == _prefix(key))).first()
    stored = row.key_sha256 if row else "0" * 64
    if not hmac.compare_digest(stored, _sha256(key)) or row is None or row.revoked_at is not None:
        raise UnauthenticatedError("The key is unknown or was revoked. Send `Authorization: Bearer <key>`.")
    project = session.get_one(Project, row.project_id)
    return Opened(project, IMPLIED[row.scope], row.id or 0, row.prefix)


class OpenedKeys:
    """Remembers for a moment what keys open, so that a tracker's every request does not ask the control plane.

    A key revoked in this process closes at once, one revoked by another process within `FRESH_SECONDS`.

    Args:
        control: Where keys are kept.
        monotonic: A clock that never goes back, in seconds.
    """

    def __init__(self, control: ControlStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._monotonic = monotonic
        self._opened: dict[str, tuple[float, Opened]] = {}

    def open(self, key: str) -> Opened:
        """Find what a key opens.

        Raises:
            UnauthenticatedError: See `open_key`.
        """
        digest = _sha256(key)
        read_at, opened = self._opened.get(digest, (float("-inf"), None))
        if opened is None or self._monotonic() - read_at > FRESH_SECONDS:
            with self._control.reading() as session:
                opened = open_key(session, key)
            if len(self._opened) > REMEMBERED_KEYS:
                self._opened.clear()
            self._opened[digest] = (self._monotonic(), opened)
        return opened

    def forget(self) -> None:
        """Ask again, because a key or a project was changed here."""
        self._opened.clear()


def list_keys(session: Session, project_id: int) -> list[ApiKey]:
    """Return a project's keys, oldest first."""
    return list(session.exec(select(ApiKey).where(ApiKey.project_id == project_id).order_by(col(ApiKey.id))))


def revoke_key(session: Session, project_id: int, prefix: str, *, now: dt.datetime) -> None:
    """Close a key for good.

    Raises:
        NotFoundError: The project has no key with this prefix.
    """
    row = session.exec(select(ApiKey).where(ApiKey.project_id == project_id, ApiKey.prefix == prefix)).first()
    if row is None:
        raise NotFoundError("No key of this project has that prefix. GET /v1/keys lists them.")
    row.revoked_at = row.revoked_at or now
    session.add(row)


def _store(session: Session, key: str, row: ApiKey) -> ApiKey:
    row.prefix, row.key_sha256 = _prefix(key), _sha256(key)
    session.add(row)
    session.flush()
    return row


def _prefix(key: str) -> str:
    # A hash prefix, not the key's own first letters: operators choose bootstrap keys that may begin alike.
    return key[:4] + _sha256(key)[:PREFIX_LENGTH] if key.startswith("opt_") else _sha256(key)[: PREFIX_LENGTH + 4]


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
