"""What a destination is: the one interface between the dispatcher and an ad platform.

The dispatcher knows no platform and a platform knows no database. Outcomes are named by what happens next to the
delivery, one per item and in order, because "the batch failed" is how others lose events.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

import optimizer.feedback.destinations
from optimizer.discovery import discover_modules
from optimizer.ingest.match_data import MatchData

Mode = Literal["live", "test", "paused"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one destination, with everything a platform may be told.

    Attributes:
        event_id: The platform's dedup key.
        event_name: Canonical name.
        platform_event: The name to use there; None means the platform's standard name.
        event_time: Aware UTC.
        value: In `currency`; None sends no value.
        currency: ISO 4217.
        unit_sha256: SHA-256 of the unit id: the external id where a platform takes one.
        match: Hashes, click ids, IP address, user agent and page.
        ad_personalization: Consent to personalised ads; None is unknown.
    """

    event_id: str
    event_name: str
    platform_event: str | None
    event_time: dt.datetime
    value: float | None
    currency: str | None
    unit_sha256: str
    match: MatchData
    ad_personalization: bool | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The platform took it (taken is not matched)."""

    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The platform had it already: delivered."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again with backoff.

    Attributes:
        reason: For people; without personal data or secrets.
        after_seconds: What the platform asked for; None leaves it to the backoff.
        ambiguous: The platform may have taken it: repeat only inside its dedup window.
    """

    reason: str
    after_seconds: float | None = None
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Defer:
    """Not yet: try again at a known time, without counting it as a failure."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The platform will never take it."""

    reason: str


@dataclass(frozen=True, slots=True)
class PauseDestination:
    """The destination is misconfigured: its rows wait until a person mends it."""

    reason: str


Outcome = Accepted | Duplicate | Retry | Defer | Rejected | PauseDestination


class Skip(Exception):  # noqa: N818 - named by what happens next: this delivery is skipped with a reason
    """Raised by `render`: this event cannot be sent there, and a person can read why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """A platform's limits, in one dated place.

    Attributes:
        batch: Items a request.
        maximum_age: Older events are refused.
        requests_per_minute: Allowed rate.
        dedup_window: How long the platform recognises a repeat; None means it does not promise to.
        source: Where this was read.
        as_of: When.
    """

    batch: int
    maximum_age: dt.timedelta
    requests_per_minute: int
    dedup_window: dt.timedelta | None
    source: str
    as_of: dt.date


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a destination check."""

    level: Literal["ok", "warning", "error"]
    detail: str


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a platform.

    Attributes:
        base_url: Replaces the platform's scheme and host (path kept); None is the platform itself.
        mode: ``test`` marks events as tests where the platform can.
        timeout_seconds: Connect and read timeouts of every call.
    """

    base_url: str | None = None
    mode: Mode = "live"
    timeout_seconds: tuple[float, float] = field(default=(5.0, 30.0))


class Destination(ABC):
    """One account at one ad platform.

    Args:
        account: Validated `Account`.
        credentials: Validated `Credentials`.
        connection: How to reach the platform.
    """

    platform: ClassVar[str]
    title: ClassVar[str]
    Account: ClassVar[type[BaseModel]]
    Credentials: ClassVar[type[BaseModel]]
    limits: ClassVar[Limits]
    match_keys: ClassVar[tuple[str, ...]]
    event_names: ClassVar[Mapping[str, str]]

    def __init__(self, account: BaseModel, credentials: BaseModel, connection: Connection) -> None:
        self.account = account
        self.credentials = credentials
        self.connection = connection

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    @abstractmethod
    def render(self, delivery: Delivery, *, now: dt.datetime) -> dict[str, Any]:
        """Turn a delivery into the platform's item.

        Raises:
            Skip: It cannot be sent there (too old, nothing to match by, …).
        """

    @abstractmethod
    def send(self, items: Sequence[dict[str, Any]], *, validate_only: bool = False) -> list[Outcome]:
        """Send rendered items, at most `limits.batch`; one outcome per item, in order. Never raises for a failure."""

    @abstractmethod
    def check(self) -> list[Finding]:
        """Ask the platform, without changing anything, whether this destination would work."""


def destinations() -> dict[str, type[Destination]]:
    """Find every platform by its name."""
    found: dict[str, type[Destination]] = {}
    for module in discover_modules(optimizer.feedback.destinations.__name__):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Destination) and value.__module__ == module.__name__:
                found[value.platform] = value
    return found
