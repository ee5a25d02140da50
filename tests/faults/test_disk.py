"""A full disk, a folder that cannot be written, a damaged log: a clear message, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from hashlib import shake_256
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec import Raw

from optimizer.app import open_ingest
from optimizer.errors import BusyError, ConfigurationError
from optimizer.settings import Settings
from optimizer.storage import filler
from optimizer.storage.open import open_event_store
from tests.fixtures.server import Server
from tests.storage.test_events import event, events

ROOT = Path(__file__).parents[2]
NOBODY = 65_534


def batch(number: int) -> dict[str, Any]:
    ids = [f"e{number}-{place}" for place in range(100)]
    return {"events": [{"event_id": one, "name": "view", "context": {"page": long_page(one)}} for one in ids]}


def long_page(seed: str) -> str:
    """Make an address that no compression shortens by much, the same for the same seed."""
    return f"https://shop.example.com/{shake_256(seed.encode()).hexdigest(1_500)}"


def store_until_refused(server: Server) -> list[int]:
    acknowledged: list[int] = []
    for number in range(1_000):
        answer = server.post("/v1/events", batch(number))
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
            assert "disk of the data folder is full" in answer.json()["detail"]
            return acknowledged
        assert answer.json()["accepted"] == 100
        acknowledged.append(number)
    raise AssertionError("the disk never filled")


def all_there_once_room_is_made(server: Server, acknowledged: list[int]) -> None:
    again = server.post("/v1/events", batch(len(acknowledged)))
    assert again.json()["accepted"] == 100, again.text
    server.kill()
    with_all = open_event_store(f"duckdb:///{server.data_dir / 'events.duckdb'}")
    assert with_all.events(1).count().to_pyarrow().as_py() == 100 * (len(acknowledged) + 1)
    with_all.close()


def test_on_a_full_disk_nothing_acknowledged_is_lost_and_room_is_enough(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here; the next test limits the size of files instead")
    try:
        ballast = small / "ballast"
        ballast.write_bytes(b"x" * 6_000_000)
        server = start_server(small / "data")
        acknowledged = store_until_refused(server)
        ballast.unlink()
        all_there_once_room_is_made(server, acknowledged)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)  # noqa: S607 - wherever it stands


def test_at_the_limit_of_file_sizes_nothing_acknowledged_is_lost(start_server: Callable[..., Server]) -> None:
    server = start_server()
    [worker] = psutil.Process(server.pid).children()
    free = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (3_000_000, free[1]))
    acknowledged = store_until_refused(server)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, free)
    all_there_once_room_is_made(server, acknowledged)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_written_is_named_at_start(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o555)
    script = (
        "import os, sys; from click.testing import CliRunner; from optimizer.cli.serve import command\n"
        f"os.setuid({NOBODY})\n"
        f"ran = CliRunner().invoke(command, ['--data-dir', {str(folder)!r}, '--port', '0'])\n"
        "print(type(ran.exception).__name__, ran.exception.detail)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert re.search(r"ConfigurationError .*cannot be used: Permission denied", ran.stdout)


LOGS = ["e.duckdb.wal", "e.duckdb.0000000000000001.journal"]  # DuckDB's own, and what it has not taken in yet


@pytest.mark.parametrize("log", LOGS)
def test_a_torn_end_of_a_log_costs_nothing_that_was_acknowledged(tmp_path: Path, log: str) -> None:
    path = killed_store(tmp_path, taken_in=log.endswith("wal"))
    whole = path.with_name(log).read_bytes()
    with path.with_name(log).open("ab") as file:
        file.write(whole[:-1] if log.endswith("journal") else os.urandom(300))  # died in the middle of a write
    store = open_event_store(f"duckdb:///{path}")
    assert store.events(1).count().to_pyarrow().as_py() == 50
    store.close()


@pytest.mark.parametrize(
    ("log", "kept"), list(zip(LOGS, [50, 49], strict=True))
)  # what DuckDB lost, the journal still has
def test_a_damaged_log_is_named_with_what_keeps_the_rest(tmp_path: Path, log: str, kept: int) -> None:
    path = killed_store(tmp_path, taken_in=log.endswith("wal"))
    damaged = path.with_name(log)
    content = bytearray(damaged.read_bytes())
    content[-30] ^= 255
    damaged.write_bytes(content)
    with pytest.raises(ConfigurationError, match="every commit before it is whole") as refused:
        open_event_store(f"duckdb:///{path}")
    advice = re.search(r"truncate -s \d+ \S+", refused.value.detail)
    assert advice is not None
    assert damaged.read_bytes() == content  # nothing was changed
    subprocess.run(advice[0].split(), check=True)
    store = open_event_store(f"duckdb:///{path}")
    assert store.events(1).count().to_pyarrow().as_py() == kept
    store.close()


def killed_store(tmp_path: Path, *, taken_in: bool) -> Path:
    """Commit fifty times and die without closing, so that the rows stand in a log only."""
    path = tmp_path / "e.duckdb"
    child = os.fork()
    if child == 0:
        store = open_event_store(f"duckdb:///{path}")
        if not taken_in:
            filler.FILL_SECONDS = 60.0
        for number in range(1, 51):
            store.append(events(event(number)))
            if taken_in:
                store.table("events")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return path


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_folder_that_turns_read_only_refuses_and_recovers() -> None:
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        folder = Path(made) / "data"
        folder.mkdir()
        name = write_while_the_folder_changes.__name__
        script = f"from tests.faults.test_disk import {name} as go; go({str(folder)!r})"
        ran = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr[-2_000:]
        sent, refused, stored = (int(number) for number in ran.stdout.split())
    assert refused > 0
    assert stored == sent  # what was refused was sent again, and nothing is there twice


def write_while_the_folder_changes(folder: str) -> None:
    """Run as another user than root: take events, close and open the folder meanwhile, repeat what was refused."""
    with open_ingest(Settings(data_dir=Path(folder) / "rehearsal"), "default") as take:
        take([Raw(b'{"name": "view"}')])  # loads every module while they can be read
    shutil.rmtree(Path(folder) / "rehearsal")
    os.chown(folder, NOBODY, NOBODY)
    os.setuid(NOBODY)
    batches = [[_item(number, place) for place in range(400)] for number in range(30)]
    refused = []
    with open_ingest(Settings(data_dir=Path(folder)), "default") as take:
        for number, items in enumerate(batches):
            if number in {5, 25}:
                Path(folder).chmod(0o555 if number == 5 else 0o755)
            try:
                take(items)
            except BusyError:
                refused.append(items)
        for items in refused:
            take(items)
    store = open_event_store(f"duckdb:///{Path(folder) / 'events.duckdb'}")
    print(30 * 400, len(refused), store.events(1).count().to_pyarrow().as_py())  # noqa: T201 - the parent reads it
    store.close()


def _item(number: int, place: int) -> Raw:
    note = os.urandom(
        6_000
    ).hex()  # so that the log is full, and must be written into the file, before the folder opens
    return Raw(b'{"event_id":"e%d-%d","name":"view","properties":{"note":"%s"}}' % (number, place, note.encode()))
