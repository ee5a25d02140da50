"""Keeps members and the gap-free sequence of changes in step with the events, one transaction a refresh.

Only people with the purpose's consent and without a suppression enter; both are looked at again on every refresh and
win over the definition. Suppressions are read inside the transaction that holds the segment's row, so that a refresh
under way cannot bring back somebody who was suppressed meanwhile.
"""

from __future__ import annotations

import datetime as dt

from sqlmodel import Session, col, select

from optimizer.core.rules import Rule, asks_likelihood, parse
from optimizer.feedback.permission import suppressed_units
from optimizer.segments.queries import Candidate, candidates
from optimizer.signals.likelihood_versions import Scoring, model_in_use, needed_model
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Segment, SegmentChange, SegmentMember


def refresh(stores: Stores, segment: Segment, *, now: dt.datetime) -> dict[str, int]:
    """Compute a segment's members again.

    Returns:
        How many entered, left, and are members now.

    Raises:
        ConflictError: See `scoring_for`; the members stay as they were.
    """
    rule = parse(segment.definition)
    model = scoring_for(stores, segment.project_id, rule, now=now)
    found = candidates(stores.events, segment.project_id, rule, segment.purpose, now=now, model=model)
    with stores.control.session() as session:
        locked = session.exec(select(Segment).where(Segment.id == segment.id).with_for_update()).first()
        if locked is None:
            return {"entered": 0, "left": 0, "members": 0}
        blocked = suppressed_units(
            session, stores, segment.project_id, [one.unit_id for one in found], segment.purpose
        )
        fitting = {one.unit_id: one for one in found}
        wanted = {unit: one for unit, one in fitting.items() if one.permitted and unit not in blocked}
        members = session.exec(select(SegmentMember).where(SegmentMember.segment_id == segment.id)).all()
        present = {member.unit_id: member for member in members}
        for unit, member in present.items():
            if unit in wanted:
                _update(session, member, wanted[unit])
            else:
                _leave(session, locked, member, _reason(fitting.get(unit), blocked), now)
        entering = [wanted[unit] for unit in sorted(wanted.keys() - present.keys())]
        for one in entering:
            _enter(session, locked, one, now)
        locked.refreshed_at = now
        session.add(locked)
    left = len(present.keys() - wanted.keys())
    return {"entered": len(entering), "left": left, "members": len(wanted)}


def scoring_for(stores: Stores, project_id: int, rule: Rule, *, now: dt.datetime) -> Scoring | None:
    """Return the model in use, if there is one.

    Raises:
        ConflictError: The rule asks how likely units are to convert, and no model holds.
    """
    find = needed_model if asks_likelihood(rule) else model_in_use
    return find(stores, project_id, now=now)


def remove_suppressed(session: Session, stores: Stores, project_id: int, *, now: dt.datetime) -> int:
    """Take suppressed people out of every segment at once; returns how many memberships ended."""
    removed = 0
    segments = session.exec(select(Segment).where(Segment.project_id == project_id).with_for_update()).all()
    for segment in segments:
        members = session.exec(select(SegmentMember).where(SegmentMember.segment_id == segment.id)).all()
        units = [member.unit_id for member in members]
        blocked = suppressed_units(session, stores, project_id, units, segment.purpose)
        for member in members:
            if member.unit_id in blocked:
                _leave(session, segment, member, "suppressed", now)
                removed += 1
    return removed


def due_segments(session: Session, *, now: dt.datetime) -> list[Segment]:
    """Read the segments of every project whose refresh has come round."""
    return [
        segment
        for segment in session.exec(select(Segment).order_by(col(Segment.id)))
        if segment.refreshed_at is None or segment.refreshed_at + dt.timedelta(minutes=segment.refresh_minutes) <= now
    ]


def _update(session: Session, member: SegmentMember, found: Candidate) -> None:
    for name in ("user_id", "last_event_at", "items", "value", "conversion_likelihood"):
        if getattr(member, name) != getattr(found, name):
            setattr(member, name, getattr(found, name))
    session.add(member)


def _enter(session: Session, segment: Segment, found: Candidate, now: dt.datetime) -> None:
    session.add(
        SegmentMember(
            segment_id=segment.id or 0,
            unit_id=found.unit_id,
            user_id=found.user_id,
            entered_at=now,
            last_event_at=found.last_event_at,
            items=found.items,
            value=found.value,
            conversion_likelihood=found.conversion_likelihood,
        )
    )
    _record(session, segment, "entered", found.unit_id, found.user_id, "fits the definition", now)


def _leave(session: Session, segment: Segment, member: SegmentMember, reason: str, now: dt.datetime) -> None:
    session.delete(member)
    _record(session, segment, "left", member.unit_id, member.user_id, reason, now)


def _record(  # noqa: PLR0917 - one row's columns
    session: Session, segment: Segment, change: str, unit_id: str, user_id: str | None, reason: str, now: dt.datetime
) -> None:
    segment.last_sequence += 1
    session.add(segment)
    session.add(
        SegmentChange(
            segment_id=segment.id or 0,
            sequence=segment.last_sequence,
            change=change,
            unit_id=unit_id,
            user_id=user_id,
            at=now,
            reason=reason,
        )
    )


def _reason(found: Candidate | None, blocked: set[str]) -> str:
    if found is None:
        return "no longer fits the definition"
    return "suppressed" if found.unit_id in blocked else "consent withdrawn"
