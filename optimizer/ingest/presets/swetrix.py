"""Swetrix' own event table, as JSON Lines or Parquet from its ClickHouse: one row an event.

`SELECT * FROM events WHERE pid = '…' FORMAT JSONEachRow` writes it; the older tables `analytics` and `customEV` are
read too. Errors, performance and captcha rows decide nothing here and are left out. Source: its repository's
ClickHouse migrations, `unify_events`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from optimizer.ingest.wire import mapping, text

PAGE_VIEW = "page_view"
VIEWS, CUSTOM = frozenset({"", "pageview"}), "custom_event"


def events(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn a row into one event, or into none where it is an error, a performance figure or a captcha."""
    named = row.get("event_name") or row.get("ev")
    kind = str(row.get("type") or (CUSTOM if named else ""))
    if kind not in {*VIEWS, CUSTOM}:
        return []
    session = text(row.get("psid"))
    visitor = row.get("profileId") or (f"swetrix-{session}" if session else None)
    details = {"referrer": row.get("ref"), "locale": row.get("lc"), "term": row.get("te"), "content": row.get("co")}
    return [
        {
            "event_id": None,
            "name": named if kind == CUSTOM else PAGE_VIEW,
            "timestamp": _moment(row["created"]),
            "anonymous_id": visitor,
            "session_id": session,
            "properties": {**details, **_meta(row)},
            "context": {
                "source": row.get("so"),
                "medium": row.get("me"),
                "campaign": row.get("ca"),
                "device": row.get("dv"),
                "page": row.get("pg"),
                "country": row.get("cc"),
            },
        }
    ]


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    nested = mapping(row.get("meta"))
    keys: Sequence[str] = row.get("meta.key") or nested.get("key") or ()
    values: Sequence[Any] = row.get("meta.value") or nested.get("value") or ()
    return dict(zip(keys, values, strict=True))


def _moment(created: object) -> str:
    moment = created if isinstance(created, dt.datetime) else dt.datetime.fromisoformat(str(created))
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).isoformat()
