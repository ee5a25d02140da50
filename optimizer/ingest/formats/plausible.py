"""Plausible's events endpoint, as its script, `plausible-tracker` and servers use it: one cookieless event a request.

The script writes one-letter fields, the documented API whole words; both are read. Events have no id, so a repeat
cannot be recognised. Source: plausible.io/docs/events-api, and `plausible-tracker` 0.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from optimizer.errors import UnreadableInputError
from optimizer.ingest.event import BatchAnswer, Event, Verdict
from optimizer.ingest.service import Decoded
from optimizer.ingest.wire import Batch, Incoming, Reply, WireFormat, amount, mapping, read_items, text

LONG = {"n": "name", "u": "url", "d": "domain", "r": "referrer", "p": "props", "m": "meta", "$": "revenue"}
PAGE_VIEW, ENGAGEMENT = "pageview", "engagement"


class Plausible(WireFormat):
    """`POST /api/event`."""

    title: ClassVar[str] = "Plausible"
    where_the_key_is: ClassVar[str] = "as bearer, or none from an allowed origin with the site's `domain`"
    routes: ClassVar[tuple[str, ...]] = ("/api/event",)
    replies: ClassVar[Mapping[int, str]] = {202: "text/plain"}

    def read(self, incoming: Incoming) -> Batch:
        """Read one event."""
        try:
            sent = msgspec.json.decode(incoming.body, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            raise UnreadableInputError('The body is not what Plausible sends: {"name", "url", "domain"}.') from None
        given = {LONG.get(name, name): value for name, value in sent.items()}
        decoded = Decoded()

        def add(index: int, raw: Raw) -> None:
            del raw
            if given.get("name") == ENGAGEMENT:
                decoded.warnings.append(Verdict(index, "not_kept", "Engagement events are accepted and not kept."))
            else:
                decoded.events.append((index, _event(given, incoming)))

        read_items([Raw(incoming.body)], decoded, add)
        domain = text(given.get("domain")) or ""
        return Batch(decoded, site=domain.split(",")[0].strip())

    def reply(self, batch: Batch, answer: BatchAnswer | None) -> Reply:
        """202, as Plausible says it."""
        del batch, answer
        return Reply(202, "ok")


def _event(given: Mapping[str, Any], incoming: Incoming) -> Event:
    revenue = mapping(given.get("revenue"))
    fields: dict[str, Any] = {
        "name": "page_view" if given.get("name") == PAGE_VIEW else given.get("name"),
        "properties": {**_properties(given), **({"referrer": given["referrer"]} if given.get("referrer") else {})},
        "value": amount(revenue.get("amount")),
        "currency": revenue.get("currency"),
        "context": {"page": given.get("url"), **incoming.visitor},
    }
    return msgspec.convert({name: value for name, value in fields.items() if value not in (None, "", {})}, Event)


def _properties(given: Mapping[str, Any]) -> dict[str, Any]:
    properties = given.get("props") or given.get("meta")
    if isinstance(properties, str):  # the script sends an object as text
        try:
            properties = msgspec.json.decode(properties)
        except (msgspec.DecodeError, RecursionError):
            return {}
    return dict(mapping(properties))
