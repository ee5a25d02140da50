"""What is found among many values is what `isin` finds, whatever characters they have, on every engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.storage.among import among
from optimizer.storage.events import EventStore
from optimizer.storage.open import open_event_store
from tests.fixtures.clickhouse import make_database
from tests.storage.test_events import event, events

pytestmark = pytest.mark.xdist_group("clickhouse")
STORED = (
    "u:a",
    "u:A",
    "u:a'b",
    "u:a\\b",
    "u:\\n",
    "u:\n",
    'u:\t"x"',
    "u:ä☃",
    "u:%s",
    "u:{0}",
    "u:`",
    "u:a,b",
    "u: ",
    "",
)


@pytest.fixture(scope="module", params=["duckdb", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "duckdb":
        made = open_event_store("duckdb:///:memory:")
    else:
        made = open_event_store(make_database(request.getfixturevalue("clickhouse_server"), "among"))
    made.append(events(*({**event(number), "unit_id": unit} for number, unit in enumerate(STORED, 1))))
    yield made
    made.close()


def found(store: EventStore, values: list[str]) -> list[str]:
    stored = store.events(1)
    units = stored.filter(among(stored.unit_id, values)).select("unit_id").to_pyarrow()["unit_id"]
    return sorted(units.to_pylist())


@given(
    values=st.lists(
        st.sampled_from(STORED) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    )
)
def test_exactly_the_named_are_found(store: EventStore, values: list[str]) -> None:
    assert found(store, values) == sorted(set(STORED) & set(values))


def test_thousands_are_named_in_one_query(store: EventStore) -> None:
    thousands = [f"u:{number:036}" for number in range(10_000)]
    assert found(store, [*thousands, "u:a'b"]) == ["u:a'b"]
