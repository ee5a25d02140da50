"""Lays an event, an exposure or a link out as a row: column values in schema order, and what identifies it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from msgspec import Struct

from optimizer.core.naming import canonical_name
from optimizer.ingest.dedup import Identified, hash_bytes, hash_id
from optimizer.ingest.event import Event, Exposure
from optimizer.ingest.match_data import Kept
from optimizer.storage.events import naive_utc

_ENCODER = msgspec.json.Encoder()
_SORTED = msgspec.json.Encoder(order="sorted")


class Row(Struct, frozen=True, gc=False):
    """One row ready for the writer.

    Attributes:
        index: Its place in the request's batch.
        identified: What the deduplicator compares.
        values: Column values in schema order, without `sequence`.
        kept: Match data and contact, if consent allows any.
    """

    index: int
    identified: Identified
    values: tuple[Any, ...]
    kept: Kept | None = None


class Judged(Struct, frozen=True, gc=False):
    """What preparation found about an event.

    Attributes:
        name: Its canonical name.
        unit: Whose it is; empty without analytics consent.
        timestamp: When it happened, naive UTC.
        bot: Whether it is set aside.
        warnings: Codes joined by commas; None without any.
    """

    name: str
    unit: str
    timestamp: dt.datetime
    bot: bool
    warnings: str | None


def identify(project_id: int, identifier: str, content: bytes) -> Identified:
    """Name a row and its content for the deduplicator."""
    return Identified(project_id, identifier, hash_id(project_id, identifier), hash_bytes(content))


def event_content(event: Event, name: str) -> bytes:
    """Write down what was sent, for telling a repeat from other content under the same id.

    Contacts, IP and user agent stay out: not even a hash of them goes into the event store.
    """
    context = event.context
    if context.ip is not None or context.user_agent is not None:
        context = msgspec.structs.replace(context, ip=None, user_agent=None)
    sent = (
        name,
        event.timestamp,
        event.user_id,
        event.anonymous_id,
        event.session_id,
        event.properties,
        event.value,
        event.currency,
        context,
        event.consent,
    )
    return _SORTED.encode(sent)


def event_values(event: Event, identified: Identified, judged: Judged, received_at: dt.datetime) -> tuple[Any, ...]:
    """Lay an event out in the order of `EVENT_SCHEMA`, without `sequence`; `received_at` is naive UTC."""
    context, consent = event.context, event.consent
    private = consent.analytics is False
    return (
        identified.project_id,
        identified.id,
        identified.id_hash,
        identified.content_hash,
        judged.name,
        judged.timestamp,
        received_at,
        judged.unit,
        None if private else event.user_id,
        None if private else event.anonymous_id,
        None if private else event.session_id,
        event.value,
        event.currency,
        canonical_name(context.source) or None if context.source else None,
        canonical_name(context.medium) or None if context.medium else None,
        canonical_name(context.campaign) or None if context.campaign else None,
        context.device,
        context.page,
        context.country,
        _ENCODER.encode(event.properties).decode() if event.properties else "{}",
        consent.analytics,
        consent.ad_user_data,
        consent.ad_personalization,
        consent.email,
        judged.bot,
        judged.warnings,
    )


def exposure_row(
    index: int, project_id: int, exposure: Exposure, identifier: str, unit: str, *, times: tuple[dt.datetime, ...]
) -> Row:
    """Lay an exposure out; `times` are when it happened and when it arrived, naive UTC."""
    content = _ENCODER.encode(msgspec.structs.replace(exposure, exposure_id=None))
    identified = identify(project_id, identifier, content)
    values = (
        project_id,
        identifier,
        identified.id_hash,
        identified.content_hash,
        exposure.experiment,
        exposure.variant,
        unit,
        exposure.user_id,
        exposure.anonymous_id,
        *times,
        exposure.session_id,
    )
    return Row(index, identified, values)


def link_row(index: int, project_id: int, from_unit: str, to_unit: str, *, times: tuple[dt.datetime, ...]) -> Row:
    """Lay out that one unit is another; `times` are when it was said and when it arrived, naive UTC."""
    identified = identify(project_id, from_unit, to_unit.encode())
    values = (project_id, from_unit, identified.id_hash, identified.content_hash, to_unit, *times)
    return Row(index, identified, values)


def recovery_row(index: int, project_id: int, event_id: str, received_at: dt.datetime) -> Row:
    """Lay out that an event that was set aside is taken back; `received_at` is naive UTC."""
    identified = identify(project_id, event_id, b"")
    values = (project_id, event_id, identified.id_hash, identified.content_hash, received_at)
    return Row(index, identified, values)


def naive(moment: dt.datetime) -> dt.datetime:
    """Convert to the engines' naive UTC, without the detour where the time is in UTC already."""
    return moment.replace(tzinfo=None) if moment.tzinfo is dt.UTC else naive_utc(moment)
