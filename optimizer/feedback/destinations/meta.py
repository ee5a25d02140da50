"""Meta Conversions API.

The whole request fails for one event that is too old or malformed, so age is checked before and a refused batch is
halved until the offender stands alone. Source: developers.facebook.com/docs/marketing-api/conversions-api, v26.0.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from optimizer.feedback.contract import (
    Accepted,
    Delivery,
    Destination,
    Finding,
    Limits,
    Outcome,
    PauseDestination,
    Rejected,
    Retry,
    Skip,
)
from optimizer.feedback.halving import send_halving
from optimizer.feedback.http import Answer, call

API_VERSION = "v26.0"
RETRY_CODES = frozenset({1, 2, 341, 368, 5000})
THROTTLE_CODES = frozenset({4, 17, 80003, 80004})
PAUSE_CODES = frozenset({10, 102, 190, 200})
OK = 200


class Account(BaseModel):
    """Where events go at Meta."""

    model_config = ConfigDict(extra="forbid")

    dataset_id: str = Field(pattern="^[0-9]{1,20}$", description="Dataset (pixel) id.")
    test_event_code: str | None = Field(None, max_length=40, description="Marks events as tests in mode `test`.")


class Credentials(BaseModel):
    """How Meta knows us."""

    model_config = ConfigDict(extra="forbid")

    access_token: SecretStr = Field(min_length=1, description="System user token with ads_management.")


class Meta(Destination):
    """One dataset at Meta."""

    platform: ClassVar[str] = "meta"
    title: ClassVar[str] = "Meta Conversions API"
    Account: ClassVar[type[BaseModel]] = Account
    Credentials: ClassVar[type[BaseModel]] = Credentials
    limits: ClassVar[Limits] = Limits(
        batch=1_000,
        maximum_age=dt.timedelta(days=7),
        requests_per_minute=200,
        dedup_window=dt.timedelta(hours=48),
        source="developers.facebook.com: Conversions API, using the API; deduplicate events",
        as_of=dt.date(2026, 11, 1),
    )
    match_keys: ClassVar[tuple[str, ...]] = ("em", "ph", "fbc", "fbp", "external_id", "client_ip_address")
    event_names: ClassVar[Mapping[str, str]] = {
        "add_to_cart": "AddToCart",
        "begin_checkout": "InitiateCheckout",
        "view_item": "ViewContent",
        "search": "Search",
        "email_signup": "CompleteRegistration",
        "add_to_wishlist": "AddToWishlist",
        "add_payment_info": "AddPaymentInfo",
        "purchase": "Purchase",
    }

    def render(self, delivery: Delivery, *, now: dt.datetime) -> dict[str, Any]:
        """Build one server event; website events need the page and the user agent."""
        if now - delivery.event_time > self.limits.maximum_age:
            raise Skip("older than the 7 days Meta accepts")
        if not delivery.match.page or not delivery.match.user_agent:
            raise Skip("Meta's website events need the page and the user agent; this event came without")
        item: dict[str, Any] = {
            "event_name": delivery.platform_event or self.event_names.get(delivery.event_name, delivery.event_name),
            "event_time": int(delivery.event_time.timestamp()),
            "event_id": delivery.event_id,
            "action_source": "website",
            "event_source_url": delivery.match.page,
            "user_data": _user_data(delivery),
        }
        if delivery.value is not None and delivery.currency:
            item["custom_data"] = {"value": delivery.value, "currency": delivery.currency.lower()}
        return item

    def send(self, items: Sequence[dict[str, Any]], *, validate_only: bool = False) -> list[Outcome]:
        """Send events; a refused batch is halved until the refused event stands alone."""
        return send_halving(items, lambda some: self._post(some, validate_only=validate_only))

    def check(self) -> list[Finding]:
        """Read the dataset; warn that standard names may be optimised for already."""
        assert isinstance(self.account, Account)  # noqa: S101 - the registry built it with this model
        answer = call(self.connection, self._url(""), None, self._authorization())
        if isinstance(answer, Retry):
            return [Finding("error", answer.reason)]
        if answer.status != OK:
            return [Finding("error", _sentence(answer))]
        return [
            Finding("ok", "Meta knows the dataset and accepts the token."),
            Finding(
                "warning",
                "Standard names (AddToCart, …) may be optimised for by an ad set or sent by the pixel already: an "
                "event is secondary only while no ad set optimises for it. `platform_event` sends a name of its own.",
            ),
        ]

    def _post(self, items: Sequence[dict[str, Any]], *, validate_only: bool) -> Outcome:
        assert isinstance(self.account, Account)  # noqa: S101 - as above
        payload: dict[str, Any] = {"data": list(items)}
        if (self.connection.mode == "test" or validate_only) and self.account.test_event_code:
            payload["test_event_code"] = self.account.test_event_code
        answer = call(self.connection, self._url("/events"), payload, self._authorization())
        return answer if isinstance(answer, Retry) else _outcome(answer)

    def _url(self, path: str) -> str:
        assert isinstance(self.account, Account)  # noqa: S101 - as above
        return f"https://graph.facebook.com/{API_VERSION}/{self.account.dataset_id}{path}"

    def _authorization(self) -> dict[str, str]:
        assert isinstance(self.credentials, Credentials)  # noqa: S101 - as above
        return {"Authorization": f"Bearer {self.credentials.access_token.get_secret_value()}"}


def _user_data(delivery: Delivery) -> dict[str, Any]:
    match = delivery.match
    fields: dict[str, Any] = {
        "em": [match.email_sha256] if match.email_sha256 else None,
        "ph": [match.phone_digits_sha256] if match.phone_digits_sha256 else None,
        "external_id": [delivery.unit_sha256],
        "client_ip_address": match.ip,
        "client_user_agent": match.user_agent,
        "fbc": match.click_ids.get("fbc") or _fbc(delivery),
        "fbp": match.click_ids.get("fbp"),
    }
    return {name: value for name, value in fields.items() if value}


def _fbc(delivery: Delivery) -> str | None:
    click = delivery.match.click_ids.get("fbclid")
    return f"fb.1.{int(delivery.event_time.timestamp() * 1000)}.{click}" if click else None


def _outcome(answer: Answer) -> Outcome:
    if answer.status == OK and "events_received" in answer.body:
        return Accepted(str(answer.body.get("fbtrace_id", "")) or None)
    error = answer.body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if code in THROTTLE_CODES:
        return Retry(_sentence(answer), answer.retry_after_seconds or 300.0)
    if code in PAUSE_CODES:
        return PauseDestination(_sentence(answer))
    if code in RETRY_CODES or code is None:
        return Retry(_sentence(answer), ambiguous=True)
    return Rejected(_sentence(answer))


def _sentence(answer: Answer) -> str:
    # Codes only: Meta's message may quote what was sent.
    error = answer.body.get("error")
    if not isinstance(error, dict):
        return f"Meta answered {answer.status} without a reason"
    trace = f", fbtrace_id {error['fbtrace_id']}" if "fbtrace_id" in error else ""
    return f"Meta error {error.get('code')}/{error.get('error_subcode', 0)}{trace}"
