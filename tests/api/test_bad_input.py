"""Whatever is sent, to whatever route: a 4xx in the one error shape or a sound answer; never a 500, never a NaN."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.api._context import EXTENSION
from optimizer.app import close_app, create_app
from optimizer.catalog.keys import create_key
from optimizer.settings import Settings
from tests.conftest import SECRET, Clock, KeyedClient

OFREP = "/ofrep/v1/evaluate/flags"
NOT_OURS = {"/docs/", "/docs/<path:path>", "/openapi.json", "/metrics"}
ARM = {"visitors": 100, "conversions": 10}
DID = {"did": "add_to_cart", "within_days": 14, "at_least": 1, "where": {"placement": "product_page"}}
SHOPPER = {
    "user_id": "u1",
    "consent": {"ad_user_data": True},
    "click_ids": {"gclid": "x"},
    "context": {"device": "mobile", "ip": "203.0.113.7"},
    "user": {"email": "a@example.com"},
}
EVENT = {
    "name": "add_to_cart",
    "event_id": "e1",
    "timestamp": "2026-11-01T10:00:00Z",
    "value": 1.5,
    "currency": "EUR",
    "properties": {"a": 1},
    **SHOPPER,
}
COUNT = {
    "date": "2026-11-01",
    "name": "visit",
    "visitors": 9,
    "occurrences": 9,
    "value": 1.0,
    "value_squares": 1.0,
    "dimensions": {"source": "x"},
}
CALL = {
    "type": "track",
    "event": "Product Added",
    "userId": "u",
    "messageId": "m",
    "timestamp": "2026-11-01T10:00:00Z",
    "sentAt": "2026-11-01T10:00:00Z",
    "properties": {"price": 2, "quantity": 1},
    "context": {"page": {"url": "x"}},
}
CAPTURED = {
    "event": "Video Start",
    "distinct_id": "u",
    "uuid": "0192f3c0-0000-7000-8000-000000000001",
    "timestamp": "2026-11-01T10:00:00Z",
    "properties": {"$device_id": "d", "value": 2, "$ip": "203.0.113.7", "$set": {"email": "a@example.com"}},
}
MEASURED = {
    "client_id": "1.2",
    "timestamp_micros": 1_793_700_000_000_000,
    "consent": {"ad_user_data": "GRANTED"},
    "events": [{"name": "purchase", "params": {"transaction_id": "t", "value": 2, "currency": "EUR", "items": [{}]}}],
}
PAST = {
    "key": "old",
    "started_at": "2026-09-01T00:00:00Z",
    "stopping": {"metric": "add_to_cart", "method": "fixed", "alpha": 0.05, "planned_visitors": 200},
    "metrics": ["add_to_cart", "purchase"],
    "variants": [
        {"key": key, "n": 100, "sums": [30.0, 5.0], "cross_products": [[30.0, 4.0], [4.0, 5.0]]} for key in "ab"
    ],
}
VALID: dict[tuple[str, str], Any] = {
    ("POST", "/v1/events"): {"events": [EVENT]},
    ("POST", "/v1/events/validate"): {"events": [EVENT]},
    ("POST", "/v1/events/recover"): {"name": "add_to_cart", "unit": "u1", "from": "2026-10-01T00:00:00Z"},
    ("POST", "/v1/exposures"): {"exposures": [{"experiment": "pdp", "variant": "a", "user_id": "u1"}]},
    ("POST", "/v1/counts"): {"system": "x", "counts": [COUNT]},
    ("POST", "/v1/batch"): {"batch": [CALL], "sentAt": "2026-11-01T10:00:00Z"},
    ("POST", "/v1/import"): {"batch": [CALL]},
    **{("POST", f"/v1/{kind}"): CALL for kind in ("track", "identify", "page", "screen", "group", "alias")},
    ("POST", "/batch/"): {"batch": [CAPTURED], "sent_at": "2026-11-01T10:00:00Z"},
    ("POST", "/api/event"): {"n": "pageview", "u": "https://a.example/", "d": "a.example", "p": {"a": "b"}},
    **{
        ("POST", path): {"pid": "default", "ev": "add_to_cart", "meta": {"value": "1"}, "pg": "/p"}
        for path in ("/log", "/log/", "/log/custom", "/log/hb", "/log/error")
    },
    ("POST", "/mp/collect"): MEASURED,
    ("POST", "/debug/mp/collect"): MEASURED,
    ("PUT", "/v1/catalog/events/<name>"): {"kind": "macro", "required_properties": {"a": "string"}},
    ("PUT", "/v1/metrics/<key>"): {"type": "sum", "event": "purchase", "where": {"a": 1}, "window_hours": 24},
    ("POST", "/v1/plans"): {"goal": "purchase", "proxies": ["add_to_cart"], "relative_mde": 0.1, "alpha": 0.05,
        "power": 0.8, "method": "fixed", "variants": 2, "baselines": {"purchase": 0.02, "add_to_cart": 0.3},
        "daily_visitors": 100},
    ("POST", "/v1/analyses"): {"method": "sequential", "alpha": 0.05, "baseline": "a", "planned_visitors": 1000,
        "variants": [{"key": "a", **ARM}, {"key": "b", **ARM}], "weights": {"a": 1, "b": 2}},
    ("POST", "/v1/experiments"): {"key": "pdp", "variants": [{"key": "a", "weight": 1}, {"key": "b", "value": [1]}],
        "primary_metric": "add_to_cart", "goal_metric": "purchase", "guardrail_metrics": [{"metric": "purchase"}],
        "targeting": {"all": [{"attribute": "country", "in": ["DE"]}, {"not": {"attribute": "age", "at_most": 17}}]},
        "namespace": {"name": "checkout", "from": 0.0, "to": 0.5}, "allocation": 0.5,
        "scheduled_start_at": "2026-11-05T00:00:00Z", "scheduled_stop_at": "2026-11-09T00:00:00Z",
        "alpha": 0.05, "planned_visitors": 1000},
    ("PATCH", "/v1/experiments/<key>"): {"name": "x", "hypothesis": "y"},
    ("POST", "/v1/experiments/<key>/start"): {"at": "2026-10-20T00:00:00Z"},
    ("POST", "/v1/experiments/<key>/stop"): {"at": "2026-10-25T00:00:00Z"},
    ("POST", "/v1/experiments/<key>/archive"): {"at": "2026-10-26T00:00:00Z"},
    ("POST", "/v1/experiments/<key>/rollout"): {"variant": "a"},
    ("POST", "/v1/experiments/<key>/notes"): {"text": "a campaign ran"},
    ("POST", "/v1/experiments/history"): {"experiments": [PAST]},
    ("PATCH", "/v1/experiments/history/<key>"): {"change": "price"},
    ("POST", OFREP): {"context": {"targetingKey": "u1", "country": "DE", "consent": {"analytics": True}}},
    ("POST", f"{OFREP}/<key>"): {"context": {"targetingKey": "u1", "user_id": "u1", "anonymous_id": "a1"}},
    ("PUT", "/v1/holdouts/<key>"): {"share": 0.05, "experiments": None},
    ("POST", "/v1/insights/funnel"): {"steps": ["add_to_cart", "purchase"], "order": "ordered", "window_hours": 24,
        "by": "device", "from": "2026-10-01T00:00:00Z"},
    ("POST", "/v1/signals/likelihood"): {"goal": "purchase", "horizon_days": 7},
    ("PUT", "/v1/destinations/<key>"): {"platform": "meta", "account": {"dataset_id": "1"}, "mode": "live",
        "credentials": {"access_token": "t"}, "base_url": "http://127.0.0.1:9"},
    ("PUT", "/v1/signal-rules/<key>"): {"event": "add_to_cart", "destinations": ["known"], "enabled": True,
        "value": {"mode": "predicted", "margin": 0.5, "maximum": 8, "window_days": 7}, "minimum_weekly_events": 1},
    ("PUT", "/v1/feedback/policy"): {"goal": "purchase", "destinations": ["known"], "maximum_signals": 3,
        "minimum_q": 0.05, "schedule": "*/15 * * * *", "margin": 0.5, "maximum": 8, "window_days": 7},
    ("POST", "/v1/deliveries/retry"): {"status": "dead"},
    ("PUT", "/v1/segments/<key>"): {"definition": {"all": [DID, {"did_not": "purchase", "since": "add_to_cart"}]}},
    ("POST", "/v1/segments/preview"): {"definition": {"any": [DID, {"not": {"did_not": "x"}},
        {"conversion_likelihood": {"at_least": 0.1, "below": 0.9}}]}, "purpose": "ads"},
    ("POST", "/v1/suppressions"): {"suppressions": [{"user_id": "u9", "purpose": "ads"}]},
    ("DELETE", "/v1/suppressions"): {"suppressions": [{"email": "a@example.com"}]},
    ("POST", "/v1/projects"): {"key": "second", "currency": "EUR", "time_zone": "Europe/Berlin"},
    ("PATCH", "/v1/project"): {"name": "x", "retention_days": 10},
    ("POST", "/v1/keys"): {"scope": "read", "name": "x"},
}  # fmt: skip
QUERIES = {
    "dry_run": "true", "goal": "purchase", "window_days": "30", "landmark_hours": "24", "by": "source", "limit": "5",
    "cursor": "x", "since": "x", "record_exposure": "true",
    "from": "2026-10-01T00:00:00Z", "format": "csv", "status": "sent", "events": "add_to_cart,wish", "days": "30",
    "anchor": "add_to_cart", "to": "2026-11-01T00:00:00Z",
}  # fmt: skip
HARD: list[Any] = [
    None, True, 0, -1, 2**31, 2**53 + 1, 2**63, 10**400, 1e308, -1e308, 5e-324, 0.5,
    "", " ", "\x00", "a\x00b", "x" * 9_000, "NaN", "-Infinity", "LATIN \u017f", "\U0001f600", "\u202e", "\ufdfa" * 60,
    "../../etc/passwd", "=1+1", "' OR 1=1 --", "0000-00-00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    [], {}, [[]], [None], {"": ""}, {"a": {"b": None}}, {"\x00": 1},
]  # fmt: skip
BASE_URL = ("base_url",)  # stays, so that no example calls a real platform
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def fuzzed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[APIFlask]:
    """One application for all examples, on either control plane."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    url = request.getfixturevalue("module_postgres_url") if request.param == "postgresql" else ""
    app = create_app(Settings(data_dir=folder, secret_key=SECRET, scheduler=False, database_url=url), clock=Clock())
    yield app
    close_app(app)


@pytest.fixture(scope="module")
def key(fuzzed: APIFlask) -> str:
    with fuzzed.extensions[EXTENSION].stores.control.session() as session:
        return create_key(session, 1, "admin", now=Clock().now)[1]


def pointers(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield from pointers(child, (*at, name))


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    changed = copy.deepcopy(value)
    place = changed
    for part in at[:-1]:
        place = place[part]
    place[at[-1]] = new
    return changed


@st.composite
def bodies(draw: st.DrawFn, valid: Any) -> Any:
    if valid is None:
        return draw(st.none() | json_values)
    body = copy.deepcopy(valid)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.sampled_from([place for place in pointers(body) if place[:1] != BASE_URL]))
        body = replaced(body, at, draw(st.sampled_from(HARD) | json_values))
        if not isinstance(body, dict):
            break
    return body


def sound(answer: Any) -> None:
    """An answer is JSON without NaN or Infinity, and every refusal has the one error shape."""
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    assert answer.status_code != 500

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in an answer")

    if answer.request.path.startswith(OFREP):
        if answer.status_code >= 400:
            assert isinstance(json.loads(answer.text, parse_constant=refuse)["errorDetails"], str)
        return
    if answer.status_code >= 400:
        assert answer.mimetype == "application/problem+json", answer.text
        problem = json.loads(answer.text, parse_constant=refuse)
        assert {"type", "title", "status", "detail", "errors"} <= problem.keys()
        assert problem["status"] == answer.status_code
        assert all({"pointer", "code", "detail"} == item.keys() for item in problem["errors"])
    elif answer.is_json:
        json.loads(answer.text, parse_constant=refuse)


def routes(app: APIFlask) -> list[tuple[str, str]]:
    return sorted(
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule not in NOT_OURS
    )


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_input_breaks_a_route(fuzzed: APIFlask, key: str, data: st.DataObject) -> None:
    client = KeyedClient(fuzzed.test_client(), key)
    method, rule = data.draw(st.sampled_from(routes(fuzzed)))
    name = data.draw(st.sampled_from(["known", "add_to_cart", "pdp", "nobody", "a b", "\x00", "x" * 300, "ü%"]))
    path = (
        rule.replace("<name>", name).replace("<key>", name).replace("<prefix>", name).replace("<delivery_id>", name)
    )
    wanted = st.sampled_from(sorted(QUERIES)).flatmap(
        lambda one: st.tuples(
            st.just(one), st.just(QUERIES[one]) | st.text(max_size=8) | st.sampled_from(["nan", "inf", "1e999", "-1"])
        )
    )
    query = dict(data.draw(st.lists(wanted, max_size=2)))
    if (method, path) == ("POST", "/v1/destinations/known/check"):
        path = path.replace("known", "nobody")
    body = data.draw(bodies(VALID.get((method, rule))))
    raw = json.dumps(body).encode("utf-8", "surrogatepass") if body is not None else b""
    answer = client.open(
        path, method=method, query_string=query, data=raw, headers={"Content-Type": "application/json"}
    )
    sound(answer)


def test_every_route_that_takes_a_body_is_tried_with_a_valid_one(fuzzed: APIFlask) -> None:
    known = set(routes(fuzzed))
    assert VALID.keys() <= known
    bodyless = {"/v1/deliveries/<delivery_id>/retry", "/v1/destinations/<key>/check", "/v1/feedback/sync",
                "/v1/segments/<key>/refresh", "/v1/signal-rules/<key>/backfill", "/v1/units/refresh"}  # fmt: skip
    writing = {(method, rule) for method, rule in known if method in {"POST", "PUT", "PATCH"}}
    assert writing - VALID.keys() == {("POST", rule) for rule in bodyless}


@cache
def broken_bodies() -> dict[str, tuple[bytes, dict[str, str], int]]:
    zipped = {"Content-Encoding": "gzip"}
    return {
        "no JSON": (b"{", {}, 400),
        "NaN": (b'{"a": NaN}', {}, 400),
        "not UTF-8": (b'{"a": "\xff"}', {}, 400),
        "5 000 levels": (b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}", {}, 400),
        "oversized": (b'{"a": "' + b"x" * 5_000_001 + b'"}', {}, 413),
        "gzip bomb": (gzip.compress(b" " * 200_000_000, 1), zipped, 413),
        "broken gzip": (b"\x1f\x8bnonsense", zipped, 400),
        "other encoding": (b"{}", {"Content-Encoding": "br"}, 400),
    }


@pytest.mark.parametrize("name", broken_bodies())
def test_a_body_that_cannot_be_read_is_refused_alike_by_every_route(name: str, client: KeyedClient) -> None:
    raw, headers, status = broken_bodies()[name]
    for method, rule in VALID:
        path = rule.replace("<key>", "k").replace("<name>", "k")
        if path.endswith(("/start", "/stop", "/archive")):
            continue  # their body is optional and read after the experiment is found
        if path.startswith("/debug/"):
            continue  # answers in Google's own terms
        answer = client.open(path, method=method, data=raw, headers={"Content-Type": "application/json", **headers})
        assert answer.status_code == status, (method, path, answer.text)
        sound(answer)


@pytest.mark.parametrize("path", ["/v1/events", "/v1/batch", "/v1/exposures", "/v1/counts"])
@pytest.mark.parametrize("text", [r"\ud800", r"\udc00x", r"\u0000", r"a`b", r"\\u0000"])
def test_strange_text_is_a_verdict_and_spares_the_rest_of_its_batch(
    text: str, path: str, client: KeyedClient
) -> None:
    [(kind, items)] = [(k, v) for k, v in VALID["POST", path].items() if isinstance(v, list)]
    good = json.dumps(items[0])
    bad = good[:-1] + f', "{text}": "{text}", "name": "{text}"}}'
    raw = (
        json.dumps({**VALID["POST", path], kind: []}).replace(f'"{kind}": []', f'"{kind}": [{bad}, {good}]').encode()
    )
    answer = client.post(path, data=raw, headers={"Content-Type": "application/json"})
    sound(answer)
    assert answer.status_code == 200
    assert answer.json["accepted"] >= 1


def test_without_a_key_every_route_of_ours_answers_401(app: APIFlask) -> None:
    bare = app.test_client()
    for method, rule in routes(app):
        if not rule.startswith("/v1/"):
            continue
        path = (
            rule.replace("<key>", "k").replace("<name>", "k").replace("<prefix>", "k").replace("<delivery_id>", "k")
        )
        answer = bare.open(path, method=method, json=VALID.get((method, rule)))
        assert answer.status_code == 401, (method, path)
        sound(answer)


def test_unknown_paths_and_methods_have_the_same_shape(client: KeyedClient) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/plans", 405),
        ("DELETE", "/v1/events", 405),
    ):
        answer = client.open(path, method=method)
        assert answer.status_code == status
        sound(answer)
