"""Segment's HTTP tracking format, as its own SDKs send it, made into our events and exposures.

`track` is an event, `page` and `screen` are a `page_view` and a `screen_view`, `identify` is a `sign_in` with the
contact it carries. Segment's e-commerce names become the canonical ones. `alias` says that two ids are one person.
Group calls carry nothing that a decision here is made from; they are accepted and counted as such in a warning.
RudderStack's SDKs send the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import Raw, Struct

from optimizer.core.naming import canonical_name
from optimizer.errors import UnreadableInputError
from optimizer.ingest.ecommerce import SEGMENT as ECOMMERCE_NAMES
from optimizer.ingest.event import Alias, BatchAnswer, Event, Verdict
from optimizer.ingest.service import Decoded
from optimizer.ingest.wire import Batch, Incoming, Reply, WireFormat, mapping, moment, read_items, skew, text

VALUE_PROPERTIES = ("revenue", "total", "value", "price")


class Call(Struct, rename="camel", omit_defaults=True):
    """One Segment call; fields that decide nothing here are ignored."""

    type: str = ""
    message_id: str | None = None
    event: str | None = None
    name: str | None = None
    user_id: str | int | None = None
    anonymous_id: str | int | None = None
    previous_id: str | int | None = None
    timestamp: dt.datetime | None = None
    original_timestamp: dt.datetime | None = None  # RudderStack's word for it
    sent_at: dt.datetime | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


class Envelope(Struct, rename="camel"):
    """Several calls in one request."""

    batch: list[Raw]
    write_key: str | None = None
    sent_at: dt.datetime | None = None


class Single(Struct, rename="camel"):
    """What is read of a request that is one call by itself."""

    write_key: str | None = None


_DECODER = msgspec.json.Decoder(Call)


class Segment(WireFormat):
    """Segment's batch call and its single calls."""

    title: ClassVar[str] = "Segment"
    where_the_key_is: ClassVar[str] = "as write key, in HTTP Basic or in the body"
    routes: ClassVar[tuple[str, ...]] = (
        "/v1/batch",
        "/v1/import",
        "/v1/track",
        "/v1/identify",
        "/v1/page",
        "/v1/screen",
        "/v1/group",
        "/v1/alias",
    )

    def read(self, incoming: Incoming) -> Batch:
        """Read a batch, or a single call whose type stands in the path."""
        several = incoming.path in {"/v1/batch", "/v1/import"}
        try:
            if several:
                envelope = msgspec.json.decode(incoming.body, type=Envelope)
                calls, key, sent_at = envelope.batch, envelope.write_key, envelope.sent_at
            else:
                single = msgspec.json.decode(incoming.body, type=Single)
                calls, key, sent_at = [Raw(incoming.body)], single.write_key, None
        except (msgspec.DecodeError, RecursionError) as error:
            shape = '{"batch": [calls], "sentAt": time}' if several else "one call as a JSON object"
            raise UnreadableInputError(f"The body is not what Segment sends, {shape}: {_place(error)}.") from None
        kind = None if several else incoming.path.removeprefix("/v1/")
        return Batch(
            decode_batch(calls, received_at=incoming.received_at, sent_at=sent_at, kind=kind), len(calls), key
        )

    def reply(self, batch: Batch, answer: BatchAnswer | None) -> Reply:
        """Segment's SDKs look at the status alone; people find the verdicts beside it."""
        del batch
        return Reply(200, {"success": True, **msgspec.to_builtins(answer)})


def decode_batch(
    items: Sequence[Raw], *, received_at: dt.datetime, sent_at: dt.datetime | None = None, kind: str | None = None
) -> Decoded:
    """Decode the calls of one batch.

    Args:
        items: Raw calls.
        received_at: Our clock at arrival.
        sent_at: The client's clock when it sent the batch; the difference corrects the clients' timestamps.
        kind: The type of every call, where the path says it instead of the call.
    """
    decoded = Decoded()

    def add(index: int, raw: Raw) -> None:
        call = _DECODER.decode(raw)
        if kind is not None:
            call.type = kind
        decoded.corrections[index] = skew(received_at, call.sent_at or sent_at)
        _add(index, call, decoded)

    return read_items(items, decoded, add)


def _add(index: int, call: Call, decoded: Decoded) -> None:
    timestamp = moment(call.timestamp or call.original_timestamp, index, decoded)
    if call.type == "alias":
        decoded.aliases.append((index, _alias(call, timestamp)))
        return
    name = _name(call)
    if name is None:
        known = call.type == "group"
        code, detail = (
            ("not_kept", "`group` calls are accepted and not kept.")
            if known
            else (
                "unknown_type",
                "`type` must be track, identify, page, screen, group or alias; track needs `event`.",
            )
        )
        (decoded.warnings if known else decoded.rejected).append(Verdict(index, code, detail))
        return
    decoded.events.append((index, _event(call, name, timestamp)))


def _name(call: Call) -> str | None:
    if call.type == "track" and call.event:
        canonical = canonical_name(call.event)
        return ECOMMERCE_NAMES.get(canonical, call.event)
    return {"page": "page_view", "screen": "screen_view", "identify": "identify"}.get(call.type)


def _event(call: Call, name: str, timestamp: dt.datetime | None) -> Event:
    properties = dict(call.properties or {})
    context, traits = call.context or {}, {**mapping((call.context or {}).get("traits")), **(call.traits or {})}
    if call.name:
        properties.setdefault("name", call.name)
    if "product_id" in properties:
        properties.setdefault("item_id", properties["product_id"])
    fields: dict[str, Any] = {
        "name": name,
        "event_id": call.message_id,
        "timestamp": timestamp,
        "user_id": text(call.user_id),
        "anonymous_id": text(call.anonymous_id),
        "properties": properties,
        "value": _value(properties),
        "currency": properties.get("currency"),
        "context": _context(context),
        "click_ids": _click_ids(context),
        "consent": _consent(context),
        "user": {name: traits[name] for name in ("email", "phone") if isinstance(traits.get(name), str)},
    }
    given = {field: value for field, value in fields.items() if value not in (None, "")}
    return msgspec.convert(given, Event)


def _alias(call: Call, timestamp: dt.datetime | None) -> Alias:
    fields = {"previous_id": text(call.previous_id), "user_id": text(call.user_id), "timestamp": timestamp}
    return msgspec.convert({name: value for name, value in fields.items() if value}, Alias)


def _context(context: Mapping[str, Any]) -> dict[str, Any]:
    campaign, page = mapping(context.get("campaign")), mapping(context.get("page"))
    fields = {
        "source": campaign.get("source"),
        "medium": campaign.get("medium"),
        "campaign": campaign.get("name"),
        "page": page.get("url") or page.get("path"),
        "device": mapping(context.get("device")).get("type"),
        "country": mapping(context.get("location")).get("country"),
        "ip": context.get("ip"),
        "user_agent": context.get("userAgent"),
    }
    return {name: value for name, value in fields.items() if value}


def _click_ids(context: Mapping[str, Any]) -> dict[str, str]:
    referrer = mapping(context.get("referrer"))
    kind, identifier = referrer.get("type"), referrer.get("id")
    named = {
        name: context[name] for name in ("gclid", "fbclid", "fbp", "fbc", "ttclid", "msclkid") if name in context
    }
    if not isinstance(identifier, str):
        return named
    return {**named, **({"gclid": identifier} if kind == "google" else {})}


def _consent(context: Mapping[str, Any]) -> dict[str, bool]:
    # Segment's consent context: {"consent": {"categoryPreferences": {"Advertising": true, …}}}
    preferences = mapping(mapping(context.get("consent")).get("categoryPreferences"))
    lowered = {canonical_name(str(name)): value for name, value in preferences.items() if isinstance(value, bool)}
    signals = {
        "analytics": lowered.get("analytics"),
        "ad_user_data": lowered.get("ad_user_data", lowered.get("advertising")),
        "ad_personalization": lowered.get("ad_personalization", lowered.get("advertising")),
        "email": lowered.get("email", lowered.get("marketing")),
    }
    return {name: value for name, value in signals.items() if value is not None}


def _value(properties: Mapping[str, Any]) -> float | None:
    for name in VALUE_PROPERTIES:
        value = properties.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _place(error: Exception) -> str:
    return str(error)[:120] if isinstance(error, msgspec.ValidationError) else "it is not JSON"
