"""Segment's HTTP tracking format, as its own SDKs send it, made into our events and exposures.

`track` is an event, `page` and `screen` are a `page_view` and a `screen_view`, `identify` is a `sign_in` with the
contact it carries. Segment's e-commerce names become the canonical ones. Group and alias calls carry nothing that a
decision here is made from; they are accepted and counted as such in a warning.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from optimizer.core.naming import canonical_name
from optimizer.ingest.decode import as_verdict, unfit_item
from optimizer.ingest.event import Event, Exposure, Verdict
from optimizer.ingest.service import Decoded

EXPERIMENT_VIEWED = "experiment_viewed"
# Segment's e-commerce specification to the canonical names of docs/ingest.md.
NAMES: Mapping[str, str] = {
    "products_searched": "search",
    "product_list_viewed": "view_item_list",
    "product_clicked": "select_item",
    "product_viewed": "view_item",
    "product_added": "add_to_cart",
    "product_removed": "remove_from_cart",
    "cart_viewed": "view_cart",
    "checkout_started": "begin_checkout",
    "payment_info_entered": "add_payment_info",
    "order_completed": "purchase",
    "order_refunded": "refund",
    "product_added_to_wishlist": "add_to_wishlist",
    "signed_up": "email_signup",
}
VALUE_PROPERTIES = ("revenue", "total", "value", "price")


class Call(Struct, rename="camel", omit_defaults=True):
    """One Segment call; fields that decide nothing here are ignored."""

    type: str
    message_id: str | None = None
    event: str | None = None
    name: str | None = None
    user_id: str | int | None = None
    anonymous_id: str | int | None = None
    timestamp: dt.datetime | None = None
    sent_at: dt.datetime | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(Call)


def decode_batch(items: Sequence[Raw], *, received_at: dt.datetime, sent_at: dt.datetime | None = None) -> Decoded:
    """Decode the calls of one batch.

    Args:
        items: Raw calls.
        received_at: Our clock at arrival.
        sent_at: The client's clock when it sent the batch; the difference corrects the clients' timestamps.
    """
    decoded = Decoded()
    for index, raw in enumerate(items):
        unfit = unfit_item(index, raw)
        if unfit is not None:
            decoded.rejected.append(unfit)
            continue
        try:
            call = _DECODER.decode(raw)
            _add(index, call, decoded, _skew(received_at, call.sent_at or sent_at))
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            decoded.rejected.append(as_verdict(index, str(error)))
        except OverflowError:
            detail = "A number or a time in this call is beyond what can be stored."
            decoded.rejected.append(Verdict(index, "out_of_range", detail))
    return decoded


def _add(index: int, call: Call, decoded: Decoded, skew: dt.timedelta) -> None:
    name = _name(call)
    if name is None:
        known = call.type in {"group", "alias"}
        code, detail = (
            ("not_kept", f"`{call.type}` calls are accepted and not kept.")
            if known
            else (
                "unknown_type",
                "`type` must be track, identify, page, screen, group or alias; track needs `event`.",
            )
        )
        (decoded.warnings if known else decoded.rejected).append(Verdict(index, code, detail))
        return
    timestamp = call.timestamp + skew if call.timestamp and call.timestamp.tzinfo else None
    if name == EXPERIMENT_VIEWED:
        decoded.exposures.append((index, _exposure(call, timestamp)))
    else:
        decoded.events.append((index, _event(call, name, timestamp)))


def _name(call: Call) -> str | None:
    if call.type == "track" and call.event:
        canonical = canonical_name(call.event)
        return NAMES.get(canonical, call.event) if canonical != EXPERIMENT_VIEWED else EXPERIMENT_VIEWED
    return {"page": "page_view", "screen": "screen_view", "identify": "identify"}.get(call.type)


def _event(call: Call, name: str, timestamp: dt.datetime | None) -> Event:
    properties = dict(call.properties or {})
    context, traits = call.context or {}, {**_mapping((call.context or {}).get("traits")), **(call.traits or {})}
    if call.name:
        properties.setdefault("name", call.name)
    if "product_id" in properties:
        properties.setdefault("item_id", properties["product_id"])
    fields: dict[str, Any] = {
        "name": name,
        "event_id": call.message_id,
        "timestamp": timestamp,
        "user_id": _text(call.user_id),
        "anonymous_id": _text(call.anonymous_id),
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


def _exposure(call: Call, timestamp: dt.datetime | None) -> Exposure:
    properties = call.properties or {}
    fields = {
        "experiment": properties.get("experiment_id") or properties.get("experiment_name"),
        "variant": properties.get("variation_id") or properties.get("variation_name"),
        "user_id": _text(call.user_id),
        "anonymous_id": _text(call.anonymous_id),
        "timestamp": timestamp,
        "exposure_id": call.message_id,
    }
    return msgspec.convert({name: value for name, value in fields.items() if value}, Exposure)


def _context(context: Mapping[str, Any]) -> dict[str, Any]:
    campaign, page = _mapping(context.get("campaign")), _mapping(context.get("page"))
    fields = {
        "source": campaign.get("source"),
        "medium": campaign.get("medium"),
        "campaign": campaign.get("name"),
        "page": page.get("url") or page.get("path"),
        "device": _mapping(context.get("device")).get("type"),
        "country": _mapping(context.get("location")).get("country"),
        "ip": context.get("ip"),
        "user_agent": context.get("userAgent"),
    }
    return {name: value for name, value in fields.items() if value}


def _click_ids(context: Mapping[str, Any]) -> dict[str, str]:
    referrer = _mapping(context.get("referrer"))
    kind, identifier = referrer.get("type"), referrer.get("id")
    named = {
        name: context[name] for name in ("gclid", "fbclid", "fbp", "fbc", "ttclid", "msclkid") if name in context
    }
    if not isinstance(identifier, str):
        return named
    return {**named, **({"gclid": identifier} if kind == "google" else {})}


def _consent(context: Mapping[str, Any]) -> dict[str, bool]:
    # Segment's consent context: {"consent": {"categoryPreferences": {"Advertising": true, …}}}
    preferences = _mapping(_mapping(context.get("consent")).get("categoryPreferences"))
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


def _skew(received_at: dt.datetime, sent_at: dt.datetime | None) -> dt.timedelta:
    if sent_at is None or sent_at.tzinfo is None:
        return dt.timedelta(0)
    return received_at - sent_at


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
