"""How fast does ingest take events, with validation, deduplication and a durable commit?

Prints events a second over HTTP at several batch sizes, and how long a request takes at 80% of that in the seconds
after, each beside two named alternatives in the same run:
(a) appending the same events as prepared Arrow batches to DuckDB directly: the limit of the embedded store;
(b) a plain Flask + SQLModel handler that inserts the same events into SQLite: what one would write first.

Run: make bench      (or: python -m benchmarks.ingest --seconds 10 --stored 1000000)
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import msgspec
import pyarrow as pa
import requests

from optimizer.cli._processes import running

KEY = "benchmark-bootstrap-key"
OK = 200
FILL = 2_500
EVENT = (
    b'{"event_id":"@-%d","name":"add_to_cart","user_id":"u%d","timestamp":"2026-11-01T10:00:00+00:00",'
    b'"value":19.9,"properties":{"item_id":"sku-1","placement":"product_page"}}'
)
# At once, by events a request: fewer measure how long a round takes, not how much the service can take.
CLIENTS = {1: 32, 100: 32, 1_000: 8}
SIZES = tuple(CLIENTS)
LOAD = 0.8  # of the peak, for the time a request takes
ROUNDS = 3  # of windows by turns, of which the medians are told: machines have better and worse minutes

PLAIN = """
import datetime, json, sys
from flask import Flask, request
from sqlmodel import Field, Session, SQLModel, create_engine
from werkzeug.serving import make_server
class Event(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    event_id: str = Field(unique=True)
    name: str
    user_id: str
    timestamp: datetime.datetime
    value: float | None = None
    properties: str
engine = create_engine(f"sqlite:///{sys.argv[1]}/plain.sqlite")
SQLModel.metadata.create_all(engine)
app = Flask("plain")
@app.post("/v1/events")
def take():
    events = request.get_json()["events"]
    with Session(engine) as session:
        for event in events:
            session.add(Event(event_id=event["event_id"], name=event["name"], user_id=event["user_id"],
                              timestamp=datetime.datetime.fromisoformat(event["timestamp"]), value=event["value"],
                              properties=json.dumps(event["properties"])))
        session.commit()
    return {"accepted": len(events)}
server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


@cache
def _template(size: int, first: int) -> bytes:
    return b'{"events":[%s]}' % b",".join(EVENT % (n, (first + n) % 100_000) for n in range(size))


def body(size: int) -> bytes:
    """Make a request of events with ids of their own; cheaply, for the generator shares the cores with the server."""
    first = random.randrange(0, 100_000, 5_000)  # noqa: S311 - a load generator
    return _template(size, first).replace(b"@", uuid.uuid4().hex.encode())


def client(
    url: str, size: int, seconds: float, pause: float, sent: multiprocessing.Queue[tuple[int, list[float]]]
) -> None:
    """Send batches until the time is up; report how many events were accepted and how long each request took.

    With a pause one request is due every so many seconds, and its time counts from when it was due: a request that
    waits behind a slow one is slow too.
    """
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    count, latencies, due = 0, [], time.monotonic() + pause * random.random()  # noqa: S311 - a load generator
    end = due + seconds
    while time.monotonic() < end:
        made = body(size)
        if pause:
            time.sleep(max(0.0, due - time.monotonic()))
        began = due if pause else time.monotonic()
        due += pause
        connection.request("POST", where.path, made, headers)
        answer = connection.getresponse()
        read = answer.read()
        if answer.status == OK:  # SQLite refuses some when it is busy for long
            count += msgspec.json.decode(read)["accepted"]
            latencies.append(time.monotonic() - began)
    sent.put((count, latencies))


def over_http(url: str, size: int, seconds: float, rate: float = 0.0) -> tuple[float, float]:
    """Return events a second and the 99th percentile of a request's seconds, over several client processes.

    Args:
        url: Where to.
        size: Events a request.
        seconds: How long.
        rate: Events a second to send; 0 sends as fast as the answers come.
    """
    clients = CLIENTS[size]
    pause = clients * size / rate if rate else 0.0
    sent: multiprocessing.Queue[tuple[int, list[float]]] = multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=client, args=(url, size, seconds, pause, sent)) for _ in range(clients)
    ]
    for process in processes:
        process.start()
    found = [sent.get() for _ in processes]
    for process in processes:
        process.join()
    latencies = sorted(latency for _, own in found for latency in own)
    return sum(count for count, _ in found) / seconds, latencies[int(0.99 * (len(latencies) - 1))]


def stored_rows(folder: Path, size: int) -> pa.Table:
    """Return what the service stores for one request, as the Arrow batch it appends."""
    data = folder / f"rows-{size}"
    options = ("--data-dir", str(data))
    with running("serve", "/readyz", folder / "log", *options, OPTIMIZER_BOOTSTRAP_KEY=KEY) as url:
        fill(f"{url}/v1/events", size, at_once=size)
    with duckdb.connect(str(data / "events.duckdb"), read_only=True) as connection:
        return connection.table("events").to_arrow_table().combine_chunks()


def directly(folder: Path, rows: pa.Table, seconds: float) -> float:
    """Return events a second when such a batch is appended to DuckDB again and again, one commit each."""
    size = rows.num_rows
    connection = duckdb.connect(str(folder / f"direct-{size}.duckdb"))
    connection.register("rows", rows)
    connection.execute("CREATE OR REPLACE TABLE events AS SELECT * FROM rows LIMIT 0")
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        connection.execute("INSERT INTO events SELECT * FROM rows")
        count += size
    connection.close()
    return count / seconds


def fill(url: str, wanted: int, at_once: int = FILL) -> None:
    """Store so many events first."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {KEY}"
    for first in range(0, wanted, at_once):
        session.post(url, data=body(at_once), timeout=120).raise_for_status()
        if sys.stderr.isatty():
            print(f"\r{first + at_once:,} of {wanted:,} events stored before", end="", file=sys.stderr)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each figure is measured")
    parser.add_argument("--stored", type=int, default=0, help="events stored before measuring")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, client processes beside the server, {given.stored:,} events stored before")
    with tempfile.TemporaryDirectory(prefix="optimizer-bench-") as made:
        folder = Path(made)
        plain = subprocess.Popen(
            [sys.executable, "-c", PLAIN, made], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        batches = {size: stored_rows(folder, size) for size in SIZES}
        port = int(plain.stdout.readline()) if plain.stdout else 0
        plain_url = f"http://127.0.0.1:{port}/v1/events"
        options = ("--data-dir", str(folder / "data"))
        with running("serve", "/readyz", folder / "log", *options, OPTIMIZER_BOOTSTRAP_KEY=KEY) as url:
            fill(f"{url}/v1/events", given.stored)
            for size in SIZES:
                rounds = []
                for _ in range(ROUNDS):
                    peak, _ = over_http(f"{url}/v1/events", size, given.seconds)
                    paced = over_http(f"{url}/v1/events", size, given.seconds, LOAD * peak)
                    limit = directly(folder, batches[size], given.seconds / 2)
                    first, _ = over_http(plain_url, size, given.seconds / 2)
                    rounds.append((peak, *paced, limit, first))
                ours, rate, slowest, limit, first = (statistics.median(found) for found in zip(*rounds, strict=True))
                every = ", ".join(f"{p99 * 1000:,.0f}" for _, _, p99, _, _ in rounds)
                print(
                    f"{size:>5} a request, {CLIENTS[size]:>2} clients: {ours:>9,.0f} events/s | "
                    f"{ours / limit:.0%} of (a) {limit:,.0f}/s | {ours / first:.1f} x (b) {first:,.0f}/s | "
                    f"at {rate:,.0f}/s p99 {slowest * 1000:,.0f} ms (of {every})",
                    flush=True,
                )
        plain.terminate()
        plain.wait(10)


if __name__ == "__main__":
    main()
