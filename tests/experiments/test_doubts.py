"""Whoever sends an exposure that will not count is told so, with what is missing; it is kept all the same."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.conftest import NOON, KeyedClient

VARIANTS = [{"key": "control"}, {"key": "treatment"}]


@pytest.fixture
def shop(client: KeyedClient) -> KeyedClient:
    client.put("/v1/catalog/events/add_to_cart", json={})
    for key, unit in (("running", "user"), ("draft", "user"), ("stopped", "user"), ("by-session", "session")):
        design = {"key": key, "unit": unit, "variants": VARIANTS, "primary_metric": "add_to_cart"}
        assert client.post("/v1/experiments", json=design).status_code == 201
        if key != "draft":
            start = {"at": (NOON - dt.timedelta(days=2)).isoformat()}
            assert client.post(f"/v1/experiments/{key}/start", json=start).status_code == 200
    stop = {"at": (NOON - dt.timedelta(days=1)).isoformat()}
    assert client.post("/v1/experiments/stopped/stop", json=stop).status_code == 200
    return client


def sent(shop: KeyedClient, **exposure: Any) -> tuple[str, str] | None:
    exposure = {"experiment": "running", "variant": "control", "user_id": "u1", **exposure}
    answer = shop.post("/v1/exposures", json={"exposures": [exposure]}).json
    assert (answer["accepted"], answer["rejected"]) == (1, [])
    if not answer["warnings"]:
        return None
    [warning] = answer["warnings"]
    assert warning["index"] == 0
    return warning["code"], warning["detail"]


def days_ago(days: float) -> str:
    return (NOON - dt.timedelta(days=days)).isoformat()


def test_an_exposure_that_counts_raises_no_doubt(shop: KeyedClient) -> None:
    assert sent(shop) is None
    assert sent(shop, experiment="stopped", timestamp=days_ago(1.5)) is None
    assert sent(shop, experiment="by-session", session_id="s1") is None


@pytest.mark.parametrize(
    ("exposure", "code", "says"),
    [
        ({"experiment": "runing"}, "unknown_experiment", "Did you mean `running`?"),
        ({"experiment": "of nobody"}, "unknown_experiment", "until one has."),
        ({"variant": "Control"}, "unknown_variant", "control, treatment"),
        ({"experiment": "draft"}, "not_running", "had not started"),
        ({"timestamp": days_ago(3)}, "not_running", "had not started"),
        ({"experiment": "stopped"}, "not_running", "had stopped"),
        ({"experiment": "by-session"}, "wrong_unit", "unit is session"),
    ],
)
def test_what_keeps_an_exposure_from_counting_is_said(
    shop: KeyedClient, exposure: dict[str, Any], code: str, says: str
) -> None:
    found = sent(shop, **exposure)
    assert found is not None
    assert found[0] == code
    assert says in found[1]


def test_a_tracker_s_exposure_is_doubted_as_well_and_a_dry_run_says_the_same(shop: KeyedClient) -> None:
    viewed = {"name": "experiment_viewed", "user_id": "u1", "properties": {"experiment": "x", "variant": "control"}}
    batch = {"events": [{"name": "add_to_cart", "user_id": "u1"}, viewed]}
    for path in ("/v1/events/validate", "/v1/events"):
        [warning] = shop.post(path, json=batch).json["warnings"]
        assert (warning["index"], warning["code"]) == (1, "unknown_experiment")


def test_an_experiment_that_is_loaded_afterwards_counts_what_was_doubted(shop: KeyedClient) -> None:
    assert sent(shop, experiment="late", timestamp=days_ago(1)) is not None
    design = {"key": "late", "variants": VARIANTS, "primary_metric": "add_to_cart"}
    assert shop.post("/v1/experiments", json=design).status_code == 201
    assert shop.post("/v1/experiments/late/start", json={"at": days_ago(2)}).status_code == 200
    assert sent(shop, experiment="late", timestamp=days_ago(1), user_id="u2") is None
    assert shop.get("/v1/experiments/late/results").json["units"] == {"control": 2, "treatment": 0}
