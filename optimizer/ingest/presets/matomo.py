"""Matomo's visits log (`Live.getLastVisitsDetails`, format JSON, one visit a line): a row a visit, with its actions.

Source: developer.matomo.org/api-reference/reporting-api, module Live.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from optimizer.ingest.wire import amount, mapping, text

NAMES = {
    "action": "page_view",
    "search": "search",
    "download": "file_download",
    "outlink": "outbound_click",
    "ecommerceOrder": "purchase",
    "ecommerceAbandonedCart": "cart_abandoned",
}


def events(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn a visit into its actions' events; an event action is named by its `eventAction`, a goal by its name."""
    visit = text(row.get("idVisit")) or ""
    campaign = row.get("referrerType") == "campaign"
    context = {
        "source": row.get("campaignSource") or row.get("referrerName"),
        "medium": row.get("campaignMedium") or row.get("referrerType"),
        "campaign": row.get("campaignName") or (row.get("referrerName") if campaign else None),
        "device": str(row.get("deviceType") or "").lower() or None,
        "country": str(row.get("countryCode") or "").upper() or None,
    }
    who = {"user_id": row.get("userId"), "anonymous_id": row.get("visitorId"), "session_id": visit}
    return [
        {
            "event_id": f"matomo-{visit}-{place}" if visit else None,
            **_action(mapping(action)),
            **who,
            "context": {**context, "page": mapping(action).get("url")},
        }
        for place, action in enumerate(row.get("actionDetails") or ())
    ]


def _action(action: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(action.get("type") or "")
    named = {"event": action.get("eventAction"), "goal": action.get("goalName")}
    kept = ("eventCategory", "eventName", "pageTitle", "siteSearchKeyword", "orderId", "itemDetails")
    return {
        "name": named.get(kind) or NAMES.get(kind, kind),
        "timestamp": _moment(action.get("timestamp")),
        "value": amount(action.get("revenue") or action.get("eventValue")),
        "properties": {name: action[name] for name in kept if action.get(name) not in (None, "", [])},
    }


def _moment(seconds: object) -> str | None:
    if seconds in {None, ""}:
        return None
    return dt.datetime.fromtimestamp(int(str(seconds)), dt.UTC).isoformat()
