"""Talks to a running service: retries what may be retried, and turns its problems into our own errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from optimizer.client.plans import Plan
from optimizer.client.results import Experiment, Result
from optimizer.errors import (
    BusyError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidInputError,
    NotFoundError,
    OptimizerError,
    Problem,
    TooLargeError,
    UnauthenticatedError,
)

URL, KEY = "OPTIMIZER_URL", "OPTIMIZER_KEY"
ERRORS: Mapping[int, type[OptimizerError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: TooLargeError,
    429: BusyError,
    503: BusyError,
}
LONGEST_WAIT_SECONDS = 60  # however long a busy service asks to wait
Json = dict[str, Any]
ReportForm = Literal["html", "png", "svg", "csv", "json"]


class Client:
    """One project of one service.

    Args:
        url: Where it answers; from OPTIMIZER_URL when omitted.
        key: A key with the scope `read`; from OPTIMIZER_KEY when omitted.
        timeout_seconds: Of one request.
        retries: How often a busy or unreachable service is tried again.

    Raises:
        ConfigurationError: There is no URL or no key.

    Every call raises the errors of `optimizer.errors`, named by what to do next: `InvalidInputError` names the field,
    `UnauthenticatedError`, `ForbiddenError`, `NotFoundError`, `ConflictError`, or `BusyError` when the service cannot
    be reached or stayed busy after several tries (it is waited for as long as it says).
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, timeout_seconds: float = 60.0, retries: int = 5
    ) -> None:
        found_url, found_key = url or os.environ.get(URL, ""), key or os.environ.get(KEY, "")
        if not found_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"Give the service's URL (http://… or https://…), or set {URL}.")
        if not found_key:
            raise ConfigurationError(f"Give a key (`optimizer keys create --scope read`), or set {KEY}.")
        self._url, self._timeout = found_url.rstrip("/"), timeout_seconds
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {found_key}"
        # Nothing that is asked here changes anything, so a POST may be repeated as well; but what was too slow once
        # is only made slower by asking again.
        patient = Retry(
            total=retries,
            read=False,
            retry_after_max=LONGEST_WAIT_SECONDS,
            backoff_factor=0.3,
            status_forcelist=[429, 503],
            allowed_methods=None,
            respect_retry_after_header=True,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=patient))

    def __enter__(self) -> Self:
        """Close the connections when the block ends."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connections."""
        self._session.close()

    def plan(self, goal: str, proxies: Sequence[str] = (), **fields: Any) -> Plan:  # noqa: ANN401 - as the API takes them
        """Ask how many visitors it takes.

        Args:
            goal: The macro conversion.
            proxies: Micro conversions to compare.
            fields: Of `POST /v1/plans`: relative_mde, alpha, power, method, variants, weights, baselines, …
        """
        return Plan.model_validate(
            self._call("POST", "/v1/plans", {"goal": goal, "proxies": list(proxies), **fields})
        )

    def plan_picture(self, asked: Mapping[str, Any], form: Literal["svg", "png"] = "png") -> bytes:
        """Draw a plan.

        Args:
            asked: Fields of `POST /v1/plans`.
            form: Which picture.
        """
        return self._send("POST", "/v1/plans", dict(asked), {"format": form}).content

    def analyse(self, variants: Sequence[Mapping[str, Any]], **fields: Any) -> Result:  # noqa: ANN401 - as the API takes them
        """Compare counts that you bring along.

        Args:
            variants: Per variant key, visitors, and conversions or sum and sum_squares.
            fields: Of `POST /v1/analyses`: method, alpha, baseline, planned_visitors, weights.
        """
        rows = [dict(variant) for variant in variants]
        return Result.model_validate(self._call("POST", "/v1/analyses", {"variants": rows, **fields}))

    def experiments(self) -> list[Experiment]:
        """List the project's experiments, oldest first."""
        return [Experiment.model_validate(row) for row in self._pages("/v1/experiments")]

    def experiment(self, key: str) -> Experiment:
        """Read one experiment."""
        return Experiment.model_validate(self._call("GET", f"/v1/experiments/{_quoted(key)}"))

    def results(self, key: str, *, dimension: str | None = None) -> Result:
        """Read an experiment's result as of the last cut-off; reading adds no look.

        Args:
            key: The experiment.
            dimension: Also split by this: device, source, any attribute.
        """
        asked = {"dimension": dimension} if dimension else {}
        return Result.model_validate(self._call("GET", f"/v1/experiments/{_quoted(key)}/results", asked=asked))

    def report(self, key: str, form: ReportForm = "html") -> bytes:
        """Read an experiment's report as a file's content."""
        return self._send("GET", f"/v1/experiments/{_quoted(key)}/report", None, {"format": form}).content

    def _pages(self, path: str) -> Iterator[Json]:
        cursor: str | None = ""
        while cursor is not None:
            page = self._call("GET", path, asked={"cursor": cursor} if cursor else {})
            yield from page["data"]
            cursor = page["next_cursor"]

    def _call(self, method: str, path: str, body: Json | None = None, asked: Mapping[str, str] | None = None) -> Json:
        answer: Json = self._send(method, path, body, asked or {}).json()
        return answer

    def _send(self, method: str, path: str, body: Json | None, asked: Mapping[str, str]) -> requests.Response:
        try:
            answer = self._session.request(
                method, self._url + path, json=body, params=dict(asked), timeout=self._timeout
            )
        except requests.Timeout:
            raise BusyError(f"{self._url} did not answer within {self._timeout:g} s.") from None
        except requests.RequestException:
            raise BusyError(f"{self._url} cannot be reached: is the service running there?") from None
        if not answer.ok:
            raise _error(answer)
        return answer


def _quoted(key: str) -> str:
    return requests.utils.quote(key, safe="")  # type: ignore[attr-defined, no-any-return] # re-exported by requests


def _error(answer: requests.Response) -> OptimizerError:
    try:
        problem = answer.json()
        faults = [Problem(one["pointer"], one["code"], one["detail"]) for one in problem.get("errors", [])]
        detail = str(problem.get("detail") or problem.get("title"))
    except (ValueError, KeyError, TypeError, AttributeError):  # something between us and the service answered
        faults, detail = [], answer.reason
    named = "".join(f"\n  {fault.pointer}: {fault.detail}" for fault in faults)
    said = f"{detail} (HTTP {answer.status_code}){named}"
    if answer.status_code in {400, 422}:
        return InvalidInputError(said, faults)
    return ERRORS.get(answer.status_code, OptimizerError)(said)
