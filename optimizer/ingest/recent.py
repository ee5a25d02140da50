"""What was stored last, for somebody who has just installed a tracker and wants to see it arrive."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import msgspec
from pydantic import BaseModel, ConfigDict, Field

from optimizer.core.naming import canonical_name
from optimizer.ingest.identity import unit_of
from optimizer.storage.events import EventStore, as_utc

COLUMNS = (
    "sequence",
    "event_id",
    "name",
    "timestamp",
    "received_at",
    "user_id",
    "anonymous_id",
    "session_id",
    "value",
    "currency",
    "source",
    "medium",
    "campaign",
    "device",
    "page",
    "country",
    "properties",
)
CONSENT = ("analytics", "ad_user_data", "ad_personalization", "email")


class RecentFilter(BaseModel):
    """Which events."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200, description="One event name, in any spelling.")
    unit: str | None = Field(None, max_length=200, description="A user id or an anonymous id.")
    bots: bool = Field(default=False, description="Show the events that were set aside instead.")


class RecentEvent(BaseModel):
    """One stored event."""

    sequence: int
    event_id: str
    name: str
    timestamp: dt.datetime
    received_at: dt.datetime
    user_id: str | None
    anonymous_id: str | None
    session_id: str | None
    value: float | None
    currency: str | None
    source: str | None
    medium: str | None
    campaign: str | None
    device: str | None
    page: str | None
    country: str | None
    properties: dict[str, Any]
    consent: dict[str, bool | None]
    unit: str = Field(description="Whose it is: u:user, a:anonymous, c:cookieless; empty without analytics consent.")
    verdict: str = Field(description="`accepted`, or `set_aside` for a bot.")
    warnings: list[str] = Field(description="Codes of the reservations it was stored with.")


def recent_events(
    store: EventStore,
    project_id: int,
    wanted: RecentFilter,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int,
) -> list[RecentEvent]:
    """Read events, newest first; with `after`, oldest first.

    Args:
        store: The event plane.
        project_id: Whose events.
        wanted: Which.
        before: Only those stored before this sequence.
        after: Only those stored after this sequence.
        limit: How many at most.
    """
    events = store.set_aside(project_id) if wanted.bots else store.events(project_id)
    if wanted.name is not None:
        events = events.filter(events.name == canonical_name(wanted.name))
    if wanted.unit is not None:
        units = [unit_of(wanted.unit, None), unit_of(None, wanted.unit)]
        events = events.filter(events.unit_id.isin(units) | (events.anonymous_id == wanted.unit))
    if before is not None:
        events = events.filter(events.sequence < before)
    if after is not None:
        events = events.filter(events.sequence > after)
    order = ibis.desc("sequence") if after is None else ibis.asc("sequence")
    consents = {f"consent_{signal}": events[f"consent_{signal}"] for signal in CONSENT}
    shown = events.select(*COLUMNS, "unit_id", "warnings", **consents).order_by(order).limit(limit)
    return [_shown(row, "set_aside" if wanted.bots else "accepted") for row in shown.to_pyarrow().to_pylist()]


def _shown(row: dict[str, Any], verdict: str) -> RecentEvent:
    fields = {name: row[name] for name in COLUMNS}
    fields["timestamp"], fields["received_at"] = as_utc(row["timestamp"]), as_utc(row["received_at"])
    fields["properties"] = msgspec.json.decode(row["properties"])
    fields |= {"unit": row["unit_id"], "verdict": verdict, "warnings": (row["warnings"] or "").split(",")}
    fields["warnings"] = [code for code in fields["warnings"] if code]
    return RecentEvent(**fields, consent={signal: row[f"consent_{signal}"] for signal in CONSENT})
