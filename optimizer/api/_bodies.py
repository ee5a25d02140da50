"""Reads request bodies within limits: size after decompression, nesting, and JSON that means what it says.

APIFlask hands every documented body and query to `StrictAdapter`, so that a wrong field is named by its JSON pointer
in the one error shape. JSON extensions that other parsers refuse (`NaN`, `Infinity`) are refused here too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from apiflask.schema_adapters.pydantic import PydanticAdapter
from apiflask.schema_adapters.registry import registry
from flask import Request, g, request
from pydantic import BaseModel, ValidationError

from optimizer.errors import InvalidInputError, Problem, TooLargeError, UnreadableInputError
from optimizer.ingest.decode import has_nul

Model = TypeVar("Model", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Any])
DECODED_BODY = "decoded_body"  # attributes of a view; the documentation reads them
OPTIONAL_BODY = "optional_body"
MAXIMUM_BODY_BYTES = 5_000_000
MAXIMUM_NESTING = 64
_ESCAPE = rb"\ufffd"
_SURROGATE_HINT = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def read_body(incoming: Request, limit: int = MAXIMUM_BODY_BYTES) -> bytes:
    """Return the decompressed body.

    Raises:
        TooLargeError: Over the limit, before or after decompression; reading stopped there.
        UnreadableInputError: The gzip stream is broken, or the encoding is another one.
    """
    encoding = incoming.headers.get("Content-Encoding", "identity").strip().lower()
    if incoming.content_length is not None and incoming.content_length > limit:
        raise TooLargeError(f"The body is over the limit of {limit} bytes. Send less at a time.")
    raw = incoming.stream.read(limit + 1)
    if encoding == "gzip":
        raw = _gunzip(raw, limit)
    elif encoding not in {"identity", ""}:
        raise UnreadableInputError("Content-Encoding must be gzip or identity.")
    if len(raw) > limit:
        raise TooLargeError(f"The body is over the limit of {limit} bytes. Send less at a time.")
    return raw


def cached_body() -> bytes:
    """Return the present request's decompressed body, read once.

    Raises:
        TooLargeError: See `read_body`.
        UnreadableInputError: See `read_body`; or it is not UTF-8.
    """
    if "body" not in g:
        raw = read_body(request)
        try:
            raw.decode()  # items are decoded lazily, so a wrong byte deep inside one would be found too late
        except UnicodeDecodeError as error:
            raise UnreadableInputError(f"The body is not UTF-8: byte {error.start}.") from None
        g.body = _well_formed(raw)
    body: bytes = g.body
    return body


def read_json() -> Any:  # noqa: ANN401 - any JSON
    """Return the parsed body.

    Raises:
        TooLargeError: See `read_body`.
        UnreadableInputError: Not JSON, or nested deeper than 64 levels.
    """
    raw = cached_body()
    refuse_deep_nesting(raw)
    if has_nul(raw):
        raise UnreadableInputError("The body holds the character U+0000, which no text takes.")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableInputError(f"The body is not JSON: {_place(error)}.") from None


def refuse_deep_nesting(raw: bytes) -> None:
    """Refuse JSON nested deeper than 64 levels; costs two scans in C unless there are many brackets.

    Raises:
        UnreadableInputError: Too deep.
    """
    if raw.count(b"{") + raw.count(b"[") <= MAXIMUM_NESTING:
        return
    depth = 0
    for token in _TOKEN.finditer(raw):
        first = token.group()[0]
        if first in b"[{":
            depth += 1
            if depth > MAXIMUM_NESTING:
                raise UnreadableInputError(f"The body is nested deeper than {MAXIMUM_NESTING} levels.")
        elif first in b"]}":
            depth -= 1


class StrictAdapter(PydanticAdapter):
    """Validates bodies and queries against pydantic models, naming each wrong field by its pointer."""

    def validate_input(self, request: Request, location: str, **kwargs: Any) -> BaseModel:  # noqa: ANN401 - APIFlask's signature
        """Parse and validate, or raise in our own terms; JSON types must fit exactly ("1" is not a number)."""
        del kwargs
        base = "/query" if location == "query" else ""
        try:
            if location == "query":
                validated: BaseModel = self.model_class.model_validate(dict(request.args.items()))
            else:
                validated = parse_body(self.model_class)
        except ValidationError as error:
            raise invalid_input(error, base) from None
        return validated


def parse_body(model: type[Model]) -> Model:
    """Parse and validate the body; JSON types must fit exactly ("1" is not a number).

    Raises:
        UnreadableInputError: See `read_json`.
        InvalidInputError: Names each wrong field.
    """
    read_json()
    try:
        return model.model_validate_json(cached_body(), strict=True)
    except ValidationError as error:
        raise invalid_input(error) from None


def invalid_input(error: ValidationError, base: str = "") -> InvalidInputError:
    """Turn pydantic's finding into ours, without the values that were sent."""
    problems = [
        Problem(
            base + "".join(f"/{_escaped(part)}" for part in fault["loc"]),
            fault["type"],
            fault["msg"].removeprefix("Value error, "),  # pydantic's word before our own sentences
        )
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    named = ", ".join(dict.fromkeys(problem.pointer or "the body" for problem in problems[:3]))
    return InvalidInputError(f"{len(problems)} field(s) do not fit: {named}. Nothing was changed.", problems)


def describes_body(model: type[BaseModel], *, required: bool = True) -> Callable[[View], View]:
    """Document the body of a view that validates it by itself."""

    def decorate(view: View) -> View:
        setattr(view, OPTIONAL_BODY, not required)
        spec = getattr(view, "_spec", {})
        body = registry.create_adapter(model).schema
        view._spec = {**spec, "body": body, "content_type": "application/json"}  # type: ignore[attr-defined] # noqa: SLF001 - APIFlask's own slot
        return view

    return decorate


def decodes(body: type[msgspec.Struct]) -> Callable[[View], View]:
    """Document the body of a view that decodes it by itself, item by item (the hot path)."""

    def decorate(view: View) -> View:
        setattr(view, DECODED_BODY, body)
        return view

    return decorate


def install() -> None:
    """Make APIFlask validate through `StrictAdapter`."""
    registry.register("pydantic", StrictAdapter)


def _well_formed(raw: bytes) -> bytes:
    # Trackers cut texts in the middle of an emoji. Half a surrogate pair makes JSON unreadable, and with it the whole
    # batch; it becomes the replacement character, as in browsers' own `toWellFormed`.
    if _SURROGATE_HINT.search(raw) is None:
        return raw
    return _SURROGATES.sub(
        lambda found: found[0] if found[0] == rb"\\" or len(found[0]) > len(_ESCAPE) else _ESCAPE, raw
    )


def _gunzip(raw: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(raw, limit + 1)
    except zlib.error:
        raise UnreadableInputError("The body is not a gzip stream.") from None
    if len(plain) > limit or inflater.unconsumed_tail:
        raise TooLargeError(f"The decompressed body is over the limit of {limit} bytes. Send less at a time.")
    if not inflater.eof:
        raise UnreadableInputError("The gzip stream ends early.")
    return plain


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _place(error: Exception) -> str:
    found = re.search(r"byte (\d+)", str(error))
    return f"it breaks at byte {found[1]}" if found else "it ends early or is not UTF-8"
