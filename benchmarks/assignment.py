"""How long does an assignment take at a steady 200 requests a second, over HTTP?

Prints the median and the 99th percentile of the time a request takes, counted from when it was due, for
(a) `POST /ofrep/v1/evaluate/flags/{key}` of a project with 20 running experiments: namespaces, targeting, a holdout;
(b) the same where every unit has both a user's and a visitor's id: of those that are hashed to different variants
    (two in three) stored assignments are looked up;
(c) the bulk evaluation of all 20;
(d) the same as (a) with `?record_exposure=true`, a durable commit for each new unit;
and beside each, in the same run and turn by turn, a plain Flask handler that answers a constant: the price of HTTP.

Run: python -m benchmarks.assignment --seconds 20
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import requests

from optimizer.cli._processes import running

KEY = "benchmark-bootstrap-key"
CLIENTS = 16  # so that requests may wait together for one commit
EXPERIMENTS = 20
OK = 200
PLAIN = """
import sys
from flask import Flask, request
from granian.constants import Interfaces
from granian.server import Server
app = Flask("plain")
@app.post("/constant")
def constant():
    request.get_data()
    return {"key": "e0", "value": "control", "reason": "SPLIT", "variant": "control", "metadata": {}}
Server("plain", port=int(sys.argv[1]), interface=Interfaces.WSGI, blocking_threads=32, log_enabled=False).serve(
    target_loader=lambda: app, wrap_loader=False)
"""


def prepare(url: str) -> None:
    """Make the experiments."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {KEY}"
    session.put(f"{url}/v1/catalog/events/add_to_cart", json={}, timeout=30).raise_for_status()
    for number in range(EXPERIMENTS):
        design = {
            "key": f"e{number}",
            "primary_metric": "add_to_cart",
            "variants": [{"key": "control"}, {"key": "a"}, {"key": "b"}],
            "targeting": {
                "all": [{"attribute": "country", "in": ["DE", "AT"]}, {"attribute": "age", "at_least": 18}]
            },
            **({"namespace": {"name": "n", "from": (number - 1) / 20, "to": number / 20}} if number else {}),
        }
        session.post(f"{url}/v1/experiments", json=design, timeout=30).raise_for_status()
        session.post(f"{url}/v1/experiments/e{number}/start", timeout=30).raise_for_status()
    session.put(f"{url}/v1/holdouts/always", json={"share": 0.05}, timeout=30).raise_for_status()


def client(
    number: int, url: str, seconds: float, rate: float, sent: multiprocessing.Queue[list[float]], *, both: bool
) -> None:
    """Send one request whenever one is due; a request that waits behind a slow one is slow too."""
    where = urlsplit(url)
    path = f"{where.path}?{where.query}" if where.query else where.path
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    pause = CLIENTS / rate
    latencies: list[float] = []
    due = time.monotonic() + pause * number / CLIENTS
    end = due + seconds
    while due < end:
        unit = f"{number}-{len(latencies)}"
        context = {"targetingKey": unit, "country": "DE", "age": 30, **({"anonymous_id": unit + "a"} if both else {})}
        body = msgspec.json.encode({"context": context})
        time.sleep(max(0.0, due - time.monotonic()))
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != OK:
            raise SystemExit(f"{path} answered {answer.status}")
        latencies.append(time.monotonic() - due)
        due += pause
    sent.put(latencies)


def measure(url: str, seconds: float, rate: float, *, both: bool = False) -> tuple[float, float]:
    """Return the median and the 99th percentile in milliseconds."""
    sent: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=client, args=(number, url, seconds, rate, sent), kwargs={"both": both})
        for number in range(CLIENTS)
    ]
    for process in processes:
        process.start()
    latencies = sorted(one for _ in processes for one in sent.get())
    for process in processes:
        process.join()
    return tuple(1000 * latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.99))  # type: ignore[return-value] # two shares


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each figure is measured")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {CLIENTS} client processes beside the server, {given.rate:g} requests/s")
    with tempfile.TemporaryDirectory(prefix="optimizer-bench-") as made:
        folder = Path(made)
        port = 20_000 + os.getpid() % 20_000
        plain = subprocess.Popen(
            [sys.executable, "-c", PLAIN, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        options = ("--data-dir", str(folder / "data"))
        with running("serve", "/readyz", folder / "log", *options, OPTIMIZER_BOOTSTRAP_KEY=KEY) as url:
            prepare(url)
            flags = f"{url}/ofrep/v1/evaluate/flags"
            measure(f"{flags}/e0", 1, given.rate)  # warm
            for name, path, both in (
                ("(a) one flag", f"{flags}/e0", False),
                ("(b) with look-up", f"{flags}/e0", True),
                ("(c) all 20 flags", flags, False),
                ("(d) recorded", f"{flags}/e0?record_exposure=true", False),
            ):
                constant = measure(f"http://127.0.0.1:{port}/constant", given.seconds / 2, given.rate)
                ours = measure(path, given.seconds, given.rate, both=both)
                figures = f"p50 {ours[0]:.1f} ms, p99 {ours[1]:.1f} ms"
                beside = f"p50 {constant[0]:.1f} ms, p99 {constant[1]:.1f} ms"
                print(f"{name:<16} {figures} | a constant: {beside} | p99 {ours[1] / constant[1]:.1f} x")
        plain.terminate()
        plain.wait(10)


if __name__ == "__main__":
    main()
