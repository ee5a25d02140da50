from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from optimizer.cli.main import main
from optimizer.ingest.files import EventFile
from optimizer.ingest.readers import ROWS
from optimizer.sandbox.clickstream import read_clickstream
from tests.fixtures.server import BOOTSTRAP_KEY, Server

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Import as from a terminal, in this process: a new one takes seconds to load everything."""
    monkeypatch.setenv("COLUMNS", "400")

    def import_(*arguments: object, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["optimizer", "import", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr().err
        assert ended.value.code == status, told
        return told

    return import_


def stored(data: Path, query: str) -> list[Any]:
    with duckdb.connect(str(data / "events.duckdb"), read_only=True) as connection:
        rows: list[Any] = connection.execute(query).fetchall()
        return rows


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_whole_clickstream_is_imported_once_however_often_it_is_run(kind: str, tmp_path: Path, run: Run) -> None:
    file, data = tmp_path / f"shop.{kind}", tmp_path / "data"
    table = read_clickstream()
    if kind == "csv":
        csv.write_csv(table, file)
    else:
        parquet.write_table(table, file)
    assert "Imported 31,106 events" in run(file, "--data-dir", data)
    assert "Imported 0 events, 31,106 were there already" in run(file, "--data-dir", data)
    assert stored(data, "SELECT count(*), count(DISTINCT unit_id), min(timestamp)::VARCHAR FROM events") == [
        (31_106, 600, "2024-01-04 11:45:38")
    ]
    [(properties, device)] = stored(data, "SELECT properties, device FROM events WHERE event_id LIKE 'file-%-0'")
    assert json.loads(properties) == {
        "acquisition_channel": "email", "user_cohort": "2024-01", "user_lifecycle": "returning",
    }  # fmt: skip
    assert device == "desktop"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", file.name]


def test_columns_are_mapped_and_bad_rows_are_put_aside_with_the_reason(tmp_path: Path, run: Run) -> None:
    file, data = tmp_path / "odd.csv", tmp_path / "data"
    file.write_text(
        "action,who,when,amount,email,consent_email\n"
        "Add To Cart,ann,2026-11-01 10:00:00,19.9,ann@example.com,true\n"
        ",bob,2026-11-01 10:00:00,1,,\n"
        "buy,cy,2126-11-01 10:00:00,1,,\n",
        encoding="utf-8",
    )
    mapping = ["--map", "action=name", "--map", "who=user_id", "--map", "when=timestamp", "--map", "amount=value"]
    assert "Imported 1 events, 0 were there already, rejected 2" in run(file, *mapping, "--data-dir", data)
    assert stored(data, "SELECT name, user_id, value, consent_email FROM events") == [
        ("add_to_cart", "ann", 19.9, True)
    ]
    refused = [json.loads(line) for line in (tmp_path / "odd.csv.rejected.jsonl").read_text().splitlines()]
    assert [(one["row"], one["code"]) for one in refused] == [(1, "missing_name"), (2, "future_timestamp")]
    assert refused[0]["event"]["user_id"] == "bob"


def test_json_lines_hold_our_own_events_and_go_to_a_running_service(
    start_server: Callable[..., Server], tmp_path: Path, run: Run
) -> None:
    file = tmp_path / "events.jsonl"
    events = [{"event_id": f"e{number}", "name": "x", "user_id": "u"} for number in range(6_000)]
    file.write_text("\n".join([*map(json.dumps, events), "{broken"]), encoding="utf-8")
    server = start_server()
    told = run(file, "--data-dir", server.data_dir, status=2)
    assert "in use by process" in told
    assert "over HTTP" in told
    told = run(file, "--url", server.url, "--key", BOOTSTRAP_KEY)
    assert "Imported 6,000 events, 0 were there already, rejected 1" in told
    [refused] = [json.loads(line) for line in (tmp_path / "events.jsonl.rejected.jsonl").read_text().splitlines()]
    assert (refused["row"], refused["event"]) == (6_000, "{broken")
    assert "answered 401" in run(file, "--url", server.url, "--key", "wrong", status=1)
    assert server.terminate() == 0
    assert stored(server.data_dir, "SELECT count(*) FROM events") == [(6_000,)]


def test_after_a_break_it_goes_on_where_it_was(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "many.parquet"
    parquet.write_table(
        pa.table({"name": ["x"] * (2 * ROWS + 7), "user_id": [str(n) for n in range(2 * ROWS + 7)]}), file
    )
    events = EventFile.of(file, {})
    whole = [(piece.first, len(piece.items)) for piece in events.batches()]
    assert whole == [(0, ROWS), (ROWS, ROWS), (2 * ROWS, 7)]
    assert [(piece.first, piece.rows) for piece in events.batches(skip=ROWS + 3)] == [
        (ROWS + 3, ROWS - 3),
        (2 * ROWS, 7),
    ]
    marker = tmp_path / "many.parquet.import.json"
    marker.write_text(json.dumps({"file": events.ids, "rows": 2 * ROWS}), encoding="utf-8")
    assert "Imported 7 events" in run(file, "--data-dir", tmp_path / "data")
    assert not marker.exists()
    marker.write_text(json.dumps({"file": "another file", "rows": 2 * ROWS}), encoding="utf-8")
    assert f"Imported {2 * ROWS:,} events, 7 were there already" in run(file, "--data-dir", tmp_path / "data")


def test_a_killed_import_goes_on_and_stores_every_row_once(tmp_path: Path, run: Run) -> None:
    file, data = tmp_path / "long.csv", tmp_path / "data"
    rows = 12 * ROWS
    file.write_text("name,user_id\n" + "".join(f"view,u{n}\n" for n in range(rows)), encoding="utf-8")
    running = subprocess.Popen(
        [sys.executable, "-m", "optimizer.cli.main", "import", str(file), "--data-dir", str(data)],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    marker = tmp_path / "long.csv.import.json"
    while not marker.exists():
        assert running.poll() is None
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert marker.exists()
    run(file, "--data-dir", data)
    assert stored(data, "SELECT count(*), count(DISTINCT event_id), count(DISTINCT user_id) FROM events") == [
        (rows, rows, rows)
    ]


def test_whatever_stands_in_a_csv_file_costs_its_own_row_only(tmp_path: Path, run: Run) -> None:
    file, data = tmp_path / "wild.csv", tmp_path / "data"
    lines = [
        b"\xef\xbb\xbfname,user_id,time,value,zip,note,gift",
        b'view,007,2026-10-01,1.5,01234,"two\nlines",true',
        b"view,1.10,2026-10-01 10:00,2,12,12.50,FALSE",
        b"view,u3,1790000000,abc,x,y,z",
        b"view,u4,2026-10-01 10:00:00+02:00,,,\xff\xfe,",
        b"too,few",
        b"view,u5,yesterday,1,,,",
    ]
    file.write_bytes(b"\n".join(lines) + b"\n")
    assert "Imported 3 events, 0 were there already, rejected 3" in run(file, "--data-dir", data)
    found = stored(data, "SELECT user_id, timestamp::VARCHAR, value, properties FROM events ORDER BY sequence")
    assert [row[:3] for row in found] == [
        ("007", "2026-10-01 00:00:00", 1.5),
        ("1.10", "2026-10-01 10:00:00", 2.0),
        ("u4", "2026-10-01 08:00:00", None),
    ]
    assert [json.loads(row[3]) for row in found] == [
        {"zip": "01234", "note": "two\nlines", "gift": True},
        {"zip": 12, "note": 12.5, "gift": False},
        {"note": "\ufffd\ufffd"},
    ]
    refused = [json.loads(line) for line in (tmp_path / "wild.csv.rejected.jsonl").read_text().splitlines()]
    assert {(one.get("row"), one["code"]) for one in refused} == {
        (None, "invalid_row"), (2, "invalid_field"), (4, "invalid_field"),
    }  # fmt: skip


def test_lines_without_an_id_get_one_and_columns_are_mapped_in_json_lines_too(tmp_path: Path, run: Run) -> None:
    file, data = tmp_path / "ours.jsonl", tmp_path / "data"
    file.write_text('{"name": "x", "user_id": "u"}\n{}\n[1]\n{"event_id": "own", "name": "y"}\n', encoding="utf-8")
    for accepted, there in ((2, 0), (0, 2)):
        assert f"Imported {accepted} events, {there} were there already, rejected 2" in run(file, "--data-dir", data)
    flat = tmp_path / "flat.jsonl"
    flat.write_text('{"what": "z", "who": 7, "depth": {"a": [1]}}\n', encoding="utf-8")
    run(flat, "--map", "what=name", "--map", "who=user_id", "--data-dir", data)
    assert stored(data, "SELECT user_id, properties FROM events WHERE name = 'z'") == [("7", '{"depth":{"a":[1]}}')]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", b"", "is empty"),
        ("x.csv", b"name,name\nx,y\n", "twice"),
        ("x.parquet", b"PAR1 not really", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name(
    name: str, content: bytes, words: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / name).write_bytes(content)
    told = run(tmp_path / name, "--data-dir", tmp_path / "data", status=2)
    assert words in told
    assert name in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.txt"], "the ending must be one of"),
        (["x.csv", "--map", "a=colour"], "map to one of"),
        (["x.csv", "--map", "a"], "--map takes"),
    ],
)
def test_what_does_not_fit_is_said_plainly(arguments: list[str], words: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / arguments[0]).write_text("name\nx\n", encoding="utf-8")
    told = run(tmp_path / arguments[0], *arguments[1:], "--data-dir", tmp_path / "data", status=2)
    assert words in told
