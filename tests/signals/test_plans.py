"""What is asked of the event store reads each event a few times, however many names there are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.core.likelihood import LinearModel
from optimizer.feedback.outbox import weekly_counts
from optimizer.signals.answers import SignalsRequest
from optimizer.signals.journeys import read_journeys
from optimizer.signals.recent import choose_recipe, features, likelihoods, reached_goal
from optimizer.signals.service import rank_events
from optimizer.storage.stores import Stores
from tests.conftest import NOON
from tests.fixtures.plans import Explain

DAY = dt.timedelta(days=1)
NEEDED = {"unit_id", "name", "timestamp", "value", "source", "device", "id_hash"}


@pytest.fixture(autouse=True)
def _shop(add_visitors: Callable[..., None], add_events: Any) -> None:
    add_visitors(300)
    # Fifteen more names: a ranking that asked once per event would ask more often now.
    add_events([
        {"name": f"other_{place % 15}", "user_id": f"u{place % 299}", "timestamp": NOON - DAY * (1 + place % 28)}
        for place in range(900)
    ])  # fmt: skip


@pytest.mark.parametrize("more", [{}, {"by": "source"}, {"landmark_hours": 100.0}], ids=["periods", "by", "landmark"])
def test_a_ranking_asks_eight_or_nine_questions_of_one_scan_each(
    more: dict[str, Any], stores: Stores, project_id: int, explain: Explain
) -> None:
    request = SignalsRequest.model_validate({"goal": "purchase", "window_days": 14, **more})
    plans = explain(lambda: rank_events(stores.events, project_id, request, {}, now=NOON))
    assert [plan.scans["events"] for plan in plans] == [1] * (9 if "by" in more else 8)
    assert not [plan.pairwise for plan in plans if plan.pairwise]
    assert set().union(*(plan.columns for plan in plans)) <= NEEDED  # properties, the widest by far, stay unread


def test_values_are_learned_in_one_question_that_finds_journeys_by_name(
    stores: Stores, project_id: int, explain: Explain
) -> None:
    names = ["compare", "page_view", *(f"other_{place}" for place in range(8))]
    [plan] = explain(lambda: read_journeys(stores.events, project_id, "purchase", names, 7 * DAY, now=NOON))
    assert plan.scans["events"] == 2  # where journeys begin, and what happened on them
    assert any("name" in condition for condition in plan.filtered)
    assert not plan.pairwise
    assert plan.columns <= NEEDED


def test_likelihoods_are_one_scan_of_the_last_30_days(stores: Stores, project_id: int, explain: Explain) -> None:
    store = stores.events
    recipe = choose_recipe(store, project_id, since=NOON - 30 * DAY, until=NOON)
    assert len(recipe.events) >= 10
    model = LinearModel(recipe.names, (0.2,) * len(recipe.names), 0.1)
    questions: dict[str, Callable[[], object]] = {
        "recipe": lambda: choose_recipe(store, project_id, since=NOON - 30 * DAY, until=NOON),
        "features": lambda: features(store, project_id, recipe, NOON).to_pyarrow(),
        "scores": lambda: likelihoods(store, project_id, recipe, model, NOON).to_pyarrow(),
        "goal": lambda: reached_goal(store, project_id, "purchase", NOON - 7 * DAY, NOON).to_pyarrow(),
    }
    for name, question in questions.items():
        for plan in explain(question):
            assert plan.scans["events"] == 1, name
            assert any("timestamp>" in condition for condition in plan.filtered), name  # while it reads
            assert not plan.pairwise, name
            assert plan.columns <= NEEDED, name


def test_how_often_an_event_came_this_week_is_read_by_name_and_time(
    stores: Stores, project_id: int, explain: Explain
) -> None:
    [plan] = explain(lambda: weekly_counts(stores.events, project_id, {"compare"}, now=NOON))
    assert plan.scans["events"] == 1
    assert plan.columns <= {"name", "timestamp"}
    assert any("timestamp>=" in condition for condition in plan.filtered)
