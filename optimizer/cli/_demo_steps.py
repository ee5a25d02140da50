"""The demo's steps: each talks to the running service over HTTP, as a team would, and returns what it learned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import click
import pyarrow as pa
import requests

from optimizer.sandbox.clickstream import SOURCE
from optimizer.sandbox.hillstrom import CONTROL, HILLSTROM
from optimizer.sandbox.shoppers import SIMULATED, tracked_events

BATCH = 1_000
FUNNEL = ["product_view", "add_to_cart", "cart", "shipping_details", "payment_details", "purchase"]
KINDS = {"purchase": "macro", **dict.fromkeys(FUNNEL[:-1], "process_milestone")}
SENT_SIGNALS = 2
FRESH_DAYS = 7
SHOWN_SIGNALS = 6
SHOWN_MEMBERS = 3
CARTED = {"all": [{"did": "add_to_cart", "within_days": 30}, {"did_not": "purchase", "since": "add_to_cart"}]}
Progress = Callable[[int], None]
Json = dict[str, Any]


class Api:
    """The service's HTTP API with a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, body: object = None, **query: str | int) -> Json:
        """Call and return the JSON answer.

        Raises:
            ClickException: The answer is an error; shows what the service said.
        """
        answer = self._session.request(method, self.url + path, json=body, params=query, timeout=120)
        if not answer.ok:
            raise click.ClickException(f"{method} {path} answered {answer.status_code}: {answer.text[:400]}")
        found: Json = answer.json()
        return found


def plan_and_analyse(api: Api) -> Json:
    """Plan and analyse the e-mail experiment on its micro and its macro conversion."""
    control = HILLSTROM[CONTROL]
    baselines = {"conversion": control.conversions / control.customers, "visit": control.visits / control.customers}
    plan = api.call("POST", "/v1/plans", {"goal": "conversion", "proxies": ["visit"], "baselines": baselines})
    comparisons = [
        {"email": arm, "metric": metric, **_compared(api, arm, field)}
        for arm in HILLSTROM
        if arm != CONTROL
        for metric, field in (("visit", "visits"), ("conversion", "conversions"))
    ]
    return {"plan": plan["metrics"], "comparisons": comparisons}


def _compared(api: Api, arm: str, field: str) -> Json:
    variants = [
        {"key": key, "visitors": HILLSTROM[key].customers, "conversions": getattr(HILLSTROM[key], field)}
        for key in (CONTROL, arm)
    ]
    result = api.call("POST", "/v1/analyses", {"method": "fixed", "variants": variants})
    [comparison] = result["metrics"][0]["comparisons"]
    return {**comparison, "decision": result["decision"]["action"], "srm_passed": result["checks"][0]["passed"]}


def import_clickstream(api: Api, clickstream: pa.Table, seed: int, progress: Progress) -> Json:
    """Send every event of the shop through `POST /v1/events`."""
    for name, kind in KINDS.items():
        api.call("PUT", f"/v1/catalog/events/{name}", {"kind": kind})
    totals = {"accepted": 0, "duplicates": 0, "rejected": 0}
    for batch in _batches(tracked_events(clickstream, seed)):
        answer = api.call("POST", "/v1/events", {"events": batch})
        totals["accepted"] += answer["accepted"]
        totals["duplicates"] += answer["duplicates"]
        totals["rejected"] += len(answer["rejected"])
        progress(len(batch))
    users = len(set(clickstream["user_id"].to_pylist()))
    return {**totals, "users": users, "source": SOURCE, "simulated": list(SIMULATED), "seed": seed}


def _batches(events: Iterator[Json]) -> Iterator[list[Json]]:
    batch: list[Json] = []
    for event in events:
        batch.append(event)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def find_friction(api: Api) -> Json:
    """Compute the funnel, without a window and within a day."""
    answers = {
        name: api.call("POST", "/v1/insights/funnel", {"steps": FUNNEL, "window_hours": hours})["total"]
        for name, hours in (("unlimited", None), ("within_24_hours", 24))
    }
    return {
        "steps": FUNNEL,
        **{name: [step["units"] for step in total["steps"]] for name, total in answers.items()},
        "worst_step": answers["unlimited"]["worst_step"],
    }


def rank(api: Api) -> Json:
    """Rank the micro conversions."""
    answer = api.call("GET", "/v1/signals", goal="purchase")
    signals = answer.pop("signals")
    by_lift = sorted(
        (signal for signal in signals if signal["lift"] and not signal["funnel_step"]), key=lambda s: -s["lift"]
    )
    return {**answer, "signals": by_lift[:SHOWN_SIGNALS]}


def feed_back(api: Api, sandbox_url: str, ranking: Json) -> Json:
    """Send the best-ranked micro conversions to both sandbox platforms, twice, to show that each is counted once."""
    destinations = _connect(api, sandbox_url)
    policy = {"goal": "purchase", "destinations": sorted(destinations), "minimum_weekly_events": 1}
    api.call("PUT", "/v1/feedback/policy", policy)
    best = [signal["event"] for signal in ranking["signals"][:SENT_SIGNALS]]
    for event in best:
        rule = {"event": event, "destinations": sorted(destinations), "minimum_weekly_events": 1}
        api.call("PUT", f"/v1/signal-rules/{event}", rule)
        api.call("POST", f"/v1/signal-rules/{event}/backfill")
    api.call("POST", "/v1/feedback/sync")
    health = api.call("GET", "/v1/feedback/health")["data"]
    again = api.call("POST", "/v1/feedback/sync")["destinations"]
    chosen = api.call("GET", "/v1/feedback/policy")["choices"]
    received = requests.get(f"{sandbox_url}/_sandbox/received", timeout=30).json()["data"]
    return {
        "events": best,
        "checks": destinations,
        "destinations": [
            {
                "destination": one["destination"],
                "platform": one["platform"],
                "sent": one["counts"].get("sent", 0),
                "not_sent": one["rejected_by_reason"],
                "sent_again": second["sent"],
            }
            for one, second in zip(health, again, strict=True)
        ],
        "counted_by_platform": _counted(received),
        "sent_more_than_once": sum(item["times"] > 1 for item in received),
        "policy": {choice["event"]: {"action": choice["action"], "reasons": choice["reasons"]} for choice in chosen},
    }


def _connect(api: Api, sandbox_url: str) -> dict[str, bool]:
    accounts = {
        "google": {
            "platform": "google_data_manager",
            "account": {"operating_account_id": "1234567890", "product_destination_id": "42"},
        },
        "meta": {"platform": "meta", "account": {"dataset_id": "111"}},
    }
    passed = {}
    for key, account in accounts.items():
        credentials = {"access_token": "sandbox-token"}
        api.call("PUT", f"/v1/destinations/{key}", {**account, "credentials": credentials, "base_url": sandbox_url})
        passed[key] = bool(api.call("POST", f"/v1/destinations/{key}/check")["passed"])
    return passed


def _counted(received: list[Json]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in received:
        counts[item["platform"]] = counts.get(item["platform"], 0) + 1
    return counts


def bring_back(api: Api) -> Json:
    """Build the segment of those who carted and did not buy, and pull it."""
    preview = api.call("POST", "/v1/segments/preview", {"definition": CARTED})
    body = {"name": "Carted, not bought", "definition": CARTED}
    api.call("PUT", "/v1/segments/carted-not-bought", body)
    refreshed = api.call("POST", "/v1/segments/carted-not-bought/refresh")
    pulled = api.call("GET", "/v1/segments/carted-not-bought/members", limit=SHOWN_MEMBERS)["data"]
    changes = api.call("GET", "/v1/segments/carted-not-bought/changes", limit=1)
    examples = [{name: member[name] for name in ("user_id", "items", "value")} for member in pulled]
    return {
        "fitting": preview["fitting"],
        "members": refreshed["members"],
        "examples": examples,
        "next_cursor": changes["next_cursor"],
    }


def yesterday() -> dt.date:
    """Return the day on which the demo's last event falls."""
    return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
