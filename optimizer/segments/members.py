"""What e-mail tools pull: the members of a segment, and who entered or left since a cursor.

Consent and suppressions are looked at once more for every page that leaves, because they may have changed since the
last refresh.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field
from sqlmodel import col, select

from optimizer.feedback.permission import permissions
from optimizer.ingest.match_data import Contact, read_contacts
from optimizer.segments.queries import NEEDED_CONSENT
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Segment, SegmentChange, SegmentMember


class Member(BaseModel):
    """One member."""

    user_id: str | None
    anonymous_id: str | None = Field(description="For visitors without a user id.")
    email_sha256: str | None = Field(description="SHA-256 of the trimmed, lower-cased address, where one was sent.")
    email: str | None = Field(description="Only with the project's contact storage and consent to e-mail.")
    entered_at: dt.datetime
    last_event_at: dt.datetime
    items: list[str] = Field(description="Products (`item_id`) of the events that made it a member, newest first.")
    value: float | None = Field(description="Σ value of those events.")
    conversion_likelihood: float | None = Field(
        description="How likely it is to convert soon, as of the last refresh; null without a model. Predicted."
    )


class Change(BaseModel):
    """One member entering or leaving."""

    sequence: int
    change: Literal["entered", "left"]
    user_id: str | None
    anonymous_id: str | None
    at: dt.datetime
    reason: str


def page_of_members(stores: Stores, segment: Segment, *, after: str, limit: int) -> tuple[list[Member], str | None]:
    """Read members by unit id.

    Returns:
        The members that may be told about, and where the next page begins (None at the end).
    """
    with stores.control.reading() as session:
        rows = session.exec(
            select(SegmentMember)
            .where(SegmentMember.segment_id == segment.id, SegmentMember.unit_id > after)
            .order_by(col(SegmentMember.unit_id))
            .limit(limit + 1)
        ).all()
        page = rows[:limit]
        contacts = read_contacts(session, stores.cipher, segment.project_id, [row.unit_id for row in page])
    allowed = permissions(stores, segment.project_id, [row.unit_id for row in page], purpose=segment.purpose)
    needed = NEEDED_CONSENT[segment.purpose]
    shown = [
        _member(row, contacts.get(row.unit_id, Contact()), mailable=allowed[row.unit_id].email is True)
        for row in page
        if not allowed[row.unit_id].suppressed
        and all(getattr(allowed[row.unit_id], signal) is True for signal in needed)
    ]
    return shown, page[-1].unit_id if len(rows) > limit else None


def page_of_changes(stores: Stores, segment: Segment, *, after: int, limit: int) -> list[Change]:
    """Read changes in order."""
    with stores.control.reading() as session:
        rows: Sequence[SegmentChange] = session.exec(
            select(SegmentChange)
            .where(SegmentChange.segment_id == segment.id, SegmentChange.sequence > after)
            .order_by(col(SegmentChange.sequence))
            .limit(limit)
        ).all()
    return [
        Change(
            sequence=row.sequence,
            change="entered" if row.change == "entered" else "left",
            user_id=row.user_id,
            anonymous_id=_anonymous(row.unit_id),
            at=row.at,
            reason=row.reason,
        )
        for row in rows
    ]


def _member(row: SegmentMember, contact: Contact, *, mailable: bool) -> Member:
    return Member(
        user_id=row.user_id,
        anonymous_id=_anonymous(row.unit_id),
        email_sha256=contact.email_sha256,
        email=contact.email if mailable else None,
        entered_at=row.entered_at,
        last_event_at=row.last_event_at,
        items=row.items,
        value=row.value,
        conversion_likelihood=row.conversion_likelihood,
    )


def _anonymous(unit_id: str) -> str | None:
    return unit_id.removeprefix("a:") if unit_id.startswith("a:") else None
