"""Google's Data Manager API as it behaves live, which is stricter than validateOnly: the first fault refuses all."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from optimizer.sandbox.rules import CLOCK_LEEWAY, TOKENS, age, bearer_token, is_number, is_sha256, unknown_fields
from optimizer.sandbox.store import Memory, Refused

REQUEST = {"destinations", "events", "encoding", "validateOnly", "consent"}
EVENT = {"destinationReferences", "transactionId", "eventTimestamp", "lastUpdatedTimestamp", "userData", "consent",
         "adIdentifiers", "currency", "conversionValue", "eventSource", "eventDeviceInfo", "cartData",
         "customVariables", "userProperties", "eventName"}  # fmt: skip
ACCOUNT = {"accountType", "accountId", "product"}
CONSENT = {"CONSENT_GRANTED", "CONSENT_DENIED"}
SOURCES = {"WEB", "APP", "IN_STORE", "PHONE", "OTHER"}
MAXIMUM_EVENTS = 2_000
MAXIMUM_IDENTIFIERS = 10
MAXIMUM_AGE = dt.timedelta(days=90)
RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")
face = Blueprint("google_data_manager", __name__)


@face.post("/v1/events:ingest")
def take_events() -> Response:
    """Take events, all or none."""
    if bearer_token(request.headers.get("Authorization", "")) not in TOKENS:
        raise _refused(401, "UNAUTHENTICATED", "", "")
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise _refused(400, "INVALID_ARGUMENT", "", "NOT_JSON")
    destination = _destination(body)
    events = body.get("events")
    if not isinstance(events, list) or not 1 <= len(events) <= MAXIMUM_EVENTS:
        raise _refused(400, "INVALID_ARGUMENT", "events", "TOO_MANY_EVENTS" if events else "REQUIRED")
    seen: set[str] = set()
    for place, event in enumerate(events):
        fault = _fault(event, body.get("encoding"))
        if fault is None and event["transactionId"] in seen:
            fault = ("transactionId", "DUPLICATE_IN_REQUEST")
        if fault:
            raise _refused(400, "INVALID_ARGUMENT", f"events[{place}].{fault[0]}", fault[1])
        seen.add(event["transactionId"])
    memory: Memory = current_app.extensions["memory"]
    if not body.get("validateOnly"):
        keyed = [(f"{destination}/{event['transactionId']}", event) for event in events]
        memory.take("google_data_manager", keyed)
    return jsonify(requestId=f"sandbox-{memory.requests}")


def _destination(body: dict[str, Any]) -> str:
    unknown = unknown_fields(body, REQUEST)
    if unknown:
        raise _refused(400, "INVALID_ARGUMENT", unknown[0], "UNKNOWN_FIELD")
    found = body.get("destinations")
    if not isinstance(found, list) or not 1 <= len(found) <= 10:  # noqa: PLR2004 - Google's limit
        raise _refused(400, "INVALID_ARGUMENT", "destinations", "REQUIRED")
    for destination in found:
        account = destination.get("operatingAccount", {})
        if unknown_fields(account, ACCOUNT) or account.get("accountType") != "GOOGLE_ADS":
            raise _refused(400, "INVALID_ARGUMENT", "destinations.operatingAccount", "INVALID")
        if not str(account.get("accountId", "")).isdigit():
            raise _refused(403, "PERMISSION_DENIED", "destinations.operatingAccount.accountId", "NOT_OWNED")
        if not str(destination.get("productDestinationId", "")).isdigit():
            raise _refused(400, "INVALID_ARGUMENT", "destinations.productDestinationId", "REQUIRED")
    return str(found[0]["productDestinationId"])


def _fault(event: object, encoding: object) -> tuple[str, str] | None:  # noqa: PLR0911 - a list of refusals
    if not isinstance(event, dict):
        return "", "NOT_AN_OBJECT"
    unknown = unknown_fields(event, EVENT)
    if unknown:
        return unknown[0], "UNKNOWN_FIELD"
    transaction = event.get("transactionId")
    if not isinstance(transaction, str) or not transaction or transaction.isdigit():
        return "transactionId", "INVALID"
    timestamp = event.get("eventTimestamp")
    if not isinstance(timestamp, str) or not RFC3339.match(timestamp):
        return "eventTimestamp", "INVALID_TIMESTAMP"
    if not -CLOCK_LEEWAY <= age(dt.datetime.fromisoformat(timestamp)) <= MAXIMUM_AGE:
        return "eventTimestamp", "EVENT_TOO_OLD_OR_FUTURE"
    if event.get("eventSource") not in SOURCES:
        return "eventSource", "REQUIRED"
    consent = event.get("consent", {})
    if consent.get("adUserData") != "CONSENT_GRANTED" or consent.get("adPersonalization") not in CONSENT:
        return "consent", "NO_CONSENT"
    if "conversionValue" in event and not (is_number(event["conversionValue"]) and event.get("currency")):
        return "conversionValue", "INVALID"
    return _match_fault(event, encoding)


def _match_fault(event: dict[str, Any], encoding: object) -> tuple[str, str] | None:
    clicks = event.get("adIdentifiers", {})
    if unknown_fields(clicks, {"gclid", "gbraid", "wbraid"}):
        return "adIdentifiers", "UNKNOWN_FIELD"
    people = event.get("userData", {}).get("userIdentifiers", [])
    if not clicks and not people:
        return "userData", "NO_IDENTIFIERS"
    if people and encoding != "HEX":
        return "encoding", "REQUIRED_WITH_USER_DATA"
    if len(people) > MAXIMUM_IDENTIFIERS:
        return "userData.userIdentifiers", "TOO_MANY"
    fine = all(
        len(person) == 1
        and not unknown_fields(person, {"emailAddress", "phoneNumber"})
        and all(is_sha256(value) for value in person.values())
        for person in people
    )
    return None if fine else ("userData.userIdentifiers", "NOT_ONE_HASHED_IDENTIFIER")


def _refused(status: int, code: str, field: str, reason: str) -> Refused:
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": field, "reason": reason}],
        }
    ]
    return Refused(status, {"error": {"code": status, "status": code, "message": "Refused", "details": details}})
