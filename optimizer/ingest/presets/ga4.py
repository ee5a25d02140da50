"""GA4's BigQuery export, as JSON Lines or Parquet: one row an event, its parameters in a nested list.

Source: support.google.com/analytics/answer/7029846, the export's schema.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from optimizer.ingest.ecommerce import GA4 as ECOMMERCE_NAMES
from optimizer.ingest.wire import amount, mapping

CONSENT = {"Yes": True, "No": False, True: True, False: False}


def events(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn a row into one event; `properties` are the event's parameters."""
    parameters = {one["key"]: _value(one.get("value")) for one in row.get("event_params") or () if "key" in one}
    parameters = {name: value for name, value in parameters.items() if value is not None}
    device, source = mapping(row.get("device")), mapping(row.get("traffic_source"))
    shop, privacy = mapping(row.get("ecommerce")), mapping(row.get("privacy_info"))
    name = str(row.get("event_name") or "")
    transaction = shop.get("transaction_id") or parameters.get("transaction_id")
    context = {
        "source": parameters.get("source") or source.get("source"),
        "medium": parameters.get("medium") or source.get("medium"),
        "campaign": parameters.get("campaign") or source.get("name"),
        "device": device.get("category"),
        "page": parameters.get("page_location"),
        "country": mapping(row.get("geo")).get("country"),
    }
    return [
        {
            "event_id": f"ga4-{name}-{transaction}" if transaction else None,
            "name": ECOMMERCE_NAMES.get(name, name),
            "timestamp": _moment(row.get("event_timestamp")),
            "user_id": row.get("user_id"),
            "anonymous_id": row.get("user_pseudo_id"),
            "session_id": _text(parameters.get("ga_session_id")),
            "value": amount(row.get("event_value_in_usd") or shop.get("purchase_revenue") or parameters.get("value")),
            "currency": parameters.get("currency"),
            "properties": parameters,
            "context": context,
            "consent": {"analytics": CONSENT.get(privacy.get("analytics_storage"))},
        }
    ]


def _value(value: object) -> Any:  # noqa: ANN401 - whichever kind was set
    kinds = ("string_value", "int_value", "double_value", "float_value")
    found = next((held for kind in kinds if (held := mapping(value).get(kind)) is not None), None)
    return int(found) if isinstance(found, str) and "int_value" in mapping(value) and found.isdigit() else found


def _moment(micros: object) -> str | None:
    if micros in {None, ""}:
        return None
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(str(micros)))
    return moment.isoformat()


def _text(value: object) -> str | None:
    return None if value is None else str(value)
