"""Segments as a team manages them."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, delete, func, select

from optimizer.core.rules import parse
from optimizer.errors import NotFoundError
from optimizer.storage.tables import Segment, SegmentChange, SegmentMember

Purpose = Literal["email", "ads"]


class SegmentRequest(BaseModel):
    """Whom to bring back."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=200, description="Shown to people.")
    definition: dict[str, Any] = Field(
        description="`all`, `any`, `not` around `did` (within_days, at_least, where), `did_not` (since, within_days, "
        "where) and `conversion_likelihood` (at_least, below). See docs/segments.md."
    )
    refresh_minutes: int = Field(15, ge=1, le=10_080, description="How often members are computed again.")
    purpose: Purpose = Field("email", description="Decides which consent a member must have given.")


class SegmentAnswer(SegmentRequest):
    """One segment."""

    key: str
    size: int = Field(description="Members now.")
    refreshed_at: dt.datetime | None = Field(description="Null until the first refresh.")
    created_at: dt.datetime
    updated_at: dt.datetime


def put_segment(
    session: Session, project_id: int, key: str, request: SegmentRequest, *, now: dt.datetime
) -> SegmentAnswer:
    """Create or replace a segment; its members follow with the next refresh.

    Raises:
        InvalidInputError: Names the part of the definition that does not fit.
    """
    parse(request.definition)
    row = _find(session, project_id, key) or Segment(project_id=project_id, key=key, created_at=now)
    for name, value in request.model_dump().items():
        setattr(row, name, value)
    row.updated_at, row.refreshed_at = now, None
    session.add(row)
    session.flush()
    return answer(session, row)


def get_segment(session: Session, project_id: int, key: str) -> Segment:
    """Read one segment.

    Raises:
        NotFoundError: The project has none with this key.
    """
    row = _find(session, project_id, key)
    if row is None:
        raise NotFoundError("This project has no segment with that key. GET /v1/segments lists them.")
    return row


def list_segments(session: Session, project_id: int) -> list[Segment]:
    """Read a project's segments by key."""
    return list(session.exec(select(Segment).where(Segment.project_id == project_id).order_by(Segment.key)))


def delete_segment(session: Session, project_id: int, key: str) -> None:
    """Delete a segment with its members and changes; cursors of its changes expire.

    Raises:
        NotFoundError: The project has none with this key.
    """
    row = get_segment(session, project_id, key)
    for table in (SegmentMember, SegmentChange):
        session.exec(delete(table).where(col(table.segment_id) == row.id))
    session.delete(row)


def answer(session: Session, row: Segment) -> SegmentAnswer:
    """Show a segment."""
    size = session.exec(select(func.count()).where(SegmentMember.segment_id == row.id)).one()
    fields = {name: getattr(row, name) for name in SegmentAnswer.model_fields if name != "size"}
    return SegmentAnswer(**fields, size=size)


def _find(session: Session, project_id: int, key: str) -> Segment | None:
    return session.exec(select(Segment).where(Segment.project_id == project_id, Segment.key == key)).first()
