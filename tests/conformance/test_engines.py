"""Every answer must be the same on DuckDB and on ClickHouse, from the same requests."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

import pytest
from apiflask import APIFlask

from optimizer.app import close_app, create_app, open_stores
from optimizer.settings import Settings
from tests.conftest import NOON, SECRET, Clock, KeyedClient
from tests.fixtures.clickhouse import make_database

pytestmark = pytest.mark.xdist_group("clickhouse")
KEY = "a key for both engines"
NAMES = ("view_item", "add_to_cart", "begin_checkout", "purchase", "video_start")
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
FROM, TO = "2026-09-01T00:00:00Z", "2026-11-01T00:00:00Z"
FUNNEL = {"steps": ["view_item", "add_to_cart", "purchase"], "window_hours": 24}
QUESTIONS: dict[str, tuple[str, str, Any]] = {
    "recent events": ("GET", "/v1/events?limit=500", None),
    "events of one unit": ("GET", "/v1/events?unit=u7&limit=100", None),
    "bots": ("GET", "/v1/events?bots=true", None),
    **{f"{order} funnel": ("POST", "/v1/insights/funnel", {**FUNNEL, "order": order})
       for order in ("ordered", "strict", "any")},
    "funnel by device": ("POST", "/v1/insights/funnel", {**FUNNEL, "by": "device"}),
    "funnel without a window": ("POST", "/v1/insights/funnel", {"steps": ["view_item", "purchase"], "from": FROM}),
    "signals": ("GET", "/v1/signals?goal=purchase&window_days=14&landmark_hours=24", None),
    "signals at chosen landmark": ("GET", f"/v1/signals?goal=purchase&window_days=14&from={FROM}&to={TO}", None),
    "catalog audit": ("GET", "/v1/catalog/audit?goal=purchase", None),
    "denied consent": ("GET", f"/v1/insights/consent?goal=purchase&from={FROM}&to={TO}&anchor=view_item", None),
    "likelihood": ("POST", "/v1/signals/likelihood", {"goal": "purchase", "horizon_days": 3}),
    "denied consent by totals": ("GET", f"/v1/insights/consent?goal=purchase&from={FROM}&to={TO}&basis=totals", None),
    "values": ("GET", "/v1/signals/values?goal=purchase&events=add_to_cart,begin_checkout&window_days=7", None),
    "results": ("GET", "/v1/experiments/pdp/results", None),
    **{f"results by {by}": ("GET", f"/v1/experiments/pdp/results?dimension={by}", None)
       for by in ("device", "source", "placement")},
    "results of every kind of metric": ("GET", "/v1/experiments/kinds/results", None),
    "results of every kind by placement": ("GET", "/v1/experiments/kinds/results?dimension=placement", None),
    "results from daily totals": ("GET", "/v1/experiments/totals/results", None),
    "segment size": ("POST", "/v1/segments/preview", {"definition": {"all": [
        {"did": "add_to_cart", "within_days": 30, "where": {"placement": "product_page"}},
        {"did_not": "purchase", "since": "add_to_cart"}]}}),
    "plan from own data": ("POST", "/v1/plans", {"goal": "purchase", "proxies": ["add_to_cart"], "relative_mde": 1}),
}  # fmt: skip


def batches() -> Iterator[tuple[str, dict[str, Any]]]:
    """Make a season of a shop: ids of every kind, repeats, ties, bots, denied consent, exposures, counts, links."""
    drawn = random.Random(7)  # noqa: S311 - sample data
    events: list[dict[str, Any]] = []
    exposures: list[dict[str, Any]] = []
    for number in range(150):
        who = {"user_id": f"u{number}"} if number % 3 else {"anonymous_id": f"a{number}"}
        first = NOON - dt.timedelta(days=drawn.uniform(20, 60))
        exposures.append({"experiment": "pdp", "variant": drawn.choice("ab"), **who, "timestamp": first.isoformat(),
                          "exposure_id": f"x{number}"})  # fmt: skip
        for place in range(drawn.randrange(1, 9)):
            at = first + dt.timedelta(hours=drawn.choice([0, 0, 1, 5, 30, 200]), seconds=place % 2)
            event: dict[str, Any] = {
                "event_id": f"e{number}-{place}",
                "name": drawn.choice(NAMES),
                "timestamp": at.isoformat(),
                **who,
            }
            event["properties"] = {
                "placement": drawn.choice(["product_page", "list"]),
                "size": drawn.randrange(3),
                "item_id": f"sku-{drawn.randrange(6)}",
            }
            event["context"] = {"device": drawn.choice(["mobile", "desktop"]), "source": drawn.choice(["google", ""])}
            if event["name"] == "purchase":
                event |= {"value": round(drawn.uniform(5, 90), 2), "currency": "EUR"}
            event |= drawn.choice([{"consent": {"email": True}}] * 9 + [{"consent": {"analytics": False}}])
            event["context"] |= drawn.choice([{}] * 9 + [{"user_agent": BOT}])
            events.append(event)
    yield "/v1/events", {"events": events}
    yield "/v1/events", {"events": [*events[:50], {**events[60], "value": 1.0}]}
    yield "/v1/exposures", {"exposures": exposures}
    counts = [{"date": "2026-10-01", "name": name, "visitors": n} for name, n in (("visit", 900), ("visit", 1000))]
    yield "/v1/counts", {"system": "swetrix", "counts": counts}
    yield "/v1/events/recover", {"name": "add_to_cart", "from": "2026-10-05T00:00:00Z"}
    yield "/v1/alias", {"type": "alias", "previousId": "a3", "userId": "u1"}
    yield "/v1/identify", {"type": "identify", "anonymousId": "a6", "userId": "u2", "messageId": "i1",
                           "timestamp": "2026-10-20T00:00:00Z"}  # fmt: skip


def answers(client: KeyedClient) -> list[Any]:
    return [client.post(path, json=body).json for path, body in batches()]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, clickhouse_server: str) -> Iterator[dict[str, KeyedClient]]:
    urls = {"duckdb": "", "clickhouse": make_database(clickhouse_server, "conformance")}
    apps: dict[str, APIFlask] = {}
    clients = {}
    for engine, url in urls.items():
        folder = tmp_path_factory.mktemp(engine)
        settings = Settings(
            data_dir=folder,
            events_url=url,
            secret_key=SECRET,
            bootstrap_key=KEY,
            scheduler=False,
        )
        apps[engine] = create_app(settings, open_stores(settings), clock=Clock())
        clients[engine] = KeyedClient(apps[engine].test_client(), KEY)
    assert answers(clients["duckdb"]) == answers(clients["clickhouse"])
    for client in clients.values():
        prepare(client)
        body = {"key": "pdp", "variants": [{"key": "a"}, {"key": "b"}], "primary_metric": "add_to_cart",
                "goal_metric": "purchase", "secondary_metrics": ["begin_checkout"], "method": "fixed",
                "planned_visitors": 40}  # fmt: skip
        assert client.post("/v1/experiments", json=body).status_code == 201
        started = client.post("/v1/experiments/pdp/start", json={"at": "2026-08-01T00:00:00Z"})
        assert started.status_code == 200, started.json
    yield clients
    for app in apps.values():
        close_app(app)


def prepare(client: KeyedClient) -> None:
    """Make metrics of every kind, and experiments that use them: of exposures, and of daily totals."""
    metrics: dict[str, dict[str, Any]] = {
        "revenue": {"type": "sum", "event": "purchase", "cap": {"percentile": 0.9}},
        "carts": {"type": "count", "event": "add_to_cart", "window_hours": 240, "cap": {"value": 2},
                  "where": {"placement": "list", "size": 1}},
        "per view": {"type": "ratio", "event": "purchase", "numerator": "sum", "denominator": "view_item",
                     "window_hours": 300},
        "median order": {"type": "quantile", "event": "purchase", "quantile": 0.5, "window_hours": 300},
        "large size": {"type": "quantile", "event": "view_item", "quantile": 0.8, "of": "size"},
    }  # fmt: skip
    for key, body in metrics.items():
        assert client.put(f"/v1/metrics/{key}", json=body).status_code == 200
    variants = {"variants": [{"key": "a"}, {"key": "b"}], "planned_visitors": 40, "method": "fixed"}
    every = {**variants, "key": "kinds", "primary_metric": "purchase", "secondary_metrics": list(metrics),
             "covariate_days": 30}  # fmt: skip
    drawn = random.Random(8)  # noqa: S311 - sample data
    exposures = [
        {"experiment": "kinds", "variant": drawn.choice("ab"), "user_id": f"u{n}", "exposure_id": f"k{n}",
         "timestamp": (NOON - dt.timedelta(days=30, hours=n)).isoformat()}
        for n in range(150)
    ]  # fmt: skip
    assert client.post("/v1/exposures", json={"exposures": exposures}).json["accepted"] == 150
    totals = {**variants, "key": "totals", "primary_metric": "purchase", "secondary_metrics": list(metrics)}
    counts = [
        {"date": "2026-10-01", "experiment": "totals", "variant": variant, "name": name, "visitors": visitors}
        for variant, bought in (("a", 30), ("b", 45))
        for name, visitors in (("visit", 200), ("purchase", bought))
    ]
    assert client.post("/v1/counts", json={"system": "swetrix", "counts": counts}).status_code == 200
    for body in (every, totals):
        assert client.post("/v1/experiments", json=body).status_code == 201
        started = client.post(f"/v1/experiments/{body['key']}/start", json={"at": "2026-08-01T00:00:00Z"})
        assert started.status_code == 200, started.json


def same(left: Any, right: Any, at: str = "") -> None:
    """Compare two answers, floats to rounding; fields that number or time what was stored are each store's own."""
    if isinstance(left, dict):
        assert left.keys() == right.keys(), at
        for name in left.keys() - {"sequence", "next_cursor", "computed_at"}:
            same(left[name], right[name], f"{at}/{name}")
    elif isinstance(left, list):
        assert len(left) == len(right), at
        for place, (one, other) in enumerate(zip(left, right, strict=True)):
            same(one, other, f"{at}/{place}")
    elif isinstance(left, float):
        assert left == pytest.approx(right, rel=1e-9), at
    else:
        assert left == right, at


@pytest.mark.parametrize("question", QUESTIONS)
def test_both_engines_answer_alike(both: dict[str, KeyedClient], question: str) -> None:
    method, path, body = QUESTIONS[question]
    options = {} if body is None else {"json": body}
    given = {engine: client.open(path, method=method, **options) for engine, client in both.items()}
    assert given["duckdb"].status_code == given["clickhouse"].status_code == 200, given["clickhouse"].json
    same(given["duckdb"].json, given["clickhouse"].json)


def test_segments_have_the_same_members(both: dict[str, KeyedClient]) -> None:
    members = {}
    for engine, client in both.items():
        body = {"name": "Left behind", "definition": QUESTIONS["segment size"][2]["definition"], "purpose": "email"}
        assert client.put("/v1/segments/left", json=body).status_code == 200
        assert client.post("/v1/segments/left/refresh").status_code == 200
        members[engine] = client.get("/v1/segments/left/members?limit=500").json["data"]
    assert len(members["duckdb"]) > 5
    key = str
    same(sorted(members["duckdb"], key=key), sorted(members["clickhouse"], key=key))
