"""What a sandbox remembers: every event that was taken, by the platform's own dedup key, and the faults to play."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any


class Refused(Exception):  # noqa: N818 - what a platform does with a bad request
    """A face refuses a request.

    Attributes:
        status: HTTP status to answer.
        body: Body in the platform's own error shape.
    """

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(slots=True)
class Received:
    """One event as a platform counts it.

    Attributes:
        platform: The face.
        key: The platform's dedup key.
        item: The event as it first came.
        times: How often it came; a platform counts it once.
    """

    platform: str
    key: str
    item: dict[str, Any]
    times: int = 1


@dataclass(slots=True)
class Memory:
    """Everything one sandbox process knows. Thread-safe through `lock`; `arrived` is set by the first request."""

    received: dict[tuple[str, str], Received] = field(default_factory=dict)
    faults: deque[dict[str, Any]] = field(default_factory=deque)
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    arrived: threading.Event = field(default_factory=threading.Event)

    def take(self, platform: str, keyed: list[tuple[str, dict[str, Any]]]) -> None:
        """Remember events under their dedup keys."""
        with self.lock:
            for key, item in keyed:
                found = self.received.get((platform, key))
                if found is None:
                    self.received[platform, key] = Received(platform, key, item)
                else:
                    found.times += 1

    def next_fault(self) -> dict[str, Any] | None:
        """Take the next fault that was ordered, if any, and count the request."""
        with self.lock:
            self.requests += 1
            self.arrived.set()
            return self.faults.popleft() if self.faults else None
