"""Checks that several faces share, written again on purpose: a judge must not share code with the judged."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any

SHA256 = re.compile(r"^[0-9a-f]{64}$")
TOKENS = frozenset({"sandbox-token"})
CLOCK_LEEWAY = dt.timedelta(minutes=5)


def is_sha256(value: object) -> bool:
    """Whether a value is a lower-case hexadecimal SHA-256 digest (and so not a raw contact)."""
    return isinstance(value, str) and SHA256.match(value) is not None


def unknown_fields(given: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """Name the fields a platform does not know."""
    return sorted(set(given) - set(known))


def bearer_token(header: str) -> str:
    """Read the token of an Authorization header; empty when there is none."""
    kind, _, token = header.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def age(moment: dt.datetime) -> dt.timedelta:
    """How long ago a moment was, by the sandbox's own clock."""
    return dt.datetime.now(dt.UTC) - moment


def is_number(value: object) -> bool:
    """Whether a value is a finite, non-negative JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
