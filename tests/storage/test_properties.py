"""Properties are read by their own names, whatever characters these have, and alike on every engine."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import pyarrow as pa
import pytest

from optimizer.storage.events import EVENT_SCHEMA, EventStore
from optimizer.storage.open import open_event_store
from tests.fixtures.clickhouse import make_database

pytestmark = pytest.mark.xdist_group("clickhouse")
NAMES = ("load_ms", "$", "$[", "$.x", "$**", "*", "\\", "/x", "a/b", "~1", "a.b", "a'b\"c", "é", "0", "[0]", " ", "#")
NUMBERS = {name: place + 0.5 for place, name in enumerate(NAMES)}


@pytest.fixture(scope="module", params=["duckdb", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "duckdb":
        made = open_event_store("duckdb:///:memory:")
    else:
        made = open_event_store(make_database(request.getfixturevalue("clickhouse_server"), "properties"))
    at = dt.datetime(2026, 6, 1)  # noqa: DTZ001 - as the engines keep it
    documents = [NUMBERS, {name: f"text of {name}" for name in NAMES}, dict.fromkeys(NAMES, True), {}]
    rows = [
        {"project_id": 1, "sequence": n + 1, "event_id": f"e{n}", "id_hash": n, "content_hash": 0, "name": "view",
         "timestamp": at, "received_at": at, "unit_id": "u:1", "properties": json.dumps(own), "bot": False}
        for n, own in enumerate(documents)
    ]  # fmt: skip
    made.append({"events": pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)})
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_property_is_found_by_its_name_and_its_kind(store: EventStore, name: str) -> None:
    events = store.events(1)
    shown = events.select(
        events.sequence,
        text=store.text_property(events, name),
        number=store.number_property(events, name),
        same=store.has_properties(events, {name: NUMBERS[name]}),
    )
    found = shown.order_by("sequence").to_pyarrow().to_pylist()
    assert [row["text"] for row in found] == [None, f"text of {name}", None, None]
    assert [row["number"] for row in found] == [NUMBERS[name], None, None, None]
    assert [row["same"] for row in found] == [True, False, False, False]
