"""In which form an answer goes out: `?format=` beats the Accept header, which beats the first form offered."""

from __future__ import annotations

from typing import Literal

from flask import Request

Form = Literal["json", "html", "csv", "svg", "png", "vega", "ndjson"]

MEDIA_TYPES: dict[Form, str] = {
    "json": "application/json",
    "html": "text/html",
    "csv": "text/csv",
    "svg": "image/svg+xml",
    "png": "image/png",
    "vega": "application/vnd.vegalite.v6+json",
    "ndjson": "application/x-ndjson",
}
# A page or a picture that we made may style itself and nothing else, whatever a name in it says.
STANDS_ALONE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


def chosen_form(incoming: Request, asked: Form | None, *offered: Form) -> Form:
    """Choose the form of an answer.

    Args:
        incoming: The request, for its Accept header.
        asked: The query parameter, already validated.
        offered: What the Accept header may choose from; the first is the default.
    """
    if asked is not None:
        return asked
    names = {MEDIA_TYPES[name]: name for name in offered}
    return names.get(incoming.accept_mimetypes.best_match(list(names)) or "", offered[0])
