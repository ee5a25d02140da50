"""Destinations as a team manages them: validated by the platform's models, credentials encrypted and write-only."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import Session, col, select

from optimizer.errors import InvalidInputError, NotFoundError, Problem
from optimizer.feedback.contract import Connection, Destination, Mode, destinations
from optimizer.feedback.states import cancel
from optimizer.storage.cipher import Cipher
from optimizer.storage.tables import DeliveryRecord, DestinationRecord


class DestinationRequest(BaseModel):
    """One account at one ad platform."""

    model_config = ConfigDict(extra="forbid")

    platform: str = Field(description="Which platform; an unknown name is answered with the known ones.")
    account: dict[str, Any] = Field(description="The platform's account fields, see docs/feedback.md.")
    credentials: dict[str, Any] | None = Field(None, description="Write-only; left out, the stored ones stay.")
    mode: Literal["live", "test", "paused"] = Field("live", description="`test` marks events as tests.")
    base_url: str | None = Field(None, max_length=500, description="Replaces scheme and host, for staging.")


class DestinationAnswer(BaseModel):
    """A destination without its credentials."""

    key: str
    platform: str
    account: dict[str, Any]
    has_credentials: bool
    mode: str
    base_url: str | None
    paused_reason: str | None = Field(description="Why nothing is sent; saving the destination again clears it.")
    circuit_open_until: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses beyond the public internet a `base_url` may name.

    Attributes:
        private: Any address (the operator allows private URLs).
        loopback: This machine's own (the service itself listens there only).
    """

    private: bool = False
    loopback: bool = False

    def allows(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether an address may be named."""
        return self.private or address.is_global or (self.loopback and address.is_loopback)


def put_destination(
    session: Session,
    cipher: Cipher,
    project_id: int,
    key: str,
    request: DestinationRequest,
    *,
    reach: Reach,
    now: dt.datetime,
) -> DestinationAnswer:
    """Create or replace a destination; clears what paused it.

    Raises:
        InvalidInputError: Names each field that does not fit the platform.
    """
    kind = platform_class(request.platform)
    row = _find(session, project_id, key, deleted=True) or DestinationRecord(
        project_id=project_id, key=key, platform=request.platform, created_at=now
    )
    _validate(kind.Account, request.account, "/account")
    if request.credentials is not None:
        _validate(kind.Credentials, request.credentials, "/credentials")
        row.credentials_ciphertext = cipher.encrypt(json.dumps(request.credentials).encode())
    if row.credentials_ciphertext is None or (row.platform != request.platform and request.credentials is None):
        raise InvalidInputError.at("/credentials", "missing", "This platform needs credentials.")
    if request.base_url is not None:
        check_base_url(request.base_url, reach)
    row.platform, row.account, row.mode = request.platform, request.account, request.mode
    row.base_url, row.paused_reason, row.deleted_at = request.base_url, None, None
    row.consecutive_failures, row.circuit_open_until, row.updated_at = 0, None, now
    session.add(row)
    session.flush()
    return answer(row)


def get_destination(session: Session, project_id: int, key: str) -> DestinationRecord:
    """Read one destination.

    Raises:
        NotFoundError: The project has none with this key.
    """
    row = _find(session, project_id, key)
    if row is None:
        raise NotFoundError("This project has no destination with that key. GET /v1/destinations lists them.")
    return row


def list_destinations(session: Session, project_id: int) -> list[DestinationRecord]:
    """Read a project's destinations by key."""
    return list(
        session.exec(
            select(DestinationRecord)
            .where(DestinationRecord.project_id == project_id, col(DestinationRecord.deleted_at).is_(None))
            .order_by(DestinationRecord.key)
        )
    )


def delete_destination(session: Session, project_id: int, key: str, *, now: dt.datetime) -> None:
    """Forget a destination's credentials and send it nothing more; its deliveries stay readable.

    Raises:
        NotFoundError: The project has none with this key.
    """
    row = get_destination(session, project_id, key)
    cancel(session, DeliveryRecord.destination_id == row.id, reason="destination deleted", now=now)
    row.deleted_at, row.credentials_ciphertext = now, None
    session.add(row)


def connect(cipher: Cipher, row: DestinationRecord) -> Destination:
    """Build the platform object of a stored destination."""
    kind = platform_class(row.platform)
    credentials = json.loads(cipher.decrypt(row.credentials_ciphertext or b""))
    mode: Mode = "test" if row.mode == "test" else "live"
    return kind(
        kind.Account.model_validate(row.account),
        kind.Credentials.model_validate(credentials),
        Connection(row.base_url, mode),
    )


def platform_class(platform: str) -> type[Destination]:
    """Find a platform.

    Raises:
        InvalidInputError: It is unknown; names those that are known.
    """
    known = destinations()
    if platform not in known:
        detail = f"platform must be one of {', '.join(sorted(known))}."
        raise InvalidInputError.at("/platform", "unknown_platform", detail)
    return known[platform]


def check_base_url(url: str, reach: Reach) -> None:
    """Refuse addresses that would let a key holder reach into the private network.

    Raises:
        InvalidInputError: Not an http(s) URL, carries credentials, or resolves to a private address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in {"http", "https"} or parts.username or parts.path.strip("/"):
        detail = "base_url must be a scheme and a host, such as https://staging.example.com."
        raise InvalidInputError.at("/base_url", "invalid_url", detail)
    try:
        found = socket.getaddrinfo(host, port or 443, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        raise InvalidInputError.at("/base_url", "unknown_host", "The host of base_url is not known.") from None
    addresses = [ipaddress.ip_address(address[4][0]) for address in found]
    if not all(reach.allows(address) for address in addresses):
        detail = "base_url is a private address; OPTIMIZER_ALLOW_PRIVATE_URLS allows those."
        raise InvalidInputError.at("/base_url", "private_address", detail)


def answer(row: DestinationRecord) -> DestinationAnswer:
    """Show a destination without its credentials."""
    shown = {name: getattr(row, name) for name in DestinationAnswer.model_fields if name != "has_credentials"}
    return DestinationAnswer(**shown, has_credentials=row.credentials_ciphertext is not None)


def _validate(model: type[BaseModel], given: dict[str, Any], base: str) -> None:
    try:
        model.model_validate(given)
    except ValidationError as error:
        problems = [
            Problem(base + "".join(f"/{part}" for part in fault["loc"]), fault["type"], fault["msg"])
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise InvalidInputError(f"{base[1:]} does not fit the platform; nothing was changed.", problems) from None


def _find(session: Session, project_id: int, key: str, *, deleted: bool = False) -> DestinationRecord | None:
    row = session.exec(
        select(DestinationRecord).where(DestinationRecord.project_id == project_id, DestinationRecord.key == key)
    ).first()
    return row if row is not None and (deleted or row.deleted_at is None) else None
