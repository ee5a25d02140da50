from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from optimizer.cli.main import group
from optimizer.storage.open import open_event_store

EVENTS = """\
{"event_id": "e1", "name": "Add To Cart", "user_id": "007", "timestamp": "2026-10-01T10:00:00.5Z", "value": 19.9, \
"currency": "EUR", "properties": {"item_id": "01", "list": [1, null], "note": "two\\nlines, \\"quoted\\""}, \
"context": {"source": "google", "device": "mobile"}, "consent": {"analytics": true, "email": false}}
{"event_id": "e2", "name": "purchase", "anonymous_id": "a1", "timestamp": "2026-10-02T00:00:00Z"}
{"event_id": "e3", "name": "purchase", "timestamp": "2026-10-03T00:00:00Z", \
"context": {"user_agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}}
"""
SERVER_SET = {"sequence", "received_at", "content_hash", "warnings"}


def run(*arguments: object, status: int = 0) -> str:
    ran = CliRunner().invoke(group, [str(one) for one in arguments])
    assert ran.exit_code == status, ran.output
    return ran.stderr


def stored(data: Path) -> list[dict[str, Any]]:
    store = open_event_store(f"duckdb:///{data / 'events.duckdb'}")
    rows: list[dict[str, Any]] = store.events(1).order_by("event_id").to_pyarrow().to_pylist()
    store.close()
    return [{name: value for name, value in row.items() if name not in SERVER_SET} for row in rows]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    file = tmp_path / "events.jsonl"
    file.write_text(EVENTS, encoding="utf-8")
    run("import", file, "--data-dir", tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "ndjson", "parquet"])
def test_what_is_exported_comes_back_the_same(kind: str, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / f"out.{kind}"
    assert "Exported 2 events" in run("export", file, "--data-dir", filled)
    assert "Imported 2 events" in run("import", file, "--data-dir", tmp_path / "other")
    assert stored(tmp_path / "other") == stored(filled)
    assert len(stored(filled)) == 2


def test_a_name_and_a_time_choose_what_is_exported(filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert "Exported 1 events" in run("export", file, "--name", "ADD to cart", "--data-dir", filled)
    assert "Exported 1 events" in run("export", file, "--from", "2026-10-02", "--data-dir", filled)
    assert "Exported 0 events" in run("export", file, "--to", "2026-10-01T10:00:00Z", "--data-dir", filled)
    assert file.read_bytes() == b""


def test_an_unknown_ending_is_refused_before_anything_is_written(filled: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(group, ["export", str(tmp_path / "out.txt"), "--data-dir", str(filled)])
    assert "the ending must be one of" in str(getattr(ran.exception, "detail", ""))
    assert not (tmp_path / "out.txt").exists()


def test_times_are_utc_to_the_microsecond(filled: Path) -> None:
    assert [row["timestamp"] for row in stored(filled)] == [
        dt.datetime(2026, 10, 1, 10, 0, 0, 500_000),  # noqa: DTZ001 - the engines' naive UTC
        dt.datetime(2026, 10, 2),  # noqa: DTZ001 - same
    ]
