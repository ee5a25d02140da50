from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from tests.conftest import Clock, KeyedClient
from tests.experiments.ended import START, Add, Expose, Remember
from tests.jobs.test_jobs import ring

Draft = Callable[..., Any]


@pytest.fixture
def draft(client: KeyedClient) -> Draft:
    """Draft an experiment on a catalogued metric; what is left out gets a default."""
    client.put("/v1/catalog/events/add_to_cart", json={})

    def make(key: str = "pdp-cta", **design: Any) -> Any:
        variants = [{"key": "control"}, {"key": "treatment"}]
        given = {"key": key, "variants": variants, "primary_metric": "add_to_cart", **design}
        return client.post("/v1/experiments", json=given)

    return make


@pytest.fixture
def run(client: KeyedClient, draft: Draft) -> Draft:
    """Draft an experiment and start it."""

    def start(key: str = "pdp-cta", **design: Any) -> Any:
        made = draft(key, **design)
        assert made.status_code == 201, made.json
        return client.post(f"/v1/experiments/{key}/start")

    return start


@pytest.fixture
def shop(client: KeyedClient) -> KeyedClient:
    for name in ("add_to_cart", "purchase", "wishlist"):
        client.put(f"/v1/catalog/events/{name}", json={"status": "active"})
    body = {"type": "proportion", "event": "purchase", "window_hours": 240}
    assert client.put("/v1/metrics/bought", json=body).status_code == 200
    return client


@pytest.fixture
def visitors(add_events: Add, add_exposures: Add) -> Expose:
    """Expose 200 a variant: 60 and 90 carts, of whom a third buy (after a week), 10 and 20 wish something."""

    def expose(key: str = "pdp", *, lost: int = 0, weeks: int = 1) -> None:
        events, exposures = [], []
        for variant, carts, wishes in (("control", 60, 10), ("treatment", 90, 20)):
            for number in range(lost if variant == "treatment" else 0, 200):
                user, at = f"{key}-{variant}-{number}", START + dt.timedelta(minutes=number)
                exposures.append({"experiment": key, "variant": variant, "user_id": user, "timestamp": at})
                if number < carts:
                    events.append({"name": "add_to_cart", "user_id": user, "timestamp": at + dt.timedelta(hours=1)})
                if number < carts and number % 3 == 0:
                    events.append({"name": "purchase", "user_id": user, "timestamp": at + dt.timedelta(weeks=weeks)})
                if number >= 200 - wishes:
                    events.append({"name": "wishlist", "user_id": user, "timestamp": at + dt.timedelta(hours=2)})
        add_exposures(exposures)
        add_events(events)

    return expose


@pytest.fixture
def remember(app: APIFlask, clock: Clock) -> Remember:
    """Ring the job."""
    return lambda: ring(app, "remember_experiments", clock).summary
