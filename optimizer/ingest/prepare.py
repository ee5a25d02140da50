"""Turns decoded events into rows: names made canonical, times judged, identity and consent settled.

Everything that can be decided without the store is decided here, in the request's own thread; the single writer
thread is left with deduplication and the commit.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uuid_utils

from optimizer.core.naming import REFUSED_NAMES, canonical_name
from optimizer.ingest.attribution import attributed
from optimizer.ingest.bots import is_bot
from optimizer.ingest.contacts import ContactHashes, hash_contacts
from optimizer.ingest.dedup import Identified, hash_id
from optimizer.ingest.event import Event, Exposure, Verdict
from optimizer.ingest.identity import unit_of
from optimizer.ingest.match_data import Contact, Kept, MatchData
from optimizer.storage.events import naive_utc

CLAMPED_FUTURE = dt.timedelta(hours=1)
EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@dataclass(frozen=True, slots=True)
class CatalogView:
    """What ingest needs of a project and its catalog.

    Attributes:
        project_id: The project.
        strict: Reject names that are not catalogued.
        contact_storage: Keep raw contacts (encrypted), given consent.
        retention_days: Reject events older than this; None keeps all.
        required_properties: Per catalogued name (status other than proposed), property to JSON type.
        seen: Canonical name to spellings already recorded.
    """

    project_id: int
    strict: bool = False
    contact_storage: bool = False
    retention_days: int | None = None
    required_properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seen: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
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


@dataclass(slots=True)
class Prepared:
    """A batch on its way to the writer, with what is already known about it."""

    events: list[Row] = field(default_factory=list)
    exposures: list[Row] = field(default_factory=list)
    rejected: list[Verdict] = field(default_factory=list)
    warnings: list[Verdict] = field(default_factory=list)
    new_names: dict[str, set[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares the items of one request.

    Attributes:
        catalog: The project's rules.
        received_at: When the request arrived, aware UTC.
        cookieless_unit: Gives the unit id of a visitor known only by IP address and user agent.
        remote_ip: The request's own address, used only when an event names none.
        remote_user_agent: The request's own user agent, likewise.
    """

    catalog: CatalogView
    received_at: dt.datetime
    cookieless_unit: Callable[[str, str], str]
    remote_ip: str = ""
    remote_user_agent: str = ""

    def add_events(self, items: Sequence[tuple[int, Event]], prepared: Prepared) -> None:
        """Prepare events; verdicts and rows are appended to `prepared`."""
        for index, event in items:
            self._add_event(index, event, prepared)

    def add_exposures(self, items: Sequence[tuple[int, Exposure]], prepared: Prepared) -> None:
        """Prepare exposures; verdicts and rows are appended to `prepared`."""
        for index, exposure in items:
            timestamp = self._timestamp(index, exposure.timestamp, prepared)
            if timestamp is None:
                continue
            unit = unit_of(exposure.user_id, exposure.anonymous_id)
            if not unit:
                detail = "Say who was exposed: `user_id` or `anonymous_id`."
                prepared.rejected.append(Verdict(index, "missing_unit", detail))
                continue
            prepared.exposures.append(self._exposure_row(index, exposure, unit, timestamp))

    def _exposure_row(self, index: int, exposure: Exposure, unit: str, timestamp: dt.datetime) -> Row:
        identifier = exposure.exposure_id or str(uuid_utils.uuid7())
        content = msgspec.json.encode(msgspec.structs.replace(exposure, exposure_id=None))
        identified = self._identified(identifier, content)
        values = (
            self.catalog.project_id,
            identifier,
            identified.id_hash,
            identified.content_hash,
            exposure.experiment,
            exposure.variant,
            unit,
            exposure.user_id,
            exposure.anonymous_id,
            naive_utc(timestamp),
            naive_utc(self.received_at),
        )
        return Row(index, identified, values)

    def _add_event(self, index: int, event: Event, prepared: Prepared) -> None:
        name = canonical_name(event.name)
        refusal = self._refusal(index, event, name)
        timestamp = None if refusal else self._timestamp(index, event.timestamp, prepared)
        if refusal:
            prepared.rejected.append(refusal)
        if timestamp is None:
            return
        self._look_at_catalog(index, event, name, prepared)
        identifier = event.event_id or str(uuid_utils.uuid7())
        identified = self._identified(identifier, _content(event, name))
        event = attributed(event)
        private = event.consent.analytics is False
        unit = "" if private else self._unit(event)
        kept = None if private else self._kept(index, event, identifier, unit, prepared)
        if _is_bot(event):
            detail = "Judged by its user agent to be a bot: set aside, counted nowhere."
            prepared.warnings.append(Verdict(index, "bot", detail))
        values = self._event_values(event, identified, name=name, unit=unit, timestamp=timestamp)
        prepared.events.append(Row(index, identified, values, kept))

    def _refusal(self, index: int, event: Event, name: str) -> Verdict | None:
        if not name:
            return Verdict(index, "missing_name", "`name` must contain a letter or a digit.")
        if event.value is not None and not math.isfinite(event.value):
            return Verdict(index, "invalid_field", "`value` must be a finite number.")
        if self.catalog.strict and name not in self.catalog.required_properties:
            return Verdict(index, "unknown_name", "The name is not catalogued and the project's catalog is strict.")
        return None

    def _timestamp(self, index: int, sent: dt.datetime | None, prepared: Prepared) -> dt.datetime | None:
        if sent is None:
            return self.received_at
        if sent > self.received_at + CLAMPED_FUTURE:
            detail = "`timestamp` is more than 1 h ahead of our clock."
            prepared.rejected.append(Verdict(index, "future_timestamp", detail))
            return None
        if sent > self.received_at:
            detail = "`timestamp` is ahead of our clock; the time of receipt was stored."
            prepared.warnings.append(Verdict(index, "clamped_timestamp", detail))
            return self.received_at
        days = self.catalog.retention_days
        if sent < EARLIEST or (days is not None and sent < self.received_at - dt.timedelta(days=days)):
            detail = "`timestamp` is before 1970 or older than the project's retention."
            prepared.rejected.append(Verdict(index, "too_old", detail))
            return None
        return sent

    def _look_at_catalog(self, index: int, event: Event, name: str, prepared: Prepared) -> None:
        if name in REFUSED_NAMES:
            detail = f"`{name}` is too generic to learn from and will not be catalogued."
            prepared.warnings.append(Verdict(index, "generic_name", detail))
        if event.name not in self.catalog.seen.get(name, frozenset()):
            prepared.new_names.setdefault(name, set()).add(event.name)
        for wanted, kind in self.catalog.required_properties.get(name, {}).items():
            if wanted not in event.properties:
                detail = f"The catalog requires the property `{wanted}`."
                prepared.warnings.append(Verdict(index, "missing_property", detail))
            elif not _is_a(event.properties[wanted], kind):
                detail = f"The catalog requires the property `{wanted}` to be of type {kind}."
                prepared.warnings.append(Verdict(index, "wrong_property_type", detail))

    def _unit(self, event: Event) -> str:
        known = unit_of(event.user_id, event.anonymous_id)
        if known:
            return known
        ip, agent = event.context.ip or self.remote_ip, event.context.user_agent or self.remote_user_agent
        return self.cookieless_unit(ip, agent)

    def _kept(self, index: int, event: Event, identifier: str, unit: str, prepared: Prepared) -> Kept | None:
        consent, person = event.consent, event.user
        if not (consent.ad_user_data or consent.email):
            return None
        hashes = hash_contacts(person.email, person.phone)
        if person.email and hashes.email_sha256 is None:
            prepared.warnings.append(Verdict(index, "invalid_email", "`user.email` is not an address; not kept."))
        if person.phone and hashes.phone_e164_sha256 is None:
            detail = "`user.phone` is not an international number such as +49 30 123456; not kept."
            prepared.warnings.append(Verdict(index, "invalid_phone", detail))
        match = _match_data(event, hashes) if consent.ad_user_data else None
        contact = self._contact(event, hashes)
        if match is None and contact is None:
            return None
        return Kept(self.catalog.project_id, identifier, unit, match, contact, self.received_at)

    def _contact(self, event: Event, hashes: ContactHashes) -> Contact | None:
        raw = self.catalog.contact_storage
        contact = Contact(
            email_sha256=hashes.email_sha256,
            email=event.user.email if raw and hashes.email_sha256 else None,
            phone=event.user.phone if raw and hashes.phone_e164_sha256 else None,
        )
        return None if contact == Contact() else contact

    def _event_values(
        self, event: Event, identified: Identified, *, name: str, unit: str, timestamp: dt.datetime
    ) -> tuple[Any, ...]:
        private = event.consent.analytics is False
        context, consent = event.context, event.consent
        return (
            identified.project_id,
            identified.id,
            identified.id_hash,
            identified.content_hash,
            name,
            naive_utc(timestamp),
            naive_utc(self.received_at),
            unit,
            None if private else event.user_id,
            None if private else event.anonymous_id,
            None if private else event.session_id,
            event.value,
            event.currency,
            _canonical_or_none(context.source),
            _canonical_or_none(context.medium),
            _canonical_or_none(context.campaign),
            context.device,
            context.page,
            context.country,
            msgspec.json.encode(event.properties).decode(),
            consent.analytics,
            consent.ad_user_data,
            consent.ad_personalization,
            consent.email,
            _is_bot(event),
        )

    def _identified(self, identifier: str, content: bytes) -> Identified:
        project = self.catalog.project_id
        return Identified(project, identifier, hash_id(project, identifier), hash_id(project, content.decode()))


def _content(event: Event, name: str) -> bytes:
    # Contacts, IP and user agent stay out: not even a hash of them goes into the event store.
    context = msgspec.structs.replace(event.context, ip=None, user_agent=None)
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
    return msgspec.json.encode(sent, order="sorted")


def _match_data(event: Event, hashes: ContactHashes) -> MatchData | None:
    match = MatchData(
        email_sha256=hashes.email_sha256,
        email_google_sha256=hashes.email_google_sha256,
        phone_e164_sha256=hashes.phone_e164_sha256,
        phone_digits_sha256=hashes.phone_digits_sha256,
        click_ids={name: value for name, value in event.click_ids.items() if value},
        ip=event.context.ip,
        user_agent=event.context.user_agent,
        page=event.context.page,
    )
    return None if match == MatchData() else match


def _is_bot(event: Event) -> bool:
    agent = event.context.user_agent
    return agent is not None and is_bot(agent)


def _canonical_or_none(text: str | None) -> str | None:
    return canonical_name(text) or None if text else None


def _is_a(value: object, kind: str) -> bool:
    return isinstance(value, JSON_TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
