"""One HTTP call to an ad platform: always with time-outs, never with a secret or a person in what comes back.

A failure before the request left is told apart from one after it: only the second may have arrived.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from optimizer.feedback.contract import Connection, Retry

TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform answered.

    Attributes:
        status: HTTP status.
        body: The parsed JSON object; empty when it was not one.
        retry_after_seconds: What the platform asked for.
    """

    status: int
    body: Mapping[str, Any]
    retry_after_seconds: float | None


def call(
    connection: Connection, url: str, payload: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None
) -> Answer | Retry:
    """POST a JSON payload (or GET, without one) and classify what can be classified for every platform.

    Returns:
        The answer; or a `Retry` for network failures, throttling and server errors.
    """
    try:
        response = requests.request(
            "GET" if payload is None else "POST",
            _with_base(url, connection.base_url),
            json=payload,
            headers=dict(headers or {}),
            timeout=connection.timeout_seconds,
            allow_redirects=False,
        )
    except (requests.ConnectTimeout, requests.exceptions.SSLError):
        return Retry("no connection to the platform")
    except requests.ConnectionError as error:
        refused = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
        return Retry("no connection to the platform" if refused else "the connection broke", ambiguous=not refused)
    except requests.RequestException as error:
        return Retry(f"no answer from the platform ({type(error).__name__})", ambiguous=True)
    answer = Answer(response.status_code, _body(response), _retry_after(response.headers.get("Retry-After")))
    if answer.status == TOO_MANY_REQUESTS:
        return Retry("the platform asks for fewer requests", answer.retry_after_seconds or 60.0)
    if answer.status >= SERVER_ERRORS:
        return Retry(f"the platform answered {answer.status}", answer.retry_after_seconds, ambiguous=True)
    return answer


def _with_base(url: str, base_url: str | None) -> str:
    if base_url is None:
        return url
    base, parts = urlsplit(base_url), urlsplit(url)
    return urlunsplit(parts._replace(scheme=base.scheme, netloc=base.netloc))


def _body(response: requests.Response) -> Mapping[str, Any]:
    try:
        parsed = response.json()
    except requests.exceptions.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _retry_after(header: str | None) -> float | None:
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    parsed = email.utils.parsedate_tz(header)
    return 60.0 if parsed else None
