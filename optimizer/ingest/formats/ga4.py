"""Google Analytics 4's Measurement Protocol, and its validation endpoint.

Events have no id of their own, so a retry cannot be recognised, but for those with a `transaction_id`. `collect`
answers 204 to whatever it can read, as Google does; `debug/mp/collect` says what is wrong, with Google's seven codes,
and stores nothing. Source: developers.google.com/analytics/devguides/collection/protocol/ga4, the reference and
"Validate implementation".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Raw, Struct

from optimizer.errors import UnreadableInputError
from optimizer.ingest.ecommerce import GA4 as ECOMMERCE_NAMES
from optimizer.ingest.event import BatchAnswer, Event
from optimizer.ingest.service import Decoded
from optimizer.ingest.wire import Batch, Incoming, Reply, WireFormat, mapping, number, read_items, text

DEBUG = "/debug/mp/collect"
GRANTED = {"GRANTED": True, "DENIED": False}
MAXIMUM_EVENTS, MAXIMUM_PARAMETERS, MAXIMUM_NAME, MAXIMUM_TEXT = 25, 25, 40, 100
NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]*$")
RESERVED = frozenset({
    "ad_activeview", "ad_click", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure", "app_clear_data",
    "app_exception", "app_install", "app_remove", "app_store_refund", "app_update", "app_upgrade",
    "dynamic_link_app_open", "error", "first_open", "first_visit", "in_app_purchase", "os_update",
    "session_start", "user_engagement",
})  # fmt: skip
RESERVED_PREFIXES = ("_", "firebase_", "ga_", "google_", "gtag.")


class Measured(Struct):
    """One event."""

    name: str
    params: dict[str, Any] | None = None
    timestamp_micros: int | str | None = None


class Envelope(Struct):
    """One request."""

    events: list[Raw] = []
    client_id: str | int | None = None
    app_instance_id: str | None = None
    user_id: str | int | None = None
    timestamp_micros: int | str | None = None
    consent: dict[str, Any] | None = None
    user_location: dict[str, Any] | None = None
    ip_override: str | None = None


_DECODER = msgspec.json.Decoder(Measured)


class MeasurementProtocol(WireFormat):
    """`POST /mp/collect` and `POST /debug/mp/collect`."""

    title: ClassVar[str] = "GA4 Measurement Protocol"
    where_the_key_is: ClassVar[str] = "as `api_secret` in the query"
    routes: ClassVar[tuple[str, ...]] = ("/mp/collect", DEBUG)
    replies: ClassVar[Mapping[int, str]] = {204: "", 200: "application/json"}

    def read(self, incoming: Incoming) -> Batch:
        """Read the events of one client, or find what is wrong with them."""
        if incoming.path == DEBUG:
            return Batch(None, notes={"messages": _messages(incoming)})
        try:
            envelope = msgspec.json.decode(incoming.body, type=Envelope)
        except (msgspec.DecodeError, RecursionError):
            raise UnreadableInputError('The body is not what GA4 takes: {"client_id", "events": […]}.') from None
        decoded = Decoded()

        def add(index: int, raw: Raw) -> None:
            decoded.events.append((index, _event(_DECODER.decode(raw), envelope)))

        read_items(envelope.events, decoded, add)
        return Batch(decoded, len(envelope.events), incoming.query.get("api_secret"))

    def reply(self, batch: Batch, answer: BatchAnswer | None) -> Reply:
        """Answer 204, as Google does; the debug route lists its findings."""
        del answer
        return (
            Reply(204) if batch.decoded is not None else Reply(200, {"validationMessages": batch.notes["messages"]})
        )


def _event(measured: Measured, envelope: Envelope) -> Event:
    parameters = measured.params or {}
    transaction = text(parameters.get("transaction_id"))
    name = ECOMMERCE_NAMES.get(measured.name, measured.name)
    items = parameters.get("items")
    first = mapping(items[0]) if isinstance(items, list) and items else {}
    properties = {**({"item_id": first["item_id"]} if "item_id" in first else {}), **parameters}
    fields: dict[str, Any] = {
        "name": name,
        "event_id": f"ga4-{name}-{transaction}" if transaction else None,
        "timestamp": _time(measured.timestamp_micros or envelope.timestamp_micros),
        "user_id": text(envelope.user_id),
        "anonymous_id": text(envelope.client_id) or text(envelope.app_instance_id),
        "session_id": text(parameters.get("session_id")),
        "properties": properties,
        "value": number(parameters.get("value")),
        "currency": parameters.get("currency"),
        "context": _context(parameters, envelope),
        "consent": _consent(envelope.consent),
    }
    return msgspec.convert({field: value for field, value in fields.items() if value not in (None, "", {})}, Event)


def _context(parameters: Mapping[str, Any], envelope: Envelope) -> dict[str, Any]:
    fields = {
        "source": parameters.get("source"),
        "medium": parameters.get("medium"),
        "campaign": parameters.get("campaign"),
        "page": parameters.get("page_location"),
        "country": mapping(envelope.user_location).get("country_id"),
        "ip": envelope.ip_override,
    }
    return {name: value for name, value in fields.items() if isinstance(value, str) and value}


def _consent(given: Mapping[str, Any] | None) -> dict[str, bool]:
    signals = {name: GRANTED.get(str(mapping(given).get(name))) for name in ("ad_user_data", "ad_personalization")}
    return {name: value for name, value in signals.items() if value is not None}


def _time(micros: int | str | None) -> dt.datetime | None:
    if micros is None:
        return None
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(micros))


def _messages(incoming: Incoming) -> list[dict[str, str]]:
    try:
        body = msgspec.json.decode(incoming.body)
    except (msgspec.DecodeError, RecursionError):
        return [_message("", "The body is not JSON.", "VALUE_INVALID")]
    if not isinstance(body, dict):
        return [_message("", "The body must be a JSON object.", "VALUE_INVALID")]
    found = []
    if not body.get("client_id") and not body.get("app_instance_id"):
        found.append(_message("client_id", "A client_id is required.", "VALUE_REQUIRED"))
    events = body.get("events")
    if not isinstance(events, list) or not events:
        return [*found, _message("events", "At least one event is required.", "VALUE_REQUIRED")]
    if len(events) > MAXIMUM_EVENTS:
        found.append(_message("events", f"At most {MAXIMUM_EVENTS} events a request.", "EXCEEDED_MAX_ENTITIES"))
    for place, event in enumerate(events[:MAXIMUM_EVENTS]):
        found += _about_event(f"events[{place}]", event)
    return found


def _about_event(base: str, event: object) -> list[dict[str, str]]:
    name = mapping(event).get("name")
    if not name:
        return [_message(f"{base}.name", "An event needs a name.", "VALUE_REQUIRED")]
    if not isinstance(name, str) or not NAME.match(name) or len(name) > MAXIMUM_NAME:
        detail = "A name begins with a letter, holds letters, digits and _, and has up to 40 characters."
        return [_message(f"{base}.name", detail, "NAME_INVALID")]
    found = []
    if name in RESERVED or name.startswith(RESERVED_PREFIXES):
        found.append(_message(f"{base}.name", "The name is reserved.", "NAME_RESERVED"))
    parameters = mapping(event).get("params", {})
    if not isinstance(parameters, dict):
        return [*found, _message(f"{base}.params", "params must be an object.", "VALUE_INVALID")]
    if len(parameters) > MAXIMUM_PARAMETERS:
        found.append(_message(f"{base}.params", "At most 25 parameters an event.", "EXCEEDED_MAX_ENTITIES"))
    folded = [key.casefold() for key in parameters]
    for key, value in parameters.items():
        found += _about_parameter(f"{base}.params.{key[:MAXIMUM_NAME]}", key, value, folded.count(key.casefold()))
    if "value" in parameters and not parameters.get("currency"):
        found.append(_message(f"{base}.params.currency", "A value needs a currency.", "VALUE_REQUIRED"))
    return found


def _about_parameter(place: str, key: str, value: object, times: int) -> list[dict[str, str]]:
    found = []
    if not NAME.match(key) or len(key) > MAXIMUM_NAME:
        found.append(_message(place, "A parameter's name follows the rule of event names.", "NAME_INVALID"))
    elif key.startswith(RESERVED_PREFIXES):
        found.append(_message(place, "The parameter's name is reserved.", "NAME_RESERVED"))
    if times > 1:
        found.append(_message(place, "Two parameters have this name.", "NAME_DUPLICATED"))
    if isinstance(value, str) and len(value) > MAXIMUM_TEXT and key not in {"page_location", "page_referrer"}:
        found.append(_message(place, f"A text has up to {MAXIMUM_TEXT} characters.", "VALUE_OUT_OF_BOUNDS"))
    if key == "value" and number(value) is None:
        found.append(_message(place, "value must be a number.", "VALUE_INVALID"))
    return found


def _message(place: str, detail: str, code: str) -> dict[str, str]:
    return {"fieldPath": place, "description": detail, "validationCode": code}
