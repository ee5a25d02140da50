"""`optimizer aa` on a clickstream that nobody here wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from optimizer.app import open_stores
from optimizer.cli.main import group
from optimizer.sandbox.clickstream import read_clickstream
from optimizer.settings import load
from optimizer.storage.events import EVENT_SCHEMA
from optimizer.storage.tables import EventDefinition

PERIOD = ["--days", "30", "--to", "2024-06-30"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aa")
    rows = read_clickstream()
    place = np.arange(rows.num_rows)
    given: dict[str, Any] = {
        "project_id": np.ones(len(place), np.int32),
        "sequence": place + 1,
        "event_id": np.char.add("e", place.astype(str)),
        "id_hash": place,
        "content_hash": place,
        "unit_id": [f"u:{user}" for user in rows["user_id"].to_pylist()],
        "properties": np.full(len(place), "{}"),
        "timestamp": rows["timestamp"].cast(EVENT_SCHEMA.field("timestamp").type).combine_chunks(),
        "user_id": rows["user_id"].combine_chunks(),
        "session_id": rows["session_id"].combine_chunks(),
        "name": rows["event"].combine_chunks(),
    }
    given["received_at"] = given["timestamp"]
    columns = [
        pa.array(given[f.name], f.type) if f.name in given else pa.nulls(len(place), f.type) for f in EVENT_SCHEMA
    ]
    stores = open_stores(load({"data_dir": folder}))
    stores.events.append({"events": pa.table(columns, schema=EVENT_SCHEMA)})
    with stores.control.session() as session:
        for name in ("purchase", "add_to_cart"):
            session.add(EventDefinition(project_id=1, name=name))
    stores.events.close()
    stores.control.close()
    return folder


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["aa", "--data-dir", str(folder), *PERIOD, "--splits", "200", *arguments])


def test_the_clickstream_has_the_rates_that_are_promised(filled: Path) -> None:
    ran = run(filled, "--json")
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["as_promised"] is True
    assert (found["splits"], found["start"], found["end"]) == (255, "2024-05-31", "2024-06-30")
    assert [(row["metric"], row["method"]) for row in found["rates"][1:]] == [
        (metric, method)
        for metric in ("add_to_cart", "purchase")
        for method in ("sequential", "fixed", "group_sequential", "bayesian")
    ]
    for row in found["rates"]:
        assert row["interval"][0] <= row["rate"] <= row["interval"][1]
        if row["method"] == "bayesian":
            assert (row["promised"], row["verdict"]) == (None, "nothing_promised")
            assert row["rate"] > 0.09  # read thirty times
        else:
            assert row["rate"] <= 0.09


def test_the_same_rows_give_the_same_answer(filled: Path) -> None:
    once, again = (run(filled, "--splits", "40", "--metric", "purchase", "--json") for _ in range(2))
    assert json.loads(once.stdout)["splits"] < 100
    assert once.stdout == again.stdout


def test_sessions_of_split_users_exit_with_1_and_a_sentence(filled: Path) -> None:
    ran = run(filled, "--unit", "session", "--split-by", "user", "--method", "fixed", "--metric", "purchase")
    assert ran.exit_code == 1
    assert "too many" in ran.stdout
    assert "Not as promised" in ran.stdout
    assert "not split one by one" in ran.stdout


def test_wrong_options_say_which_are_right(filled: Path) -> None:
    assert "must lie between 0 and 1" in str(getattr(run(filled, "--alpha", "2").exception, "detail", ""))
    assert "'user', 'anonymous', 'session'" in run(filled, "--unit", "household").output
