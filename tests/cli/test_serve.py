from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

import duckdb
import psutil
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from optimizer.cli._stops import hear_stops, hold_stops_at_forks
from tests.fixtures.server import BOOTSTRAP_KEY, WARM, Server

Start = Callable[..., Server]


def events(first: int, count: int) -> dict[str, object]:
    return {
        "events": [{"event_id": f"e{n}", "name": "view", "user_id": f"u{n}"} for n in range(first, first + count)]
    }


def stored_ids(data_dir: Path) -> list[str]:
    with duckdb.connect(str(data_dir / "events.duckdb"), read_only=True) as connection:
        return [row[0] for row in connection.execute("SELECT event_id FROM events").fetchall()]


def test_a_new_installation_says_where_everything_is_and_shows_its_key_once(
    start_server: Start, tmp_path: Path
) -> None:
    first = start_server(OPTIMIZER_BOOTSTRAP_KEY="")
    shown = "".join(first.log)
    for part in ("/docs", "control.sqlite", "events.duckdb", "secret.key", "admin key"):
        assert part in shown
    key = next(word for word in shown.split() if word.startswith("opt_"))
    assert first.get("/v1/project", key).status_code == 200
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/"):
        assert requests.get(first.url + path, timeout=30).status_code == 200
    assert first.terminate() == 0
    again = start_server(OPTIMIZER_BOOTSTRAP_KEY="")
    assert "opt_" not in "".join(again.log)
    assert again.get("/v1/project", key).status_code == 200
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_second_process_on_the_same_data_is_refused_and_told_why(start_server: Start) -> None:
    first = start_server()
    second = subprocess.run(
        [sys.executable, "-m", "optimizer.cli.main", "serve", "--port", "0", "--data-dir", str(first.data_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "400"},
    )
    assert second.returncode == 2
    assert f"process {first.pid} at {first.url}" in second.stderr
    assert first.get("/v1/project").status_code == 200


def test_a_port_that_is_taken_is_named(start_server: Start, tmp_path: Path) -> None:
    port = start_server().url.rsplit(":", 1)[1]
    other = start_server(tmp_path / "other", "serve", "--port", port)
    assert other.wait() == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in "".join(other.log)


def test_a_store_that_cannot_be_opened_ends_the_start_and_says_why(start_server: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "events.duckdb").write_bytes(b"not a database" * 1000)
    server = start_server()
    assert server.wait() == 1
    assert "cannot be opened" in "".join(server.log)
    assert "Traceback" not in "".join(server.log)


def test_a_worker_that_dies_is_replaced_with_all_that_was_acknowledged(start_server: Start) -> None:
    server = start_server()
    assert server.post("/v1/events", events(0, 50)).json()["accepted"] == 50
    [worker] = psutil.Process(server.pid).children()
    worker.kill()
    psutil.wait_procs([worker], timeout=30)
    replaced = requests.Session()
    replaced.mount("http://", HTTPAdapter(max_retries=Retry(20, backoff_factor=0.05)))
    again = replaced.get(server.url + "/readyz", timeout=30)
    assert again.status_code == 200
    assert server.post("/v1/events", events(0, 50)).json()["duplicates"] == 50
    assert server.terminate() == 0


def test_another_secret_key_does_not_start(start_server: Start) -> None:
    first = start_server(OPTIMIZER_SECRET_KEY="the first secret key")
    first.terminate()
    second = start_server(OPTIMIZER_SECRET_KEY="another secret key!")
    assert second.wait() == 2
    assert "not the one this installation was set up with" in "".join(second.log)


def test_what_was_acknowledged_before_sigterm_is_on_disk(start_server: Start) -> None:
    server = start_server()
    acknowledged: list[int] = []
    stop = threading.Event()

    def send(worker: int) -> None:
        batch = worker * 100_000
        while not stop.is_set():
            try:
                if server.post("/v1/events", events(batch, 20)).status_code == 200:
                    acknowledged.extend(range(batch, batch + 20))
            except requests.ConnectionError:
                return
            batch += 20

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(send, worker) for worker in range(4)]
        while len(acknowledged) < 2_000:
            stop.wait(0.01)
        assert server.terminate() == 0
        stop.set()
        for worker in running:
            worker.result()
    assert {f"e{n}" for n in acknowledged} <= set(stored_ids(server.data_dir))


def told_at_once(server: Server) -> None:
    os.killpg(server.pid, signal.SIGTERM)  # as a service manager does


def told_again(server: Server) -> None:
    """As when somebody presses Ctrl-C again."""
    os.killpg(server.pid, signal.SIGINT)
    wait_until(lambda: not listens(server))
    os.killpg(server.pid, signal.SIGINT)


@pytest.mark.parametrize("stop", [lambda server: server.process.terminate(), told_at_once, told_again])
def test_a_request_in_flight_is_answered_however_often_the_stop_is_told(
    start_server: Start, stop: Callable[[Server], None]
) -> None:
    server = start_server()
    body = json.dumps(events(0, 1)).encode()
    head = f"""POST /v1/events HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {BOOTSTRAP_KEY}\r
Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"""
    with socket.create_connection(where(server), timeout=20) as client:
        client.sendall(head.encode())
        assert b"100 Continue" in client.recv(1_000)  # it is being answered
        stop(server)
        wait_until(lambda: not listens(server))
        client.sendall(body)
        assert b"200 OK" in client.recv(10_000)
    assert server.wait() == 0
    assert stored_ids(server.data_dir) == ["e0"]


def where(server: Server) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def listens(server: Server) -> bool:
    try:
        socket.create_connection(where(server), timeout=5).close()
    except ConnectionError:
        return False
    return True


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def hear_before_watching() -> None:
    watch_stops, stopping = hear_stops(), threading.Event()
    signal.raise_signal(signal.SIGTERM)
    assert not stopping.is_set()
    watch_stops(stopping)
    assert stopping.wait(10)


def hear_what_came_after_the_fork() -> None:
    hold_stops_at_forks()
    told, tells = socket.socketpair()
    worker = multiprocessing.get_context("fork").Process(target=hear_once_told, args=(told,))
    worker.start()
    os.kill(worker.pid or 0, signal.SIGTERM)
    tells.send(b"told")
    worker.join(30)
    sys.exit(worker.exitcode)


def hear_once_told(told: socket.socket) -> None:
    told.recv(10)
    stopping = threading.Event()
    hear_stops()(stopping)
    assert stopping.wait(10)


@pytest.mark.parametrize("hearing", [hear_before_watching, hear_what_came_after_the_fork])
def test_a_stop_that_comes_while_a_worker_loads_is_heard_once_it_has(hearing: Callable[[], None]) -> None:
    worker = WARM.Process(target=hearing)
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0


def test_a_worker_whose_first_process_was_killed_closes_in_order(start_server: Start) -> None:
    server = start_server()
    assert server.post("/v1/events", events(0, 50)).json()["accepted"] == 50
    workers = psutil.Process(server.pid).children()
    server.process.kill()
    assert not psutil.wait_procs(workers, timeout=30)[1]
    wait_until(lambda: any('"closed"' in line for line in server.log))
    again = start_server()
    assert again.post("/v1/events", events(0, 50)).json()["duplicates"] == 50


def test_a_stop_during_the_start_ends_a_worker_in_order(start_server: Start) -> None:
    server = start_server(until="admin key", OPTIMIZER_BOOTSTRAP_KEY="")
    wait_until((server.data_dir / "events.duckdb").exists)  # long before it serves
    assert server.terminate() == 0
    wait_until(lambda: any('"closed"' in line for line in server.log))


@pytest.mark.parametrize("round_", range(3))
def test_a_kill_loses_nothing_acknowledged_and_counts_nothing_twice(start_server: Start, round_: int) -> None:
    server = start_server()
    acknowledged: set[int] = set()
    sent: set[int] = set()

    def send(worker: int) -> None:
        for batch in range(worker * 100_000, worker * 100_000 + 20_000, 50):
            sent.update(range(batch, batch + 50))
            try:
                answer = server.post("/v1/events", events(batch, 50))
            except requests.RequestException:
                return
            if answer.status_code == 200:
                acknowledged.update(range(batch, batch + 50))

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(send, worker) for worker in range(4)]
        while len(acknowledged) < 1_000 + 700 * round_:
            threading.Event().wait(0.005)
        server.kill()
        for worker in running:
            worker.result()
    again = start_server()
    for first in sorted({n - n % 50 for n in sent}):
        answer = again.post("/v1/events", events(first, 50)).json()
        assert answer["accepted"] + answer["duplicates"] == 50
        assert not answer["warnings"]
    again.terminate()
    found = stored_ids(again.data_dir)
    assert len(found) == len(set(found))
    assert {f"e{n}" for n in acknowledged} <= {f"e{n}" for n in sent} == set(found)


def test_a_misspelt_setting_stops_the_start(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "optimizer.cli.main", "serve"],
        env={**os.environ, "OPTIMIZER_DATADIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert "OPTIMIZER_DATA_DIR" in refused.stderr


def test_keys_are_made_from_the_command_line_while_the_service_runs(start_server: Start) -> None:
    server = start_server()
    made = subprocess.run(
        [sys.executable, "-m", "optimizer.cli.main", "keys", "create", "--scope", "read"],
        env={**os.environ, "OPTIMIZER_DATA_DIR": str(server.data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert server.get("/v1/catalog", made.stdout.strip()).status_code == 200
    assert server.get("/v1/keys", made.stdout.strip()).status_code == 403
    assert BOOTSTRAP_KEY not in json.dumps(server.get("/v1/keys").json())


def test_a_service_started_from_nothing_answers_names_faulty_fields_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "optimizer.cli.main", "serve", "--port", "0"]
    settings = {
        "OPTIMIZER_DATA_DIR": str(tmp_path / "data"),
        "OPTIMIZER_BOOTSTRAP_KEY": BOOTSTRAP_KEY,
        "COLUMNS": "400",
    }
    serving = subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stderr is not None
        told = "".join(takewhile(lambda line: not line.startswith("ready"), serving.stderr))
        [url] = re.findall(r"optimizer at (http://\S+)", told)
        answer = requests.post(
            f"{url}/v1/experiments",
            json={"key": "x", "variants": [{"key": "a"}], "primary_metric": "cart"},
            headers={"Authorization": f"Bearer {BOOTSTRAP_KEY}"},
            timeout=30,
        )
    finally:
        serving.terminate()
        serving.communicate(timeout=60)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/variants"]
    assert serving.returncode == 0
