from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.insights.funnel import FunnelRequest, funnel
from optimizer.sandbox.clickstream import read_clickstream
from optimizer.storage.cipher import Cipher
from optimizer.storage.control import ControlStore
from optimizer.storage.migrate import upgrade
from optimizer.storage.open import open_event_store
from optimizer.storage.stores import Stores
from tests.conftest import NOON, SECRET, KeyedClient

AddEvents = Callable[[list[dict[str, Any]]], None]
SHOP = ["product_view", "add_to_cart", "cart", "shipping_details", "payment_details", "purchase"]
ABC = ["a", "b", "c"]


def units(stores: Stores, project_id: int, **request: Any) -> list[int]:
    answer = funnel(stores, project_id, FunnelRequest(**request))
    return [step.units for step in answer.total.steps]


def at(minute: float, name: str, user: str = "u", **more: Any) -> dict[str, Any]:
    return {"name": name, "timestamp": NOON + dt.timedelta(minutes=minute), "user_id": user, **more}


@pytest.fixture
def shop(stores: Stores, project_id: int, add_events: AddEvents) -> tuple[Stores, int]:
    rows = [
        {
            "name": row["event"],
            "timestamp": row["timestamp"].replace(tzinfo=dt.UTC),
            "user_id": row["user_id"],
            "device": row["platform"],
        }
        for row in read_clickstream().to_pylist()
    ]
    add_events(rows)
    return stores, project_id


def test_the_shop_funnel_has_the_published_figures(shop: tuple[Stores, int]) -> None:
    assert units(*shop, steps=SHOP) == [598, 517, 429, 329, 222, 114]
    assert units(*shop, steps=SHOP, window_hours=24) == [598, 482, 324, 169, 69, 16]


def test_groups_add_up_to_the_total(shop: tuple[Stores, int]) -> None:
    answer = funnel(*shop, FunnelRequest(steps=SHOP, by="device"))
    for place in range(len(SHOP)):
        assert sum(group.steps[place].units for group in answer.groups) == answer.total.steps[place].units
    assert {group.group for group in answer.groups} == {"desktop", "mobile", "tablet"}


def test_the_worst_step_is_the_one_that_costs_most_conversions(
    stores: Stores, project_id: int, add_events: AddEvents
) -> None:
    rows = [at(0, "a", f"u{i}") for i in range(100)]
    rows += [at(1, "b", f"u{i}") for i in range(40)] + [at(2, "c", f"u{i}") for i in range(10)]
    add_events(rows)
    answer = funnel(stores, project_id, FunnelRequest(steps=ABC))
    lost = [step.lost_value for step in answer.total.steps]
    assert lost == [0, 60 * 10 / 40, 30 * 1.0]
    assert answer.total.worst_step == "c"
    assert [step.median_seconds for step in answer.total.steps] == [None, 60, 60]
    assert answer.total.steps[1].from_previous == 0.4


def test_any_start_may_be_the_one_that_gets_there(stores: Stores, project_id: int, add_events: AddEvents) -> None:
    add_events([at(0, "a"), at(600, "a"), at(610, "b"), at(620, "c")])
    assert units(stores, project_id, steps=ABC, window_hours=1) == [1, 1, 1]
    assert units(stores, project_id, steps=ABC, window_hours=0.2) == [1, 1, 0]


def test_strict_order_allows_nothing_in_between(stores: Stores, project_id: int, add_events: AddEvents) -> None:
    add_events([at(0, "a"), at(1, "x"), at(2, "b"), at(3, "c"), at(0, "a", "v"), at(1, "b", "v"), at(2, "c", "v")])
    assert units(stores, project_id, steps=ABC, order="strict") == [2, 1, 1]


def test_people_without_analytics_consent_are_not_followed(
    stores: Stores, project_id: int, add_events: AddEvents
) -> None:
    add_events([at(0, "a"), at(1, "b"), {"name": "a", "timestamp": NOON, "unit_id": ""}])
    assert units(stores, project_id, steps=["a", "b"]) == [1, 1]


def reference(events: list[tuple[str, int, str]], steps: list[str], window: int | None, order: str) -> list[int]:
    """The definition, written down plainly: try every start of every unit."""
    counts = [0] * len(steps)
    for unit in {event[0] for event in events}:
        own = sorted((time, name) for who, time, name in events if who == unit)
        deepest = 0
        for start in [time for time, name in own if name == steps[0]]:
            last, depth = start, 1
            for step in steps[1:]:
                after = start if order == "any" else last
                times = [t for t, n in own if n == step and t >= after and (window is None or t <= start + window)]
                if not times:
                    break
                last, depth = min(times), depth + 1
            deepest = max(deepest, depth)
        for place in range(deepest):
            counts[place] += 1
    return counts


events = st.lists(
    st.tuples(st.sampled_from(["u", "v", "w"]), st.integers(0, 12), st.sampled_from([*ABC, "x"])),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40)
@given(events, st.sampled_from([None, 1, 3, 6]), st.sampled_from(["ordered", "any"]))
def test_the_engine_agrees_with_the_definition(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, int, str]], window: int | None, order: str
) -> None:
    import pyarrow as pa

    from optimizer.storage.events import EVENT_SCHEMA, naive_utc

    control = _control(tmp_path_factory)
    store = open_event_store("duckdb:///:memory:")
    names = [("z", 0, name) for name in ABC]  # every step is a known event; unit "z" is left out of the comparison
    rows = [
        {
            "project_id": 1,
            "sequence": place,
            "name": name,
            "unit_id": f"u:{who}" if who != "z" else "",
            "properties": "{}",
            "timestamp": naive_utc(NOON + dt.timedelta(hours=time)),
        }
        for place, (who, time, name) in enumerate([*drawn, *names])
    ]
    store.append({"events": pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)})
    found = units(Stores(control, store, Cipher(SECRET)), 1, steps=ABC, window_hours=window, order=order)
    store.close()
    control.close()
    assert found == reference(drawn, ABC, window, order)


def _control(factory: pytest.TempPathFactory) -> ControlStore:
    path = factory.getbasetemp() / "funnel-control.sqlite"
    control = ControlStore(f"sqlite:///{path}")
    if not path.exists():
        upgrade(control)
    return control


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"steps": ["a", "purchse"]}, "/steps/1"),
        ({"steps": ["a", "A"]}, "/steps/1"),
        ({"steps": ["a"]}, "/steps"),
        ({"steps": ["a", "purchase"], "window_hours": 0}, "/window_hours"),
        ({"steps": ["a", "purchase"], "order": "random"}, "/order"),
        ({"steps": ["a", "purchase"], "from": "yesterday"}, "/from"),
    ],
)
def test_a_wrong_request_names_its_field(
    client: KeyedClient, add_events: AddEvents, body: dict[str, Any], pointer: str
) -> None:
    add_events([at(0, "a"), at(1, "purchase")])
    answer = client.post("/v1/insights/funnel", json=body)
    assert answer.status_code == 422
    [error] = answer.json["errors"]
    assert error["pointer"] == pointer
    if pointer == "/steps/1" and body["steps"][1] == "purchse":
        assert "purchase" in error["detail"]


def test_the_funnel_answers_over_http(client: KeyedClient, add_events: AddEvents) -> None:
    add_events([at(0, "a", properties={"placement": "top"}), at(1, "b")])
    answer = client.post("/v1/insights/funnel", json={"steps": ["a", "b"], "by": "placement"}).json
    assert [group["group"] for group in answer["groups"]] == ["top"]
    assert [step["units"] for step in answer["total"]["steps"]] == [1, 1]
