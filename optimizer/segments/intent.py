"""What one unit seems to want, for the page that is shown next: answered from the control plane by key alone."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from optimizer.segments.profiles import note_asked
from optimizer.signals.recent import HISTORY
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition, Segment, SegmentMember, UnitProfile

MERGERS = 3  # a visitor became a user, who has another id now: two, and one to spare


class IntentEvent(BaseModel):
    """One event that a unit did in the last 30 days."""

    event: str
    kind: str | None = Field(description="From the catalog; null without an entry.")
    times: int
    last_at: dt.datetime


class Intent(BaseModel):
    """What is known of one unit."""

    status: Literal["known", "unknown"]
    detail: str
    user_id: str | None
    anonymous_id: str | None = Field(description="For visitors without a user id.")
    segments: list[str] = Field(description="Keys of the segments it is in.")
    micro_conversions: list[IntentEvent] = Field(description="Of the last 30 days, newest first.")
    conversions: list[IntentEvent] = Field(description="The same of events that the catalog calls macro.")
    conversion_likelihood: float | None = Field(
        description="How likely it is to convert soon; null without a model. Predicted, not caused."
    )
    computed_at: dt.datetime | None = Field(description="As of when; segments are as of their own refresh.")


def ask_intent(stores: Stores, project_id: int, asked: str, *, now: dt.datetime) -> Intent:
    """Read what is known of a unit, and see to it that it is kept up to date from now on.

    Args:
        stores: Both planes.
        project_id: Whose unit.
        asked: Its user id, or else its anonymous id.
        now: What is older than 30 days by then is not shown.
    """
    first = note_asked(stores, project_id, now=now)
    with stores.control.reading() as session:
        found = read_intent(session, project_id, asked, now=now)
    if first and found.status == "unknown":
        return found.model_copy(
            update={"detail": "This is the project's first question: ask again in a minute or so."}
        )
    return found


def read_intent(session: Session, project_id: int, asked: str, *, now: dt.datetime) -> Intent:
    """Read what is known of a unit.

    Args:
        session: An open session.
        project_id: Whose unit.
        asked: Its user id, or else its anonymous id.
        now: What is older than 30 days by then is not shown.
    """
    unit, profile = f"u:{asked}", None
    for candidate in (f"u:{asked}", f"a:{asked}"):
        profile = _profile(session, project_id, candidate)
        if profile is not None:
            unit = profile.unit_id
            break
    segments = _segments(session, project_id, [unit] if profile else [f"u:{asked}", f"a:{asked}"])
    kinds = _kinds(session, project_id, [one["event"] for one in profile.events] if profile else [])
    recent = [
        IntentEvent(**one, kind=kinds.get(one["event"]))
        for one in (profile.events if profile else [])
        if dt.datetime.fromisoformat(one["last_at"]) > now - HISTORY
    ]
    seen = bool(recent or segments)
    return Intent(
        status="known" if seen else "unknown",
        detail=f"As of {profile.computed_at.isoformat()}." if profile and seen else _unknown(in_segments=seen),
        user_id=unit.removeprefix("u:") if seen and unit.startswith("u:") else None,
        anonymous_id=unit.removeprefix("a:") if seen and unit.startswith("a:") else None,
        segments=segments,
        micro_conversions=[one for one in recent if one.kind != "macro"],
        conversions=[one for one in recent if one.kind == "macro"],
        conversion_likelihood=profile.conversion_likelihood if profile and recent else None,
        computed_at=profile.computed_at if profile else None,
    )


def _profile(session: Session, project_id: int, unit: str) -> UnitProfile | None:
    found = session.get(UnitProfile, (project_id, unit))
    for _ in range(MERGERS):
        if found is None or found.merged_into is None:
            return found
        found = session.get(UnitProfile, (project_id, found.merged_into))
    return None


def _segments(session: Session, project_id: int, units: list[str]) -> list[str]:
    return list(
        session.exec(
            select(Segment.key)
            .join(SegmentMember, col(SegmentMember.segment_id) == col(Segment.id))
            .where(Segment.project_id == project_id, col(SegmentMember.unit_id).in_(units))
            .order_by(Segment.key)
        )
    )


def _kinds(session: Session, project_id: int, names: list[str]) -> dict[str, str | None]:
    rows = session.exec(
        select(EventDefinition).where(EventDefinition.project_id == project_id, col(EventDefinition.name).in_(names))
    )
    return {row.name: row.kind for row in rows}


def _unknown(*, in_segments: bool) -> str:
    if in_segments:
        return "Nothing in the last 30 days; it is in segments all the same."
    return "Nothing in the last 30 days. What is sent now is known within a minute or so."
