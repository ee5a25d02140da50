"""PostHog's batch format, as its server-side SDKs send it.

`$feature_flag_called` is an exposure when the flag's response names a variant; a boolean flag names none.

`distinct_id` is the user, unless the event belongs to nobody's profile or repeats the device id: then it is an
anonymous visitor. `$pageview` and `$screen` become `page_view` and `screen_view`; other internal events (`$…`) carry
nothing that a decision here is made from and are accepted with a warning. Source: PostHog's capture API documentation
and `posthog` 7.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Raw, Struct

from optimizer.errors import UnreadableInputError
from optimizer.ingest.event import NOT_ENROLLED, Alias, BatchAnswer, Event, Verdict
from optimizer.ingest.service import Decoded
from optimizer.ingest.viewing import EXPERIMENT_VIEWED
from optimizer.ingest.wire import Batch, Incoming, Reply, WireFormat, mapping, moment, number, read_items, skew, text

NAMES = {"$pageview": "page_view", "$screen": "screen_view", "$identify": "identify"}
FLAG_CALLED = "$feature_flag_called"
ALIASES = frozenset({"$create_alias", "$merge_dangerously"})
CLICK_IDS = ("gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "li_fat_id")
VALUES = ("$revenue", "revenue", "value", "price")


class Captured(Struct):
    """One captured event."""

    event: str
    distinct_id: str | int | None = None
    uuid: str | None = None
    timestamp: dt.datetime | None = None
    properties: dict[str, Any] | None = None


class Envelope(Struct):
    """One request."""

    batch: list[Raw]
    api_key: str | None = None
    sent_at: dt.datetime | None = None


_DECODER = msgspec.json.Decoder(Captured)


class PostHog(WireFormat):
    """PostHog's `POST /batch/`."""

    title: ClassVar[str] = "PostHog"
    where_the_key_is: ClassVar[str] = "as the project's `api_key` in the body"
    routes: ClassVar[tuple[str, ...]] = ("/batch/",)

    def read(self, incoming: Incoming) -> Batch:
        """Read a batch of captured events."""
        try:
            envelope = msgspec.json.decode(incoming.body, type=Envelope)
        except (msgspec.DecodeError, RecursionError):
            raise UnreadableInputError('The body is not what PostHog sends: {"api_key", "batch": […]}.') from None
        decoded = Decoded()
        correction = skew(incoming.received_at, envelope.sent_at)
        read_items(envelope.batch, decoded, lambda index, raw: _add(index, raw, decoded))
        decoded.corrections.update(dict.fromkeys(range(len(envelope.batch)), correction))
        return Batch(decoded, len(envelope.batch), envelope.api_key)

    def reply(self, batch: Batch, answer: BatchAnswer | None) -> Reply:
        """Exactly 200: one of its clients sends again on any other status."""
        del batch
        return Reply(200, {"status": 1, **msgspec.to_builtins(answer)})


def _add(index: int, raw: Raw, decoded: Decoded) -> None:
    captured = _DECODER.decode(raw)
    if captured.event in ALIASES:
        decoded.aliases.append((index, _alias(captured, moment(captured.timestamp, index, decoded))))
        return
    if captured.event == FLAG_CALLED:
        viewed = _event(captured, moment(captured.timestamp, index, decoded))
        decoded.events.append((index, _viewed(viewed, captured.properties or {})))
    elif captured.event.startswith("$") and captured.event not in NAMES:
        detail = "PostHog's internal events are accepted and not kept."
        decoded.warnings.append(Verdict(index, "not_kept", detail))
    else:
        decoded.events.append((index, _event(captured, moment(captured.timestamp, index, decoded))))


def _viewed(event: Event, properties: Mapping[str, Any]) -> Event:
    flag, response = text(properties.get("$feature_flag")), properties.get("$feature_flag_response")
    named = response if isinstance(response, str) and response else NOT_ENROLLED
    return msgspec.structs.replace(
        event, name=EXPERIMENT_VIEWED, properties={"experiment": flag or "", "variant": named}
    )


def _alias(captured: Captured, timestamp: dt.datetime | None) -> Alias:
    properties = captured.properties or {}
    fields = {
        "previous_id": text(properties.get("alias")),
        "user_id": text(properties.get("distinct_id")) or text(captured.distinct_id),
        "timestamp": timestamp,
    }
    return msgspec.convert({name: value for name, value in fields.items() if value}, Alias)


def _event(captured: Captured, timestamp: dt.datetime | None) -> Event:
    properties = captured.properties or {}
    person, device = text(captured.distinct_id), text(properties.get("$device_id"))
    nobody = properties.get("$process_person_profile") is False or person == device
    fields: dict[str, Any] = {
        "name": NAMES.get(captured.event, captured.event),
        "event_id": captured.uuid,
        "timestamp": timestamp,
        "user_id": None if nobody else person,
        "anonymous_id": person if nobody else text(properties.get("$anon_distinct_id")) or device,
        "session_id": text(properties.get("$session_id")),
        "properties": {name: value for name, value in properties.items() if not name.startswith("$")},
        "value": next((found for name in VALUES if (found := number(properties.get(name))) is not None), None),
        "currency": properties.get("currency"),
        "context": _context(properties),
        "click_ids": {name: properties[name] for name in CLICK_IDS if isinstance(properties.get(name), str)},
        "consent": mapping(properties.get("consent")),
        "user": {
            name: value for name, value in mapping(properties.get("$set")).items() if name in {"email", "phone"}
        },
    }
    return msgspec.convert({name: value for name, value in fields.items() if value not in (None, "", {})}, Event)


def _context(properties: Mapping[str, Any]) -> dict[str, Any]:
    device = properties.get("$device_type")
    fields = {
        "source": properties.get("utm_source"),
        "medium": properties.get("utm_medium"),
        "campaign": properties.get("utm_campaign"),
        "page": properties.get("$current_url"),
        "device": device.lower() if isinstance(device, str) else None,
        "country": properties.get("$geoip_country_code"),
        "ip": properties.get("$ip"),
        "user_agent": properties.get("$raw_user_agent"),
    }
    return {name: value for name, value in fields.items() if value}
