"""Cursor pagination: opaque URL-safe cursors that only this service can have issued."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from optimizer.errors import UnreadableInputError

_TAG_LENGTH = 6
_PURPOSE = b"optimizer cursor"


class Page(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, max_length=1000, description="`next_cursor` of the page before.")
    limit: int = Field(100, ge=1, le=1000, description="Rows a page.")


def encode_cursor(*position: str | int) -> str:
    """Pack a position into an opaque cursor."""
    packed = msgspec.json.encode(position)
    return base64.urlsafe_b64encode(_tag(packed) + packed).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type, name: str = "cursor") -> list[str | int]:
    """Unpack a cursor.

    Args:
        cursor: What `encode_cursor` made.
        kinds: The expected type of each part of the position.
        name: The query parameter it came in.

    Raises:
        UnreadableInputError: We did not issue it.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        tag, packed = raw[:_TAG_LENGTH], raw[_TAG_LENGTH:]
        genuine = hmac.compare_digest(tag, _tag(packed))
        position = msgspec.json.decode(packed) if genuine else None
    except (binascii.Error, ValueError, msgspec.DecodeError):
        position = None
    fits = isinstance(position, list) and [type(part) for part in position] == list(kinds)
    if not fits:
        raise UnreadableInputError.at(f"/query/{name}", "foreign_cursor", "This cursor was not issued by this list.")
    return list(position or ())


def _tag(packed: bytes) -> bytes:
    # Not a secret: it only tells a cursor from arbitrary text. A forged position shows nothing but the own project.
    return hashlib.blake2b(packed, digest_size=_TAG_LENGTH, key=_PURPOSE).digest()
