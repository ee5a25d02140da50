"""Decodes the items of a batch one by one, so that a bad item is a verdict and not the end of its batch.

The fast path decodes straight into the struct. Only an item with an unknown field takes the slow one: the field is
dropped, named in a warning, and the rest is decoded as if it had not been there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from optimizer.ingest.event import Verdict

MAXIMUM_ITEM_BYTES = 32_768
_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<field>.*?)`(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
MAXIMUM_UNKNOWN_FIELDS = 20

Item = TypeVar("Item")


class ItemDecoder(Generic[Item]):
    """Decodes raw JSON items into one struct type.

    Args:
        kind: The msgspec struct.
    """

    def __init__(self, kind: type[Item]) -> None:
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind)

    def decode(
        self, items: Sequence[msgspec.Raw], rejected: list[Verdict], warnings: list[Verdict]
    ) -> list[tuple[int, Item]]:
        """Decode what can be decoded; append a verdict for the rest.

        Returns:
            (index in the batch, item) pairs.
        """
        decoded: list[tuple[int, Item]] = []
        for index, raw in enumerate(items):
            unfit = unfit_item(index, raw)
            if unfit is not None:
                rejected.append(unfit)
                continue
            try:
                decoded.append((index, self._decoder.decode(raw)))
            except msgspec.ValidationError as error:
                item = self._without_unknown_fields(index, raw, str(error), rejected, warnings)
                if item is not None:
                    decoded.append((index, item))
        return decoded

    def _without_unknown_fields(
        self, index: int, raw: msgspec.Raw, message: str, rejected: list[Verdict], warnings: list[Verdict]
    ) -> Item | None:
        plain: Any = None
        for _ in range(MAXIMUM_UNKNOWN_FIELDS):
            unknown = _UNKNOWN_FIELD.search(message)
            if unknown is None:
                rejected.append(as_verdict(index, message))
                return None
            plain = msgspec.json.decode(raw) if plain is None else plain
            path = [part for part in (unknown["path"] or "").split(".") if part]
            _drop(plain, path, unknown["field"])
            name = ".".join([*path, unknown["field"]])[:80]
            warnings.append(Verdict(index, "unknown_field", f"The field `{name}` is unknown and was ignored."))
            try:
                return msgspec.convert(plain, self._kind)
            except msgspec.ValidationError as error:
                message = str(error)
        detail = f"More than {MAXIMUM_UNKNOWN_FIELDS} fields are unknown."
        rejected.append(Verdict(index, "unknown_fields", detail))
        return None


def unfit_item(index: int, raw: msgspec.Raw) -> Verdict | None:
    """Judge an item before it is decoded: its size, and the one character that no store takes."""
    plain = bytes(raw)
    if len(plain) > MAXIMUM_ITEM_BYTES:
        return Verdict(index, "too_large", f"The item is over the limit of {MAXIMUM_ITEM_BYTES} bytes.")
    if has_nul(plain):
        return Verdict(index, "nul_character", "The item holds the character U+0000, which no text takes.")
    return None


def has_nul(raw: bytes) -> bool:
    """Whether JSON holds the character U+0000 (only ever escaped), which databases refuse in text."""
    return b"\\u0000" in raw and _NUL.search(raw) is not None


def as_verdict(index: int, message: str) -> Verdict:
    """Turn a decoder's message into a verdict that names the field and what it should be."""
    missing = _MISSING.search(message)
    if missing:
        return Verdict(index, f"missing_{missing['field']}", f"The field `{missing['field']}` is missing.")
    at = _AT.search(message)
    field = (at["path"] if at else "") or "the item"
    reason = message[: at.start()] if at else message
    if "Invalid value" in reason or "Invalid RFC3339" in reason:
        reason = "It cannot be read"
    return Verdict(index, "invalid_field", f"`{field}`: {reason}.")


def _drop(plain: Any, path: list[str], field: str) -> None:  # noqa: ANN401 - any JSON
    for part in path:
        plain = plain[part]
    del plain[field]
