"""What is kept of assignments on the other control plane."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from optimizer.api._context import EXTENSION
from optimizer.app import close_app, create_app
from optimizer.catalog.keys import create_key
from optimizer.settings import Settings
from tests.conftest import SECRET, Clock, KeyedClient
from tests.jobs.test_jobs import ring

HOURS = dt.timedelta(hours=1)
PART = {"name": "checkout", "from": 0.0, "to": 1.0}


def test_a_stray_is_kept_and_a_namespace_is_exclusive(postgres_url: str, tmp_path: Path, clock: Clock) -> None:
    settings = Settings(data_dir=tmp_path, secret_key=SECRET, scheduler=False, database_url=postgres_url)
    app = create_app(settings, clock=clock)
    with app.extensions[EXTENSION].stores.control.session() as session:
        client = KeyedClient(app.test_client(), create_key(session, 1, "admin", now=clock.now)[1])
    client.put("/v1/catalog/events/add_to_cart", json={})
    for key, status in (("first", 200), ("second", 409)):
        variants = [{"key": "control"}, {"key": "treatment"}]
        design = {"key": key, "variants": variants, "primary_metric": "add_to_cart", "namespace": PART}
        assert client.post("/v1/experiments", json=design).status_code == 201
        assert client.post(f"/v1/experiments/{key}/start").status_code == status

    def variant(unit: str) -> str:
        body = {"context": {"targetingKey": unit}}
        found: str = client.post("/ofrep/v1/evaluate/flags/first", json=body).json["variant"]
        return found

    units = [f"u{n}" for n in range(40)]
    before = {unit: variant(unit) for unit in units}
    other = {"control": "treatment", "treatment": "control"}
    shown = [{"experiment": "first", "variant": other[before[unit]], "user_id": unit} for unit in units]
    for _ in range(2):  # and nothing changes by the second time
        assert client.post("/v1/exposures", json={"exposures": [*shown, *shown[:5]]}).status_code == 200
        assert {unit: variant(unit) for unit in units} == {unit: other[one] for unit, one in before.items()}
        shown = [{**one, "variant": other[one["variant"]]} for one in shown]
    close_app(app)


def test_an_ended_experiment_enters_the_history_with_the_score_of_its_proxy(
    postgres_url: str, tmp_path: Path, clock: Clock
) -> None:
    settings = Settings(data_dir=tmp_path, secret_key=SECRET, scheduler=False, database_url=postgres_url)
    app = create_app(settings, clock=clock)
    with app.extensions[EXTENSION].stores.control.session() as session:
        client = KeyedClient(app.test_client(), create_key(session, 1, "admin", now=clock.now)[1])
    for name in ("add_to_cart", "purchase"):
        client.put(f"/v1/catalog/events/{name}", json={})
    design = {"key": "pdp", "variants": [{"key": "a"}, {"key": "b"}], "primary_metric": "add_to_cart",
              "goal_metric": "purchase"}  # fmt: skip
    start = clock.now - 100 * HOURS
    assert client.post("/v1/experiments", json=design).status_code == 201
    assert client.post("/v1/experiments/pdp/start", json={"at": start.isoformat()}).status_code == 200
    exposures, events = [], []
    for number in range(200):
        user, at = f"u{number}", start + number * HOURS / 10
        exposures.append(
            {"experiment": "pdp", "variant": "ab"[number % 2], "user_id": user, "timestamp": at.isoformat()}
        )
        did = ["add_to_cart"] * (number % 10 < 3 + 3 * (number % 2)) + ["purchase"] * (
            number % 10 < 1 + 3 * (number % 2)
        )
        events += [{"name": name, "user_id": user, "timestamp": (at + HOURS).isoformat()} for name in did]
    assert client.post("/v1/exposures", json={"exposures": exposures}).json["accepted"] == 200
    assert client.post("/v1/events", json={"events": events}).json["rejected"] == []
    assert client.post("/v1/experiments/pdp/stop").status_code == 200
    clock.forward(days=3)
    for entered in (1, 0):
        assert ring(app, "remember_experiments", clock).summary["entered"] == entered
    [past] = client.get("/v1/experiments/history").json["data"]
    assert (past["source"], past["metrics"]) == ("service", ["add_to_cart", "purchase"])
    [found] = client.get("/v1/signals/proxies?goal=purchase").json["candidates"]
    assert found["score"]["sentence"] == "The proxy agreed in 1 of 1."
    close_app(app)
