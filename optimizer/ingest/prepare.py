"""Judges decoded events: names made canonical, times checked, identity and consent settled, rows laid out.

Everything that can be decided without the store is decided here, in the request's own thread; the single writer
thread is left with deduplication and the commit. This is the hot path: what is asked of every event is asked once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import uuid_utils

from optimizer.core.naming import REFUSED_NAMES, canonical_name
from optimizer.ingest.attribution import attributed
from optimizer.ingest.bots import is_bot
from optimizer.ingest.catalog_views import CatalogView, KnownName
from optimizer.ingest.contacts import ContactHashes, hash_contacts
from optimizer.ingest.event import LARGEST_VALUE, NOT_ENROLLED, Alias, Event, Exposure, Verdict
from optimizer.ingest.identity import unit_of
from optimizer.ingest.match_data import Contact, Kept, MatchData
from optimizer.ingest.rows import Judged, Rows, event_content, exposure_content
from optimizer.ingest.viewing import EXPERIMENT_VIEWED, exposure_of

NO_TIME = dt.timedelta(0)
CLAMPED_FUTURE = dt.timedelta(hours=1)
EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
OTHER_CURRENCY = "other_currency"
MERGED_SPELLING = "merged_spelling"
JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@dataclass(slots=True)
class Prepared:
    """A batch on its way to the writer, with what is already known about it.

    Attributes:
        events: Rows to store.
        exposures: Rows to store.
        links: Rows to store; they are no items of the batch, but found in some.
        recoveries: Rows to store; events that were set aside and are taken back.
        shown: What the rows of `exposures` say, for whoever keeps what units saw.
        aliases: Items that were nothing but links.
        rejected: Items that are not stored.
        warnings: Items that are stored with a reservation.
        new_names: Canonical name to spellings that the catalog has not seen.
        refused_names: Canonical name of rejected items, where it could be read, by index.
    """

    events: Rows = field(default_factory=Rows)
    exposures: Rows = field(default_factory=Rows)
    links: Rows = field(default_factory=Rows)
    recoveries: Rows = field(default_factory=Rows)
    shown: list[Exposure] = field(default_factory=list)
    aliases: int = 0
    rejected: list[Verdict] = field(default_factory=list)
    warnings: list[Verdict] = field(default_factory=list)
    new_names: dict[str, set[str]] = field(default_factory=dict)
    refused_names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares the items of one request.

    Attributes:
        catalog: The project's rules.
        received_at: When the request arrived, aware UTC.
        cookieless_unit: Gives the unit id of a visitor known only by IP address and user agent.
        is_linked: Whether a unit is known to be another one already.
        remote_ip: The request's own address, used only when an event names none.
        remote_user_agent: The request's own user agent, likewise.
        corrections: What to add to an item's time for the client's clock, by index.
    """

    catalog: CatalogView
    received_at: dt.datetime
    cookieless_unit: Callable[[str, str], str]
    is_linked: Callable[[str], bool]
    remote_ip: str = ""
    remote_user_agent: str = ""
    corrections: Mapping[int, dt.timedelta] = field(default_factory=dict)

    def add_events(self, items: Sequence[tuple[int, Event]], prepared: Prepared) -> None:
        """Prepare events; verdicts and rows are appended to `prepared`."""
        earlier: dict[int, list[str]] = {}
        for verdict in prepared.warnings:
            earlier.setdefault(verdict.index, []).append(verdict.code)
        judged = Judged()
        for index, event in items:
            self._add_event(index, event, prepared, judged, earlier.get(index, ()))
        prepared.events.add_events(self.catalog.project_id, judged, self.received_at)

    def add_exposures(self, items: Sequence[tuple[int, Exposure]], prepared: Prepared) -> None:
        """Prepare exposures; verdicts and rows are appended to `prepared`."""
        for index, exposure in items:
            self._add_exposure(index, exposure, prepared)

    def _add_exposure(self, index: int, exposure: Exposure, prepared: Prepared) -> None:
        if exposure.variant == NOT_ENROLLED:
            detail = "Whoever is not in the test is no part of it: accepted and not kept."
            prepared.warnings.append(Verdict(index, "not_kept", detail))
            return
        timestamp = self._timestamp(index, exposure.timestamp, prepared)
        if timestamp is None:
            return
        unit = unit_of(exposure.user_id, exposure.anonymous_id)
        if not unit:
            detail = "Say who was exposed: `user_id` or `anonymous_id`."
            prepared.rejected.append(Verdict(index, "missing_unit", detail))
            return
        identifier = exposure.exposure_id or str(uuid_utils.uuid7())
        others = (
            exposure.experiment,
            exposure.variant,
            unit,
            exposure.user_id,
            exposure.anonymous_id,
            timestamp,
            self.received_at,
            exposure.session_id,
        )
        content = exposure_content(exposure)
        prepared.exposures.add(index, self.catalog.project_id, identifier, content, others)
        prepared.shown.append(msgspec.structs.replace(exposure, timestamp=timestamp))
        if exposure.user_id and exposure.anonymous_id:
            self._link(index, f"a:{exposure.anonymous_id}", unit, timestamp, prepared)

    def add_aliases(self, items: Sequence[tuple[int, Alias]], prepared: Prepared) -> None:
        """Prepare aliases: the earlier id may have been an anonymous visitor's or a user's."""
        for index, alias in items:
            timestamp = self._timestamp(index, alias.timestamp, prepared)
            if timestamp is None:
                continue
            prepared.aliases += 1
            for kind in ("a", "u"):
                self._link(index, f"{kind}:{alias.previous_id}", f"u:{alias.user_id}", timestamp, prepared)

    def _add_event(
        self, index: int, event: Event, prepared: Prepared, judged: Judged, earlier: Sequence[str]
    ) -> None:
        warnings = prepared.warnings
        mark = len(warnings)
        known = self.catalog.names.get(event.name)
        name = known.name if known else canonical_name(event.name)
        if name == EXPERIMENT_VIEWED and self._shows(event):
            self._add_viewed(index, event, prepared)
            return
        timestamp = self._accepted_at(index, event, name, known, prepared)
        if timestamp is None:
            prepared.refused_names[index] = name
            return
        if known is None or known.required_properties or event.currency:
            self._look_at_catalog(index, event, name, known, prepared)
        identifier = event.event_id or str(uuid_utils.uuid7())
        row = len(judged.ids)
        judged.contents.append(event_content(event, name))
        event = attributed(event)
        if event.consent.analytics is False:
            unit = ""
            judged.private.add(row)
        else:
            unit = self._unit(event)
            if event.consent.ad_user_data or event.consent.email:
                kept = self._kept(index, event, identifier, unit, prepared)
                if kept is not None:
                    judged.kept[row] = kept
            if event.user_id and event.anonymous_id:
                self._link(index, f"a:{event.anonymous_id}", unit, timestamp, prepared)
        if event.context.user_agent is not None and is_bot(event.context.user_agent):
            judged.bots.add(row)
            detail = "Judged by its user agent to be a bot: set aside, counted nowhere."
            warnings.append(Verdict(index, "bot", detail))
        if earlier or len(warnings) > mark or event.name != name:
            codes = [*earlier, *(found.code for found in warnings[mark:])]
            codes += [MERGED_SPELLING] if event.name != name else []
            judged.codes[row] = ",".join(dict.fromkeys(codes))
        judged.indexes.append(index)
        judged.events.append(event)
        judged.ids.append(identifier)
        judged.names.append(name)
        judged.units.append(unit)
        judged.times.append(timestamp)

    def _accepted_at(
        self, index: int, event: Event, name: str, known: KnownName | None, prepared: Prepared
    ) -> dt.datetime | None:
        # The time to store it under; None where it is not stored, with a verdict that says why.
        refusal = self._refusal(index, event, name, known)
        if refusal is not None:
            prepared.rejected.append(refusal)
            return None
        return self._timestamp(index, event.timestamp, prepared)

    @staticmethod
    def _shows(event: Event) -> bool:
        # Without consent nobody may be told from anybody else, and bots are set aside: both stay plain events.
        agent = event.context.user_agent
        return event.consent.analytics is not False and not (agent is not None and is_bot(agent))

    def _add_viewed(self, index: int, event: Event, prepared: Prepared) -> None:
        exposure = exposure_of(event)
        if exposure is None:
            detail = "Say which `experiment` and which `variant`, each as a text of up to 100 characters."
            prepared.rejected.append(Verdict(index, "missing_variant", detail))
            prepared.refused_names[index] = EXPERIMENT_VIEWED
            return
        self._add_exposure(index, exposure, prepared)

    def _link(self, index: int, from_unit: str, to_unit: str, timestamp: dt.datetime, prepared: Prepared) -> None:
        if from_unit != to_unit and not self.is_linked(from_unit):
            others = (to_unit, timestamp, self.received_at)
            prepared.links.add(index, self.catalog.project_id, from_unit, to_unit.encode(), others)

    def _refusal(self, index: int, event: Event, name: str, known: KnownName | None) -> Verdict | None:
        if not name:
            return Verdict(index, "missing_name", "`name` must contain a letter or a digit.")
        if event.value is not None and not abs(event.value) <= LARGEST_VALUE:  # NaN is not either
            detail = f"`value` must be a number of at most {LARGEST_VALUE:g} either way."
            return Verdict(index, "invalid_field", detail)
        if self.catalog.strict:
            known = known or self.catalog.names.get(name)
            if known is None or not known.catalogued:
                detail = "The name is not catalogued and the project's catalog is strict."
                return Verdict(index, "unknown_name", detail)
        return None

    def _timestamp(self, index: int, sent: dt.datetime | None, prepared: Prepared) -> dt.datetime | None:
        if sent is None:
            return self.received_at
        if self.corrections:
            try:
                sent += self.corrections.get(index, NO_TIME)
            except OverflowError:
                prepared.rejected.append(Verdict(index, "out_of_range", "`timestamp` is outside any calendar."))
                return None
        if sent > self.received_at:
            if sent > self.received_at + CLAMPED_FUTURE:
                detail = "`timestamp` is more than 1 h ahead of our clock."
                prepared.rejected.append(Verdict(index, "future_timestamp", detail))
                return None
            detail = "`timestamp` is ahead of our clock; the time of receipt was stored."
            prepared.warnings.append(Verdict(index, "clamped_timestamp", detail))
            return self.received_at
        days = self.catalog.retention_days
        if sent < EARLIEST or (days is not None and sent < self.received_at - dt.timedelta(days=days)):
            detail = "`timestamp` is before 1970 or older than the project's retention."
            prepared.rejected.append(Verdict(index, "too_old", detail))
            return None
        return sent

    def _look_at_catalog(
        self, index: int, event: Event, name: str, known: KnownName | None, prepared: Prepared
    ) -> None:
        if event.currency not in {None, self.catalog.currency} and event.value is not None:
            own = self.catalog.currency
            detail = (
                f"Values are added up as {own}, and this {event.currency} is not converted: send {own}, "
                f"or make another currency the project's (PATCH /v1/project)."
            )
            prepared.warnings.append(Verdict(index, OTHER_CURRENCY, detail))
        if known is None:
            prepared.new_names.setdefault(name, set()).add(event.name)
            if name in REFUSED_NAMES:
                detail = f"`{name}` is too generic to learn from and will not be catalogued."
                prepared.warnings.append(Verdict(index, "generic_name", detail))
            known = self.catalog.names.get(name)
        if known is None or not known.catalogued:
            return
        for wanted, kind in known.required_properties.items():
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


def _is_a(value: object, kind: str) -> bool:
    return isinstance(value, JSON_TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
