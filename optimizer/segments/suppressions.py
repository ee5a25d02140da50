"""People who must receive nothing: known by user id or by the hash of their address, never by the address."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from optimizer.errors import InvalidInputError
from optimizer.ingest.contacts import normal_email
from optimizer.segments.refresh import remove_suppressed
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Suppression


class SuppressionItem(BaseModel):
    """One person, by exactly one of three ways."""

    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    email: Annotated[str, Field(max_length=320)] | None = Field(None, description="Hashed on arrival, never stored.")
    email_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="SHA-256 of the trimmed, lower-cased address."
    )
    reason: str = Field("", max_length=500, description="For your records; write no personal data here.")
    purpose: Literal["all", "email", "ads"] = Field("all", description="What must not reach the person.")


class SuppressionRequest(BaseModel):
    """Up to 10 000 people."""

    model_config = ConfigDict(extra="forbid")

    suppressions: list[SuppressionItem] = Field(min_length=1, max_length=10_000)


class SuppressionAnswer(BaseModel):
    """What changed."""

    added: int = 0
    removed: int = 0
    unchanged: int = Field(0, description="Already so.")
    memberships_ended: int = Field(0, description="In how many segments somebody's membership ended at once.")


def suppress(
    session: Session, stores: Stores, project_id: int, request: SuppressionRequest, *, now: dt.datetime
) -> SuppressionAnswer:
    """Suppress people, and take them out of every segment in the same transaction.

    Raises:
        InvalidInputError: Names the item that names nobody, or several ways at once.
    """
    added = 0
    for user_id, email, item in _people(request):
        if _find(session, project_id, user_id, email, item.purpose) is None:
            session.add(
                Suppression(
                    project_id=project_id,
                    user_id=user_id,
                    email_sha256=email,
                    purpose=item.purpose,
                    reason=item.reason,
                    created_at=now,
                )
            )
            session.flush()
            added += 1
    ended = remove_suppressed(session, stores, project_id, now=now)
    return SuppressionAnswer(added=added, unchanged=len(request.suppressions) - added, memberships_ended=ended)


def lift(session: Session, project_id: int, request: SuppressionRequest) -> SuppressionAnswer:
    """Lift suppressions; people enter segments again with the next refresh.

    Raises:
        InvalidInputError: As in `suppress`.
    """
    removed = 0
    for user_id, email, item in _people(request):
        found = _find(session, project_id, user_id, email, item.purpose)
        if found is not None:
            session.delete(found)
            session.flush()
            removed += 1
    return SuppressionAnswer(removed=removed, unchanged=len(request.suppressions) - removed)


def _people(request: SuppressionRequest) -> list[tuple[str | None, str | None, SuppressionItem]]:
    people = []
    for place, item in enumerate(request.suppressions):
        ways = [item.user_id, item.email, item.email_sha256]
        if sum(way is not None for way in ways) != 1:
            detail = "Give exactly one of user_id, email or email_sha256."
            raise InvalidInputError.at(f"/suppressions/{place}", "one_of", detail)
        address = normal_email(item.email) if item.email is not None else None
        if item.email is not None and address is None:
            raise InvalidInputError.at(f"/suppressions/{place}/email", "not_an_address", "This is not an address.")
        email = hashlib.sha256(address.encode()).hexdigest() if address else item.email_sha256
        people.append((item.user_id, email, item))
    return people


def _find(
    session: Session, project_id: int, user_id: str | None, email: str | None, purpose: str
) -> Suppression | None:
    own = select(Suppression).where(Suppression.project_id == project_id, Suppression.purpose == purpose)
    by = Suppression.user_id == user_id if user_id is not None else col(Suppression.email_sha256) == email
    return session.exec(own.where(by)).first()
