"""What a foreign wire format is: it reads requests of somebody else's tracker and answers in that tracker's protocol.

One format a file under `formats/`, discovered. A format knows nothing of HTTP frameworks, keys or stores: it turns
bytes into our events with a verdict per item, names the key it found, and says what its client expects to hear.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

import optimizer.ingest.formats
from optimizer.discovery import discover_modules
from optimizer.ingest.decode import as_verdict, unfit_item
from optimizer.ingest.event import BatchAnswer, Verdict
from optimizer.ingest.service import Decoded


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request.

    Attributes:
        path: Its path, one of the format's routes.
        body: Decompressed and UTF-8.
        query: Query parameters.
        received_at: Arrival, aware UTC.
        visitor: The request's own `ip` and `user_agent`, for formats that browsers speak themselves.
    """

    path: str
    body: bytes
    query: Mapping[str, str]
    received_at: dt.datetime
    visitor: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a format made of a request.

    Attributes:
        decoded: Events and exposures with verdicts; None when the request only asked for a check.
        items: How many items came.
        key: The write key found in the body or the query; None when it must stand in the Authorization header.
        site: The site that a keyless browser tracker names; its project must allow the origin.
        notes: Whatever `reply` needs to know.
    """

    decoded: Decoded | None
    items: int = 1
    key: str | None = None
    site: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client hears.

    Attributes:
        status: HTTP status.
        body: A JSON value, a text, or None for an empty body.
    """

    status: int
    body: Any = None


class WireFormat(ABC):
    """One foreign protocol.

    Attributes:
        title: Its name, for people.
        routes: Where its clients send to.
        where_the_key_is: For the description.
        replies: Statuses that `reply` gives, each with its media type; empty where there is no body.
    """

    title: ClassVar[str]
    routes: ClassVar[tuple[str, ...]]
    where_the_key_is: ClassVar[str]
    replies: ClassVar[Mapping[int, str]] = {200: "application/json"}

    @abstractmethod
    def read(self, incoming: Incoming) -> Batch:
        """Read a request; one bad item is a verdict, never the end of its batch.

        Raises:
            UnreadableInputError: Nothing could be read; names the place.
        """

    @abstractmethod
    def reply(self, batch: Batch, answer: BatchAnswer | None) -> Reply:
        """Say what the client expects to hear; `answer` is None when nothing was to be stored."""


def wire_formats() -> list[WireFormat]:
    """Find every format."""
    return [
        value()
        for module in discover_modules(optimizer.ingest.formats.__name__)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, WireFormat) and value.__module__ == module.__name__
    ]


def read_items(items: Sequence[Raw], decoded: Decoded, read: Callable[[int, Raw], None]) -> Decoded:
    """Read the items of a batch one by one; what cannot be read becomes a verdict.

    Args:
        items: Raw items.
        decoded: Where verdicts go.
        read: Decodes one item and adds what it holds to `decoded`.
    """
    for index, raw in enumerate(items):
        unfit = unfit_item(index, raw)
        if unfit is not None:
            decoded.rejected.append(unfit)
            continue
        try:
            read(index, raw)
        except msgspec.DecodeError as error:
            decoded.rejected.append(as_verdict(index, str(error)))
        except (OverflowError, ValueError):
            detail = "A number or a time in this item is beyond what can be stored."
            decoded.rejected.append(Verdict(index, "out_of_range", detail))
    return decoded


def skew(received_at: dt.datetime, sent_at: dt.datetime | None) -> dt.timedelta:
    """Return what to add to a client's times: our clock at arrival minus its clock when it sent."""
    if sent_at is None or sent_at.tzinfo is None:
        return dt.timedelta(0)
    return received_at - sent_at


def moment(said: dt.datetime | None, index: int, decoded: Decoded) -> dt.datetime | None:
    """Return a client's time; without an offset it names no moment, which is warned of, and receipt stands for it."""
    if said is None or said.tzinfo is not None:
        return said
    detail = "`timestamp` has no offset from UTC, so the time of receipt was stored."
    decoded.warnings.append(Verdict(index, "timestamp_without_offset", detail))
    return None


def mapping(value: object) -> Mapping[str, Any]:
    """Return a JSON object as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def number(value: object) -> float | None:
    """Return a JSON number; anything else is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def amount(value: object) -> float | None:
    """Return a number that a client may also send as text; anything else is none."""
    if not isinstance(value, str):
        return number(value)
    try:
        return float(value)
    except ValueError:
        return None


def text(value: object) -> str | None:
    """Return an id that a client may send as text or number."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
