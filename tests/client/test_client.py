"""The client against a real service, and against a stand-in that is busy or broken."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from rich.console import Console

from optimizer.cli._shown import show_result
from optimizer.client import Client, Experiment, Plan, Result
from optimizer.errors import (
    BusyError,
    ConfigurationError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    OptimizerError,
    UnauthenticatedError,
)
from tests.fixtures.server import BOOTSTRAP_KEY, Server


@pytest.fixture
def client(finished_server: Server) -> Iterator[Client]:
    with Client(finished_server.url, BOOTSTRAP_KEY) as made:
        yield made


def test_results_are_typed_and_show_themselves(client: Client) -> None:
    result = client.results("pdp-cta")
    assert isinstance(result, Result)
    assert (result.headline, result.decision.action, result.experiment) == ("Ship treatment", "ship", "pdp-cta")
    [found] = result.primary.comparisons
    assert found.absolute == pytest.approx(0.15)
    assert found.relative_interval is not None
    [row] = result.rows()
    assert (row["relative"], row["relative_low"]) == (found.relative, found.relative_interval[0])
    assert "Ship treatment. add_to_cart: treatment +50.0%" in repr(result)
    page = result._repr_html_()
    assert page.index("Ship treatment") < page.index("<table>")


def test_what_it_means_for_the_goal_is_said_with_its_basis(client: Client) -> None:
    plain = client.results("pdp-cta")
    assert plain.forecast == ""
    told = {"relative": 0.031, "interval": [-0.01, 0.07], "basis": "past_experiments: 12 of them.", "measured": 0.02,
            "measured_interval": [-0.05, 0.09], "score": "Right 9 times of 10."}  # fmt: skip
    decision = {**plain.decision.model_dump(), "goal_forecast": told}
    result = Result.model_validate({**plain.model_dump(), "decision": decision})
    assert result.forecast == (
        "Forecast for the goal: +3.1% (−1.0% to +7.0%); past_experiments: 12 of them. Measured so far: "
        "+2.0% (−5.0% to +9.0%). Right 9 times of 10."
    )
    assert result.forecast in result._repr_html_()
    console = Console(record=True, width=200, file=io.StringIO())
    show_result(console, result)
    assert f"→ {result.forecast}" in console.export_text()


def test_experiments_and_reports(client: Client) -> None:
    [listed] = client.experiments()
    assert isinstance(listed, Experiment)
    assert client.experiment("pdp-cta") == listed
    assert listed.status == "running"
    report = client.report("pdp-cta")
    assert b"&lt;i&gt;Button" in report
    assert client.report("pdp-cta", "png").startswith(b"\x89PNG")
    split = client.results("pdp-cta", dimension="device").model_extra
    assert split is not None
    assert split["dimension"]["name"] == "device"


def test_plans_from_the_projects_own_data(client: Client) -> None:
    plan = client.plan("add_to_cart", relative_mde=0.1, method="sequential")
    assert isinstance(plan, Plan)
    [goal] = plan.metrics
    assert goal.baseline == pytest.approx(0.375)
    assert goal.sequential is not None
    [row] = plan.rows()
    assert row["expected_visitors_per_variant"] == goal.sequential.expected_visitors_per_variant
    assert "Plan on add_to_cart" in repr(plan)
    given = client.plan("purchase", ["<b>"], baselines={"purchase": 0.02, "b": 0.3})
    page = given._repr_html_()
    assert "assumed_equal" in page
    assert "<b>b" not in page


def test_counts(client: Client) -> None:
    variants = [
        {"key": "a<i>", "visitors": 4000, "conversions": 400},
        {"key": "b", "visitors": 4600, "conversions": 500},
    ]
    result = client.analyse(variants, method="fixed", planned_visitors=8000)
    assert result.headline == "Do not trust it yet: investigate"
    page = result._repr_html_()
    assert "✗ srm" in page
    assert "<i>" not in page


def test_errors_say_what_to_do_next(client: Client, finished_server: Server) -> None:
    with pytest.raises(InvalidInputError, match=r"422\)\n  /alpha: ") as refused:
        client.plan("purchase", alpha=2)
    assert [problem.pointer for problem in refused.value.problems] == ["/alpha"]
    with pytest.raises(NotFoundError, match="HTTP 404"):
        client.results("no/such thing")
    with pytest.raises(UnauthenticatedError):
        Client(finished_server.url, "opt_wrong").experiments()
    tracker = finished_server.post("/v1/keys", {"scope": "ingest"}).json()["key"]
    with pytest.raises(ForbiddenError, match="read"):
        Client(finished_server.url, tracker).experiments()
    with pytest.raises(ConfigurationError, match="OPTIMIZER_URL"):
        Client("localhost:8000", "k")
    with pytest.raises(ConfigurationError, match="OPTIMIZER_KEY"):
        Client(finished_server.url, "")


class Odd(BaseHTTPRequestHandler):
    """Answers as scripted, one after the other; then with an empty list."""

    script: ClassVar[list[tuple[int, dict[str, str], str]]] = []
    asked: ClassVar[list[str]] = []
    may_answer: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.may_answer.wait(10)
        done: tuple[int, dict[str, str], str] = (200, {}, json.dumps({"data": [], "next_cursor": None}))
        status, headers, body = self.script.pop(0) if self.script else done
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        with contextlib.suppress(BrokenPipeError):  # whoever asked may have stopped waiting
            self.end_headers()
            self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def odd() -> Iterator[Callable[..., Client]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Odd.asked.clear()
    Odd.may_answer.set()

    def give(*script: tuple[int, dict[str, str], str]) -> Client:
        Odd.script[:] = script
        return Client(f"http://127.0.0.1:{server.server_port}/", "key", retries=2)

    yield give
    server.shutdown()
    server.server_close()


def test_a_busy_service_is_asked_again_when_it_says_so(odd: Callable[..., Client]) -> None:
    busy = (503, {"Retry-After": "0"}, "{}")
    with odd(busy, busy) as client:
        assert client.experiments() == []
    assert len(Odd.asked) == 3
    client = odd(*[(503, {"Retry-After": "0"}, '{"detail": "Draining."}')] * 9)
    with client, pytest.raises(BusyError, match=r"Draining\. \(HTTP 503\)"):
        client.experiments()
    Odd.script.clear()


def test_what_was_too_slow_is_not_asked_again(odd: Callable[..., Client]) -> None:
    client = odd()
    Odd.may_answer.clear()
    slow = Client(client._url, "key", timeout_seconds=0.1)
    with slow, pytest.raises(BusyError, match="did not answer within"):
        slow.experiments()
    Odd.may_answer.set()
    assert len(Odd.asked) == 1


def test_what_is_not_ours_is_said_plainly(odd: Callable[..., Client]) -> None:
    with odd((502, {}, "<html>Bad gateway</html>")) as client, pytest.raises(OptimizerError, match="HTTP 502"):
        client.experiments()
    page = json.dumps({"data": [], "next_cursor": "abc"})
    with odd((200, {}, page)) as client:
        assert client.experiments() == []
    assert Odd.asked[-1] == "/v1/experiments?cursor=abc"
    with pytest.raises(BusyError, match="cannot be reached"):
        Client("http://127.0.0.1:9", "key", timeout_seconds=0.2, retries=0).experiments()


def test_the_client_loads_nothing_heavy() -> None:
    heavy = ("numpy", "scipy", "ibis", "duckdb", "flask", "sqlmodel", "altair", "pandas")
    script = f"import sys, optimizer.client; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
