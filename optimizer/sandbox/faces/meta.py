"""Meta's Conversions API as it behaves on a strict day: one bad event refuses the request."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from optimizer.sandbox.rules import CLOCK_LEEWAY, TOKENS, age, bearer_token, is_number, is_sha256, unknown_fields
from optimizer.sandbox.store import Memory, Refused

VERSION = "v26.0"
EVENT = {"event_name", "event_time", "event_id", "action_source", "event_source_url", "user_data", "custom_data",
         "opt_out", "data_processing_options", "data_processing_options_country", "data_processing_options_state",
         "referrer_url"}  # fmt: skip
USER = {"em", "ph", "external_id", "client_ip_address", "client_user_agent", "fbc", "fbp", "fn", "ln", "ct", "st",
        "zp", "country", "db", "ge", "subscription_id", "lead_id"}  # fmt: skip
HASHED = {"em", "ph", "external_id", "fn", "ln", "ct", "st", "zp", "country", "db", "ge"}
SOURCES = {
    "website",
    "app",
    "email",
    "phone_call",
    "chat",
    "physical_store",
    "system_generated",
    "business_messaging",
}
MAXIMUM_AGE = dt.timedelta(days=7)
face = Blueprint("meta", __name__)


@face.get("/<version>/<dataset>")
def read_dataset(version: str, dataset: str) -> Response:
    """Describe a dataset, for checks."""
    _authorise(version)
    return jsonify(id=dataset, name="Sandbox dataset")


@face.post("/<version>/<dataset>/events")
def take_events(version: str, dataset: str) -> Response:
    """Take events, all or none."""
    _authorise(version)
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or unknown_fields(body, {"data", "test_event_code", "access_token"}):
        raise _refused(100, 2804019, "The body must hold data")
    events = body.get("data")
    if not isinstance(events, list) or not 1 <= len(events) <= 1_000:  # noqa: PLR2004 - Meta's limit
        raise _refused(100, 2804019, "data must hold 1 to 1000 events")
    for place, event in enumerate(events):
        fault = _fault(event)
        if fault:
            raise _refused(100, 2804003, f"data[{place}]: {fault}")
    memory: Memory = current_app.extensions["memory"]
    memory.take("meta", [(f"{dataset}/{event['event_name']}/{event['event_id']}", event) for event in events])
    return jsonify(events_received=len(events), messages=[], fbtrace_id="sandbox-trace")


def _authorise(version: str) -> None:
    if version != VERSION:
        raise _refused(2635, 0, f"Use {VERSION}")
    if bearer_token(request.headers.get("Authorization", "")) not in TOKENS:
        raise _refused(190, 460, "Invalid OAuth access token", 401)


def _fault(event: object) -> str | None:  # noqa: PLR0911 - a list of refusals reads best as one
    if not isinstance(event, dict):
        return "not an object"
    unknown = unknown_fields(event, EVENT)
    if unknown:
        return f"unknown fields {unknown}"
    for name in ("event_name", "event_id", "action_source"):
        if not isinstance(event.get(name), str) or not event[name]:
            return f"{name} is missing"
    if event["action_source"] not in SOURCES:
        return "action_source is unknown"
    if not isinstance(event.get("event_time"), int):
        return "event_time must be whole seconds"
    moment = dt.datetime.fromtimestamp(event["event_time"], dt.UTC)
    if not -CLOCK_LEEWAY <= age(moment) <= MAXIMUM_AGE:
        return "event_time is in the future or older than 7 days"
    return _user_fault(event) or _value_fault(event.get("custom_data"))


def _user_fault(event: dict[str, Any]) -> str | None:
    user = event.get("user_data")
    if not isinstance(user, dict) or unknown_fields(user, USER):
        return "user_data is missing or has unknown fields"
    for name in HASHED & user.keys():
        values = user[name] if isinstance(user[name], list) else [user[name]]
        if not values or not all(is_sha256(value) for value in values):
            return f"user_data.{name} must be SHA-256 hashes"
    if event["action_source"] == "website" and not (event.get("event_source_url") and user.get("client_user_agent")):
        return "website events need event_source_url and client_user_agent"
    if not user.keys() & {"em", "ph", "fbc", "fbp", "external_id"}:
        return "nothing to match by"
    return None


def _value_fault(custom: object) -> str | None:
    if custom is None:
        return None
    if not isinstance(custom, dict) or not is_number(custom.get("value")):
        return "custom_data.value must be a number"
    currency = custom.get("currency")
    return None if isinstance(currency, str) and len(currency) == 3 else "custom_data.currency is missing"  # noqa: PLR2004 - ISO 4217


def _refused(code: int, subcode: int, message: str, status: int = 400) -> Refused:
    error = {"message": message, "type": "OAuthException", "code": code, "error_subcode": subcode}
    return Refused(status, {"error": {**error, "fbtrace_id": "sandbox-trace"}})
