"""The one internal event: what every wire format is decoded into before anything else looks at it.

msgspec decodes and checks types at once, because this is the hot path. Lengths are bounded here so that nothing
longer reaches an index or a log.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from msgspec import Meta, Struct

NOT_ENROLLED = "not_enrolled"  # the variant named to whoever evaluates a test without being in it: nobody counts them
LARGEST_VALUE = 1e15  # its square, summed over everybody, must stay a number
Identifier = Annotated[str, Meta(min_length=1, max_length=200)]
Label = Annotated[str, Meta(max_length=200)]
Url = Annotated[str, Meta(max_length=4000)]
Moment = Annotated[dt.datetime, Meta(tz=True)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class Context(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Where the event happened. `ip` and `user_agent` are never stored with the event."""

    source: Label | None = None
    medium: Label | None = None
    campaign: Label | None = None
    device: Label | None = None
    page: Url | None = None
    country: Label | None = None
    ip: Label | None = None
    user_agent: Annotated[str, Meta(max_length=1000)] | None = None


class ConsentSignals(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Four signals, each granted, denied or unknown (None)."""

    analytics: bool | None = None
    ad_user_data: bool | None = None
    ad_personalization: bool | None = None
    email: bool | None = None


class Person(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Raw contacts: hashed on arrival, kept raw only with the project's `contact_storage`."""

    email: Annotated[str, Meta(max_length=320)] | None = None
    phone: Annotated[str, Meta(max_length=40)] | None = None

    def __repr__(self) -> str:
        return "Person(…)"


class Event(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """One thing one visitor did at one time. Only `name` is required."""

    name: Annotated[str, Meta(min_length=1, max_length=200, description="Kept in canonical form: `add_to_cart`.")]
    event_id: Annotated[Identifier | None, Meta(description="Without one a retry cannot be recognised.")] = None
    timestamp: Annotated[Moment | None, Meta(description="When it happened; receipt when omitted.")] = None
    user_id: Annotated[Identifier | None, Meta(description="Of somebody known; stands before anonymous_id.")] = None
    anonymous_id: Annotated[Identifier | None, Meta(description="Of a visitor, as the tracker knows them.")] = None
    session_id: Identifier | None = None
    properties: Annotated[dict[str, Any], Meta(description="Whatever metrics and segments filter by.")] = {}
    value: Annotated[float | None, Meta(description="What it was worth, in `currency`.")] = None
    currency: Annotated[Currency | None, Meta(description="ISO 4217; the project's when omitted.")] = None
    context: Context = Context()
    click_ids: Annotated[
        dict[Annotated[str, Meta(max_length=40)], Annotated[str, Meta(max_length=1000)] | None],
        Meta(description="Of ad platforms, by parameter: `gclid`, `fbclid`, …"),
    ] = {}
    consent: ConsentSignals = ConsentSignals()
    user: Person = Person()


class Exposure(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """One unit seeing one variant."""

    experiment: Annotated[str, Meta(min_length=1, max_length=100)]
    variant: Annotated[str, Meta(min_length=1, max_length=100)]
    user_id: Identifier | None = None
    anonymous_id: Identifier | None = None
    timestamp: Moment | None = None
    exposure_id: Annotated[Identifier | None, Meta(description="Dedup key, as an event's event_id.")] = None
    session_id: Annotated[Identifier | None, Meta(description="Of experiments whose unit is the session.")] = None


class Alias(Struct, frozen=True):
    """An id that a tracker used before for somebody who is known under another one now."""

    previous_id: Identifier
    user_id: Identifier
    timestamp: Moment | None = None


class Verdict(Struct, frozen=True, omit_defaults=True):
    """What became of one item of a batch, by its index; never repeats a value that was sent."""

    index: int
    code: str
    detail: str


class BatchAnswer(Struct, frozen=True):
    """The answer to a readable batch."""

    accepted: int
    duplicates: int
    rejected: list[Verdict]
    warnings: list[Verdict]
