"""Google Data Manager API, `events:ingest`: the way to Google Ads conversions since June 2026.

The API fails fast: one invalid field refuses the whole request, so a refused batch is halved until the offender
stands alone. Source: developers.google.com/data-manager/api, v1; judged by `google-ads-datamanager` in the tests.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

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

SCOPE = "https://www.googleapis.com/auth/datamanager"
INGEST = "https://datamanager.googleapis.com/v1/events:ingest"
TOKEN = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
CLICK_IDS = ("gclid", "gbraid", "wbraid")
OK = 200
EXAMPLE_HASH = "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"  # test@example.com, for checks


class Account(BaseModel):
    """Which conversion action at Google receives events."""

    model_config = ConfigDict(extra="forbid")

    operating_account_id: str = Field(
        pattern="^[0-9]{1,20}$", description="Google Ads customer that owns the action."
    )
    login_account_id: str | None = Field(
        None, pattern="^[0-9]{1,20}$", description="Manager account, if one is used."
    )
    product_destination_id: str = Field(pattern="^[0-9]{1,20}$", description="Id of the conversion action.")


class Credentials(BaseModel):
    """How Google knows us: a service account, a refresh token, or a plain access token."""

    model_config = ConfigDict(extra="forbid")

    service_account: dict[str, str] | None = Field(None, description="The JSON key file's content.")
    refresh_token: SecretStr | None = Field(None, description="With client_id and client_secret.")
    client_id: str | None = None
    client_secret: SecretStr | None = None
    access_token: SecretStr | None = Field(None, description="Used as it is, until it expires.")

    @model_validator(mode="after")
    def one_way(self) -> Credentials:
        """Refuse none or several ways at once."""
        ways = [self.service_account, self.refresh_token, self.access_token]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one of service_account, refresh_token or access_token")
        if self.refresh_token and not (self.client_id and self.client_secret):
            raise ValueError("refresh_token needs client_id and client_secret")
        return self


class GoogleDataManager(Destination):
    """One conversion action, reached through the Data Manager API."""

    platform: ClassVar[str] = "google_data_manager"
    title: ClassVar[str] = "Google Data Manager"
    Account: ClassVar[type[BaseModel]] = Account
    Credentials: ClassVar[type[BaseModel]] = Credentials
    limits: ClassVar[Limits] = Limits(
        batch=2_000,
        maximum_age=dt.timedelta(days=90),
        requests_per_minute=300,
        dedup_window=dt.timedelta(days=90),
        source="developers.google.com/data-manager/api: limits and quotas; transactionId deduplicates per action",
        as_of=dt.date(2026, 11, 1),
    )
    match_keys: ClassVar[tuple[str, ...]] = (*CLICK_IDS, "email", "phone")
    event_names: ClassVar[Mapping[str, str]] = {
        "add_to_cart": "ADD_TO_CART",
        "begin_checkout": "BEGIN_CHECKOUT",
        "view_item": "PAGE_VIEW",
        "search": "ENGAGEMENT",
        "video_start": "ENGAGEMENT",
        "file_download": "DOWNLOAD",
        "form_start": "ENGAGEMENT",
        "email_signup": "SIGNUP",
        "purchase": "PURCHASE",
    }

    def render(self, delivery: Delivery, *, now: dt.datetime) -> dict[str, Any]:
        """Build one event; it needs a click id or a hashed contact."""
        if now - delivery.event_time > self.limits.maximum_age:
            raise Skip("older than the 90 days Google accepts")
        clicks = {name: value for name in CLICK_IDS if (value := delivery.match.click_ids.get(name))}
        people = [
            {name: value}
            for name, value in (
                ("emailAddress", delivery.match.email_google_sha256),
                ("phoneNumber", delivery.match.phone_e164_sha256),
            )
            if value
        ]
        if not clicks and not people:
            raise Skip("no click id and no contact to match by")
        item: dict[str, Any] = {
            # All-numeric ids are refused live and validateOnly does not say so: hence the prefix.
            "transactionId": f"event-{delivery.event_id}",
            "eventTimestamp": delivery.event_time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
            "eventSource": "WEB",
            "consent": {
                "adUserData": "CONSENT_GRANTED",
                "adPersonalization": "CONSENT_GRANTED" if delivery.ad_personalization else "CONSENT_DENIED",
            },
        }
        if clicks:
            item["adIdentifiers"] = clicks
        if people:
            item["userData"] = {"userIdentifiers": people}
        if delivery.value is not None and delivery.currency:
            item["currency"], item["conversionValue"] = delivery.currency, delivery.value
        return item

    def send(self, items: Sequence[dict[str, Any]], *, validate_only: bool = False) -> list[Outcome]:
        """Send events; a refused batch is halved until the refused event stands alone."""
        token = self._token()
        if not isinstance(token, str):
            return [token] * len(items)
        return send_halving(items, lambda some: self._post(some, token, validate_only=validate_only))

    def check(self) -> list[Finding]:
        """Ask Google to validate one example event; warn about what the account may do with it."""
        example = {
            "transactionId": "event-check",
            "eventTimestamp": dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z"),
            "eventSource": "WEB",
            "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"},
            "userData": {"userIdentifiers": [{"emailAddress": EXAMPLE_HASH}]},
        }
        [outcome] = self.send([example], validate_only=True)
        if not isinstance(outcome, Accepted):
            return [Finding("error", getattr(outcome, "reason", "refused"))]
        return [
            Finding("ok", "Google accepts the account, the action and the token."),
            Finding(
                "warning",
                "Google only observes a secondary action (primary_for_goal = false) unless a custom goal makes it "
                "biddable: look at the action's goal settings before the first push.",
            ),
        ]

    def payload(self, items: Sequence[dict[str, Any]], *, validate_only: bool) -> dict[str, Any]:
        """Wrap events into the request that `events:ingest` takes."""
        account = self.account
        assert isinstance(account, Account)  # noqa: S101 - the registry built it with this model
        destination: dict[str, Any] = {
            "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": account.operating_account_id},
            "productDestinationId": account.product_destination_id,
        }
        if account.login_account_id:
            destination["loginAccount"] = {"accountType": "GOOGLE_ADS", "accountId": account.login_account_id}
        return {
            "destinations": [destination],
            "events": list(items),
            "encoding": "HEX",
            "validateOnly": validate_only or self.connection.mode == "test",
        }

    def _post(self, items: Sequence[dict[str, Any]], token: str, *, validate_only: bool) -> Outcome:
        headers = {"Authorization": f"Bearer {token}"}
        answer = call(self.connection, INGEST, self.payload(items, validate_only=validate_only), headers)
        return answer if isinstance(answer, Retry) else _outcome(answer)

    def _token(self) -> str | Retry | PauseDestination:
        given = self.credentials
        assert isinstance(given, Credentials)  # noqa: S101 - as above
        if given.access_token:
            return given.access_token.get_secret_value()
        try:
            return _fresh_token(given)
        except GoogleAuthError as error:
            if getattr(error, "retryable", False):
                return Retry("Google's token service does not answer")
            return PauseDestination("Google refused the credentials")
        except ValueError:
            return PauseDestination("the service account key cannot be read")


def _fresh_token(given: Credentials) -> str:
    if given.service_account:
        source = service_account.Credentials.from_service_account_info(given.service_account, scopes=[SCOPE])
    else:
        secret = given.client_secret
        source = user_credentials.Credentials(
            None,
            refresh_token=given.refresh_token.get_secret_value() if given.refresh_token else None,
            token_uri=TOKEN,
            client_id=given.client_id,
            client_secret=secret.get_secret_value() if secret else None,
            scopes=[SCOPE],
        )
    source.refresh(Request())
    return str(source.token)


def _outcome(answer: Answer) -> Outcome:
    if answer.status == OK and answer.body.get("requestId"):
        return Accepted(str(answer.body["requestId"]))
    error = answer.body.get("error")
    status = error.get("status", "") if isinstance(error, dict) else ""
    reason = f"Google answered {answer.status} {status}{_fields(error)}".strip()
    if status in {"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"} or answer.status in {401, 403, 404}:
        return PauseDestination(reason)
    if status in {"INTERNAL", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"} or not status:
        return Retry(reason, answer.retry_after_seconds, ambiguous=True)
    return Rejected(reason)


def _fields(error: object) -> str:
    # Field paths and reason codes only: Google's descriptions may quote what was sent.
    details = error.get("details", []) if isinstance(error, dict) else []
    violations = [
        f"{violation.get('field', '?')} ({violation.get('reason', 'invalid')})"
        for detail in details
        if isinstance(detail, dict)
        for violation in detail.get("fieldViolations", [])
        if isinstance(violation, dict)
    ]
    return f": {', '.join(violations[:3])}" if violations else ""
