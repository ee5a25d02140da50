"""The likelihood model against visitors whose truth is known, and against data that must be refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from apiflask import APIFlask

from optimizer.api._context import EXTENSION
from optimizer.core.likelihood import LinearModel, probabilities
from optimizer.errors import InvalidInputError, NotFoundError
from optimizer.signals.likelihood import LikelihoodRequest, ModelCard, train
from optimizer.signals.models import Sample, fit_likelihood
from optimizer.signals.recent import Recipe, choose_recipe, features, likelihoods
from optimizer.storage.stores import Stores
from tests.conftest import NOON, Clock, KeyedClient

Add = Callable[[list[dict[str, Any]]], None]
PURCHASE = LikelihoodRequest(goal="purchase")


def test_what_is_planted_is_found_and_holds_on_later_weeks(
    stores: Stores, project_id: int, add_visitors: Callable[..., None]
) -> None:
    add_visitors(4_000)
    card = train(stores, project_id, PURCHASE, now=NOON)
    assert card.status == "ok", card.reason
    judged = card.judgement
    assert judged is not None
    assert judged.auc_interval[0] > max(0.65, judged.auc_of_activity)
    assert judged.log_loss_bits < judged.log_loss_of_rate_bits
    assert judged.calibration_slope_interval is not None
    assert judged.calibration_slope_interval[0] < 1 < judged.calibration_slope_interval[1]
    assert all(one.interval[0] <= one.predicted + 0.05 for one in judged.calibration)
    assert {one.feature: one.weight for one in card.top_features}["compare, last 7 days"] > 0.1
    assert card.training is not None
    assert card.test is not None
    assert card.training.end <= card.test.start
    assert ModelCard.model_validate_json(card.model_dump_json()) == card


def test_the_engine_scores_as_the_model_does(
    stores: Stores, project_id: int, add_visitors: Callable[..., None]
) -> None:
    add_visitors(800)
    recipe = choose_recipe(stores.events, project_id, since=NOON - dt.timedelta(days=60), until=NOON)
    rng = np.random.default_rng(2)
    model = LinearModel(recipe.names, tuple(rng.normal(0, 0.3, len(recipe.names))), -1.0)
    rows = features(stores.events, project_id, recipe, NOON).order_by("unit_id").to_pyarrow()
    matrix = np.column_stack([rows[f"x{place}"].to_numpy() for place in range(len(recipe.names))])
    scored = likelihoods(stores.events, project_id, recipe, model, NOON).order_by("unit_id").to_pyarrow()
    assert scored["unit_id"].equals(rows["unit_id"])
    assert scored["conversion_likelihood"].to_numpy() == pytest.approx(probabilities(model.log_odds(matrix)))
    some = scored["unit_id"].to_pylist()[10:20]
    of_some = likelihoods(stores.events, project_id, recipe, model, NOON, some).order_by("unit_id").to_pyarrow()
    assert of_some.to_pylist() == [pytest.approx(row) for row in scored.to_pylist()[10:20]]


def test_features_know_nothing_of_later(stores: Stores, project_id: int, add_events: Add) -> None:
    hour = dt.timedelta(hours=1)
    add_events(
        [
            {"name": "page_view", "user_id": "u", "timestamp": NOON - 10 * 24 * hour, "device": "mobile"},
            {"name": "cart", "user_id": "u", "timestamp": NOON - hour, "device": "mobile"},
            {"name": "cart", "user_id": "u", "timestamp": NOON, "device": "desktop"},
            {"name": "cart", "user_id": "u", "timestamp": NOON + hour},
            {"name": "cart", "user_id": "early", "timestamp": NOON - 31 * 24 * hour},
        ]
    )
    recipe = Recipe(("cart", "page_view"), (("device", "mobile"),))
    [row] = features(stores.events, project_id, recipe, NOON).to_pyarrow().to_pylist()
    found = [row[f"x{place}"] for place in range(len(recipe.names))]
    assert found == pytest.approx([*np.log([1, 241, 4, 3, 3, 1, 2]), 2 / 3])


@pytest.mark.parametrize(
    ("purchases", "words"), [(3, "conversions to learn from; it takes 100"), (0, None)], ids=["three", "none"]
)
def test_three_conversions_are_too_few(
    purchases: int, words: str | None, stores: Stores, project_id: int, add_events: Add
) -> None:
    rows = [
        {"name": "page_view", "user_id": f"u{n}", "timestamp": NOON - dt.timedelta(days=n % 60 + 1)}
        for n in range(300)
    ]
    buys = [
        {"name": "purchase", "user_id": f"u{n}", "timestamp": NOON - dt.timedelta(days=20 + n)}
        for n in range(purchases)
    ]
    add_events(rows + buys)
    if words is None:
        with pytest.raises(NotFoundError):
            train(stores, project_id, PURCHASE, now=NOON)
        return
    card = train(stores, project_id, PURCHASE, now=NOON)
    assert card.status == "refused"
    assert words in card.reason
    assert card.model is None


def test_a_history_shorter_than_three_horizons_is_refused(stores: Stores, project_id: int, add_events: Add) -> None:
    add_events(
        [{"name": "purchase", "user_id": f"u{n}", "timestamp": NOON - dt.timedelta(hours=n)} for n in range(300)]
    )
    card = train(stores, project_id, PURCHASE, now=NOON)
    assert "take 21 days" in card.reason


def test_everybody_converting_is_refused(stores: Stores, project_id: int, add_events: Add) -> None:
    days = [NOON - dt.timedelta(days=day, hours=1) for day in range(60)]
    add_events([{"name": "purchase", "user_id": f"u{n}", "timestamp": day} for n in range(60) for day in days])
    card = train(stores, project_id, PURCHASE, now=NOON)
    assert card.status == "refused"
    assert "Everybody reached the goal" in card.reason


def test_values_that_never_vary_are_refused_in_words(stores: Stores, project_id: int, add_events: Add) -> None:
    # Everybody does the same at the same hour of every day; who buys is drawn. There is nothing to learn.
    rng = np.random.default_rng(4)
    rows = []
    for number in range(200):
        for day in range(60):
            at = NOON - dt.timedelta(days=day, hours=2)
            rows.append({"name": "page_view", "user_id": f"u{number}", "timestamp": at})
            if day % 7 == 0 and rng.random() < 0.3:
                rows.append({"name": "purchase", "unit_id": f"u:u{number}", "timestamp": at - dt.timedelta(hours=1)})
    add_events(rows)
    card = train(stores, project_id, PURCHASE, now=NOON)
    assert card.status == "refused"
    assert "not told apart from chance" in card.reason


def test_likelihoods_that_are_off_on_the_last_weeks_are_refused(
    stores: Stores, project_id: int, add_visitors: Callable[..., None], add_events: Add
) -> None:
    add_visitors(2_500)
    last = NOON - dt.timedelta(days=3)  # then everybody who comes gets a coupon and buys
    add_events(
        [
            {"name": name, "user_id": f"c{n}", "timestamp": last - dt.timedelta(days=6) * early}
            for n in range(400)
            for name, early in (("page_view", 1), ("purchase", 0))
        ]
    )
    card = train(stores, project_id, PURCHASE, now=NOON)
    assert card.status == "refused"
    assert "off on the last weeks" in card.reason


def test_no_goal_is_an_error_that_names_it(stores: Stores, project_id: int) -> None:
    with pytest.raises(InvalidInputError):
        train(stores, project_id, LikelihoodRequest(), now=NOON)


def test_a_sample_of_one_outcome_is_refused_and_constant_features_get_no_weight() -> None:
    rows = np.ones((50, 2))
    with pytest.raises(ValueError, match="both outcomes"):
        fit_likelihood(("a", "b"), Sample(rows, np.zeros(50)), Sample(rows, np.zeros(50)))
    outcome = np.repeat([1.0, 0.0], [10, 40])
    model = fit_likelihood(("a", "b"), Sample(rows, outcome), Sample(rows, outcome))
    assert model.coefficients == (0.0, 0.0)
    assert probabilities(model.log_odds(rows))[0] == pytest.approx(0.2)


def test_large_populations_are_sampled_evenly(
    stores: Stores, project_id: int, add_visitors: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_visitors(2_000)
    monkeypatch.setattr("optimizer.signals.likelihood.ROWS_A_MOMENT", 300)
    card = train(stores, project_id, PURCHASE, now=NOON)
    assert card.training is not None
    assert 150 * 6 < card.training.units < 360 * 6


def test_a_version_is_trained_numbered_used_and_drawn(
    client: KeyedClient, add_visitors: Callable[..., None], clock: Clock
) -> None:
    assert client.get("/v1/signals/likelihood").status_code == 404
    assert client.post("/v1/signals/likelihood", json={}).json["errors"][0]["pointer"] == "/goal"
    assert client.post("/v1/signals/likelihood", json={"goal": "purchase"}).status_code == 404
    client.put("/v1/catalog/events/launch", json={})
    ahead = client.post("/v1/signals/likelihood", json={"goal": "launch"}).json
    assert (ahead["status"], ahead["reason"][:24]) == ("refused", "The history is too short")
    add_visitors(2_500)
    refused = client.post("/v1/signals/likelihood", json={"goal": "purchase", "horizon_days": 30})
    assert (refused.status_code, refused.json["status"], refused.json["version"]) == (200, "refused", 2)
    assert refused.json["in_use"] is False
    made = client.post("/v1/signals/likelihood", json={"goal": "purchase"}).json
    assert (made["version"], made["status"], made["in_use"]) == (3, "ok", True)
    assert client.get("/v1/signals/likelihood").json == made
    listed = client.get("/v1/signals/likelihood/versions?limit=1").json
    assert [one["version"] for one in listed["data"]] == [3]
    following = client.get(f"/v1/signals/likelihood/versions?limit=1&cursor={listed['next_cursor']}").json
    assert [one["version"] for one in following["data"]] == [2]
    for number, format_, start in ((3, "png", b"\x89PNG"), (1, "svg", b"<svg")):
        drawn = client.get(f"/v1/signals/likelihood/versions/{number}?format={format_}")
        assert drawn.data.startswith(start)
    spec = client.get("/v1/signals/likelihood?format=vega").data
    assert b"vega-lite" in spec
    assert client.get("/v1/signals/likelihood/versions/9").status_code == 404
    clock.forward(days=36)
    assert client.get("/v1/signals/likelihood").json["in_use"] is False  # of another season


def test_a_card_with_another_versions_fields_is_not_used_and_made_anew(
    app: APIFlask,
    client: KeyedClient,
    add_visitors: Callable[..., None],
    clock: Clock,
    forget_field: Callable[[str, int], None],
) -> None:
    add_visitors(2_500)
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    assert client.post("/v1/signals/likelihood", json={"goal": "purchase"}).json["in_use"] is True
    forget_field("top_features", 1)
    assert client.get("/v1/signals/likelihood").status_code == 404
    assert client.get("/v1/signals/likelihood/versions/1").status_code == 404
    assert client.get("/v1/signals/likelihood/versions").json["data"] == []
    rule = {"definition": {"all": [{"conversion_likelihood": {"at_least": 0.1}}]}}
    assert client.post("/v1/segments/preview", json=rule).status_code == 409
    ran = app.extensions[EXTENSION].schedule.run_now("train_likelihood", now=clock.now).summary
    assert ran == {"projects": {"1": "ok"}, "failed": []}
    assert client.get("/v1/signals/likelihood").json["version"] == 2


def test_pages_go_on_behind_a_card_that_cannot_be_read(
    client: KeyedClient, forget_field: Callable[[str, int], None]
) -> None:
    client.put("/v1/catalog/events/launch", json={})
    for _ in range(3):
        assert client.post("/v1/signals/likelihood", json={"goal": "launch"}).status_code == 200
    forget_field("top_features", 2)
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/signals/likelihood/versions?limit=1{cursor and f'&cursor={cursor}'}").json
        found += [one["version"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert found == [3, 1]


def test_the_job_trains_weekly_where_there_is_a_goal(
    app: APIFlask, client: KeyedClient, add_events: Add, clock: Clock
) -> None:
    schedule = app.extensions[EXTENSION].schedule
    assert schedule.run_now("train_likelihood", now=clock.now).summary == {"projects": {}, "failed": []}
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    add_events([{"name": "page_view", "user_id": "u", "timestamp": NOON}])
    unsent = schedule.run_now("train_likelihood", now=clock.forward(days=1)).summary
    assert unsent == {"projects": {"1": "goal never sent"}, "failed": []}
    add_events([{"name": "purchase", "user_id": "u", "timestamp": NOON, "event_id": "p"}])
    for days, trained in ((1, {"1": "refused"}), (6, {}), (1, {"1": "refused"})):
        summary = schedule.run_now("train_likelihood", now=clock.forward(days=days)).summary
        assert summary == {"projects": trained, "failed": []}
