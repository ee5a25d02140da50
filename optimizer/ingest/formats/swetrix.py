"""Swetrix's log endpoints, as its browser script uses them: cookieless, one event a request.

`/log/custom` takes custom events, `/log` page views; heartbeats and errors are accepted and not kept. Events have no
id, so a repeat cannot be recognised. Source: docs.swetrix.com/events-api, and `swetrix` 4.6.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from optimizer.errors import UnreadableInputError
from optimizer.ingest.event import BatchAnswer, Event, Verdict
from optimizer.ingest.service import Decoded
from optimizer.ingest.wire import Batch, Incoming, Reply, WireFormat, amount, mapping, read_items, text

CUSTOM = "/log/custom"
NOT_KEPT = ("/log/hb", "/log/error")
VALUES = ("value", "revenue", "price")


class Swetrix(WireFormat):
    """`POST /log` and `POST /log/custom`."""

    title: ClassVar[str] = "Swetrix"
    where_the_key_is: ClassVar[str] = "as bearer, or none from an allowed origin with the project's key as `pid`"
    routes: ClassVar[tuple[str, ...]] = ("/log", "/log/", CUSTOM, *NOT_KEPT)
    replies: ClassVar[Mapping[int, str]] = {201: "application/json"}

    def read(self, incoming: Incoming) -> Batch:
        """Read one event."""
        try:
            given = msgspec.json.decode(incoming.body, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            raise UnreadableInputError('The body is not what Swetrix sends: {"pid", "ev"}.') from None
        decoded = Decoded()

        def add(index: int, raw: Raw) -> None:
            del raw
            if incoming.path in NOT_KEPT:
                decoded.warnings.append(
                    Verdict(index, "not_kept", "Heartbeats and errors are accepted and not kept.")
                )
            else:
                decoded.events.append((index, _event(given, incoming)))

        read_items([Raw(incoming.body)], decoded, add)
        return Batch(decoded, site=text(given.get("pid")) or "")

    def reply(self, batch: Batch, answer: BatchAnswer | None) -> Reply:
        """201, as Swetrix says it; people find the verdict beside it."""
        del batch
        return Reply(201, msgspec.to_builtins(answer))


def _event(given: Mapping[str, Any], incoming: Incoming) -> Event:
    properties = dict(mapping(given.get("meta")))
    if given.get("ref"):
        properties.setdefault("referrer", given["ref"])
    fields: dict[str, Any] = {
        "name": given.get("ev") if incoming.path == CUSTOM else "page_view",
        "user_id": text(given.get("profileId")),
        "timestamp": _moment(given.get("timestamp")),
        "properties": properties,
        "value": next((found for name in VALUES if (found := amount(properties.get(name))) is not None), None),
        "currency": properties.get("currency"),
        "context": {
            **{ours: given[theirs] for ours, theirs in SOURCES.items() if isinstance(given.get(theirs), str)},
            **incoming.visitor,
        },
    }
    return msgspec.convert({name: value for name, value in fields.items() if value not in (None, "", {})}, Event)


SOURCES = {"page": "pg", "source": "so", "medium": "me", "campaign": "ca"}


def _moment(value: object) -> dt.datetime | None:
    return dt.datetime.fromisoformat(value) if isinstance(value, str) and value.endswith("Z") else None
