"""OFREP as its specification says, with its own errors; real clients judge it in tests/clients."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from optimizer.api._context import EXTENSION
from optimizer.errors import BusyError
from optimizer.experiments.flags import FRESH_SECONDS
from optimizer.storage.stores import Stores
from tests.conftest import Clock, KeyedClient

FLAGS = "/ofrep/v1/evaluate/flags"
PATH = "/v1/experiments/pdp-cta"
VARIANTS = [{"key": "control"}, {"key": "treatment", "value": {"colour": "green"}}]
Draft = Callable[..., Any]


@pytest.fixture
def run(client: KeyedClient) -> Draft:
    client.put("/v1/catalog/events/add_to_cart", json={})

    def start(key: str = "pdp-cta", **design: Any) -> None:
        given = {"key": key, "variants": VARIANTS, "primary_metric": "add_to_cart", **design}
        assert client.post("/v1/experiments", json=given).status_code == 201
        assert client.post(f"/v1/experiments/{key}/start").status_code == 200

    return start


@pytest.fixture
def ask(client: KeyedClient) -> Callable[..., Any]:
    def evaluate(unit: str | None = "u1", key: str = "pdp-cta", *, record: bool = False, **attributes: Any) -> Any:
        context = {**({} if unit is None else {"targetingKey": unit}), **attributes}
        path = f"{FLAGS}/{key}" + ("?record_exposure=true" if record else "")
        return client.post(path, json={"context": context})

    return evaluate


def exposures(stores: Stores) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = stores.events.table("exposures").to_pyarrow().to_pylist()
    return rows


def a_unit(ask: Callable[..., Any], variant: str, **attributes: Any) -> str:
    return next(f"u{n}" for n in range(100) if ask(f"u{n}", **attributes).json["variant"] == variant)


def test_a_running_experiment_splits_and_says_the_same_again(run: Draft, ask: Callable[..., Any]) -> None:
    run()
    answers = [ask(f"u{n}").json for n in range(200)]
    assert answers == [ask(f"u{n}").json for n in range(200)]
    counted = Counter(answer["variant"] for answer in answers)
    assert counted.keys() == {"control", "treatment"}
    assert min(counted.values()) > 70
    treated = next(answer for answer in answers if answer["variant"] == "treatment")
    assert treated == {
        "key": "pdp-cta", "value": {"colour": "green"}, "reason": "SPLIT", "variant": "treatment",
        "metadata": {"enrolled": True, "why": "hash"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "PARSE_ERROR"),
        (b'"x"', 400, "INVALID_CONTEXT"),
        (b'{"context": []}', 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 5}}', 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "%s"}}' % (b"x" * 201), 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "u", "consent": {"analytics": "no"}}}', 400, "INVALID_CONTEXT"),
        (b"{}", 400, "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', 400, "TARGETING_KEY_MISSING"),
        (b'{"context": {"a": "' + b"x" * 5_000_000 + b'"}}', 413, "GENERAL"),
    ],
)
def test_errors_are_ofreps_own(client: KeyedClient, run: Draft, body: bytes, status: int, code: str) -> None:
    run()
    answer = client.post(f"{FLAGS}/pdp-cta", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.mimetype == "application/json"
    assert (answer.json["key"], answer.json["errorCode"]) == ("pdp-cta", code)
    assert answer.json["errorDetails"]


def test_an_unknown_flag_and_a_wrong_key_are_told(
    app: APIFlask, client_of: Callable[..., KeyedClient], run: Draft, ask: Callable[..., Any]
) -> None:
    run()
    for key in ("nobody", "x" * 300, "a%00b"):
        missing = ask(key=key)
        assert (missing.status_code, missing.json["errorCode"]) == (404, "FLAG_NOT_FOUND")
    assert client_of("other").post(f"{FLAGS}/pdp-cta", json={"context": {"targetingKey": "u"}}).status_code == 404
    bare = app.test_client()
    unknown = bare.post(f"{FLAGS}/pdp-cta", json={})
    assert (unknown.status_code, list(unknown.json or {})) == (401, ["errorDetails"])
    assert client_of(scope="read").post(f"{FLAGS}/pdp-cta", json={}).status_code == 403
    key = client_of(scope="ingest").key
    by_header = bare.post(f"{FLAGS}/pdp-cta", json={"context": {"targetingKey": "u"}}, headers={"X-API-Key": key})
    assert by_header.status_code == 200
    assert ask().status_code == 200


def test_what_does_not_run_gives_the_controls_value_to_nobodys_count(
    client: KeyedClient, ask: Callable[..., Any], run: Draft, clock: Clock
) -> None:
    run()
    client.post("/v1/experiments", json={"key": "draft", "variants": VARIANTS, "primary_metric": "add_to_cart"})
    assert ask(key="draft").json == {
        "key": "draft", "value": "control", "reason": "DISABLED", "variant": "not_enrolled",
        "metadata": {"enrolled": False, "why": "not_running"},
    }  # fmt: skip
    clock.forward(days=1)
    client.post(f"{PATH}/stop")
    assert ask().json["reason"] == "DISABLED"
    client.post(f"{PATH}/rollout", json={"variant": "treatment"})
    for n in range(20):
        rolled_out = ask(f"u{n}").json
        assert (rolled_out["variant"], rolled_out["reason"]) == ("treatment", "STATIC")
        assert rolled_out["metadata"]["enrolled"] is False  # there is no test any more to be in
    client.post(f"{PATH}/archive")
    assert ask().status_code == 404


def test_a_planned_stop_holds_to_the_second(
    client: KeyedClient, ask: Callable[..., Any], run: Draft, clock: Clock
) -> None:
    run()
    client.patch(PATH, json={"scheduled_stop_at": "2026-11-01T12:00:30Z"})
    assert ask().json["reason"] == "SPLIT"
    clock.forward(seconds=30)
    assert ask().json["reason"] == "DISABLED"


def test_namespace_allocation_holdout_and_targeting_keep_units_out(
    client: KeyedClient, run: Draft, ask: Callable[..., Any]
) -> None:
    german = {"attribute": "country", "is": "DE"}
    run(allocation=0.5, namespace={"name": "n", "from": 0.0, "to": 0.5}, targeting=german)
    client.put("/v1/holdouts/always", json={"share": 0.3})
    why = Counter(ask(f"u{n}", country="DE").json["metadata"]["why"] for n in range(400))
    assert why["outside_namespace"] == pytest.approx(200, abs=50)
    assert why["outside_allocation"] == pytest.approx(100, abs=40)
    assert why["holdout"] == pytest.approx(30, abs=25)
    assert why["hash"] == pytest.approx(70, abs=35)
    out = {ask(f"u{n}", country="FR").json["metadata"]["why"] for n in range(100)}
    out |= {ask(f"u{n}").json["metadata"]["why"] for n in range(100)}  # unknown country: not targeted
    assert "hash" not in out
    assert "not_targeted" in out


def test_growing_the_allocation_keeps_everybody_where_they_are(
    client: KeyedClient, run: Draft, ask: Callable[..., Any]
) -> None:
    run(allocation=0.2)
    before = {n: ask(f"u{n}").json["variant"] for n in range(200)}
    client.patch(PATH, json={"allocation": 0.7})
    after = {n: ask(f"u{n}").json["variant"] for n in range(200)}
    assert all(after[n] == variant for n, variant in before.items() if variant != "not_enrolled")
    assert Counter(after.values())["not_enrolled"] < 100


def test_an_exposure_is_recorded_once_before_the_answer(
    stores: Stores, run: Draft, ask: Callable[..., Any], clock: Clock, app: APIFlask
) -> None:
    run()
    first = ask("u1", record=True).json
    assert [(row["unit_id"], row["variant"], row["experiment"]) for row in exposures(stores)] == [
        ("u:u1", first["variant"], "pdp-cta")
    ]
    clock.forward(hours=1)
    ask("u1", record=True)
    app.extensions[EXTENSION].assigning.stickiness._recorded.clear()  # another process
    assert ask("u1", record=True).json == first
    assert len(exposures(stores)) == 1
    ask("u2")
    assert len(exposures(stores)) == 1


def test_who_is_not_in_the_test_leaves_no_exposure(
    client: KeyedClient, stores: Stores, run: Draft, ask: Callable[..., Any]
) -> None:
    run(targeting={"attribute": "country", "is": "DE"})
    ask(record=True)
    sent = client.post(
        "/v1/exposures", json={"exposures": [{"experiment": "pdp-cta", "variant": "not_enrolled", "user_id": "u1"}]}
    ).json
    assert (sent["accepted"], sent["warnings"][0]["code"]) == (0, "not_kept")
    assert exposures(stores) == []


@pytest.mark.parametrize("way", ["evaluation", "api", "event"])
def test_once_exposed_a_unit_keeps_its_variant(
    client: KeyedClient, run: Draft, ask: Callable[..., Any], way: str
) -> None:
    run(targeting={"attribute": "country", "is": "DE"})
    unit = a_unit(ask, "treatment", country="DE")
    assert ask(unit, country="FR").json["variant"] == "not_enrolled"
    shown = {"experiment": "pdp-cta", "variant": "treatment"}
    if way == "evaluation":
        ask(unit, record=True, country="DE")
    elif way == "api":
        client.post("/v1/exposures", json={"exposures": [{**shown, "user_id": unit}]})
    else:
        event = {"name": "Experiment viewed", "user_id": unit, "properties": shown}
        assert client.post("/v1/events", json={"events": [event]}).json["accepted"] == 1
    client.put("/v1/holdouts/everybody", json={"share": 0.5})
    kept = ask(unit, country="FR").json
    assert (kept["variant"], kept["metadata"]["why"]) == ("treatment", "exposed_before")


def test_who_was_shown_another_variant_than_the_hash_says_keeps_that(
    client: KeyedClient, run: Draft, ask: Callable[..., Any]
) -> None:
    run()
    unit = a_unit(ask, "control")
    shown = {"experiment": "pdp-cta", "variant": "treatment", "user_id": unit}
    client.post("/v1/exposures", json={"exposures": [shown]})
    assert ask(unit).json["variant"] == "treatment"
    client.post("/v1/exposures", json={"exposures": [{**shown, "variant": "control"}]})
    assert ask(unit).json["variant"] == "treatment"  # the first exposure counts


def test_exposures_from_before_the_start_bind_nobody(
    client: KeyedClient, run: Draft, ask: Callable[..., Any], clock: Clock
) -> None:
    run()
    unit = a_unit(ask, "control")
    early = (clock.now - dt.timedelta(hours=1)).isoformat()
    shown = {"experiment": "pdp-cta", "variant": "treatment", "user_id": unit}
    client.post("/v1/exposures", json={"exposures": [{**shown, "timestamp": early}, {**shown, "variant": "x"}]})
    assert ask(unit).json["variant"] == "control"


def test_a_visitor_who_becomes_a_user_keeps_the_variant(run: Draft, ask: Callable[..., Any]) -> None:
    run()
    differing = next(
        n for n in range(100) if ask(None, anonymous_id=f"a{n}").json["variant"] != ask(f"u{n}").json["variant"]
    )
    before = ask(None, record=True, anonymous_id=f"a{differing}").json["variant"]
    known = ask(f"u{differing}", record=True, anonymous_id=f"a{differing}").json
    assert known["variant"] == before
    assert ask(f"u{differing}").json["variant"] == before  # also where the visitor's id is not at hand


@pytest.mark.parametrize("allowed", [False, True])
def test_the_project_decides_whether_those_without_consent_are_randomised(
    client: KeyedClient, stores: Stores, run: Draft, ask: Callable[..., Any], allowed: bool
) -> None:
    run()
    client.patch("/v1/project", json={"randomise_without_consent": allowed})
    refused = ask("u1", record=True, consent={"analytics": False}).json
    assert (refused["reason"], refused["metadata"]["enrolled"]) == (
        ("SPLIT", True) if allowed else ("DEFAULT", False)
    )
    assert exposures(stores) == []  # never kept without consent
    for consent in ({"analytics": True}, {}, {"analytics": None}):
        assert ask("u1", consent=consent).json["reason"] == "SPLIT"


def test_a_bulk_evaluation_has_an_etag_that_changes_with_any_answer(client: KeyedClient, run: Draft) -> None:
    run()
    run("banner", unit="session", targeting={"attribute": "country", "is": "DE"})
    body = {"context": {"targetingKey": "u1", "country": "DE"}}
    first = client.post(FLAGS, json=body)
    etag = first.headers["ETag"]
    assert [flag["key"] for flag in first.json["flags"]] == ["pdp-cta", "banner"]
    again = client.post(FLAGS, json=body, headers={"If-None-Match": etag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
    assert client.post(FLAGS, json=body, headers={"If-None-Match": f'"x", W/{etag}'}).status_code == 304
    other = {"context": {"targetingKey": "u1", "country": "FR"}}
    assert client.post(FLAGS, json=other, headers={"If-None-Match": etag}).status_code == 200
    client.post("/v1/experiments/banner/stop")
    client.patch("/v1/experiments/pdp-cta", json={"name": "still the same"})
    assert client.post(FLAGS, json=body, headers={"If-None-Match": etag}).status_code in {200, 304}


def test_in_a_bulk_evaluation_a_flag_fails_alone(client: KeyedClient, run: Draft) -> None:
    run()
    run("banner", unit="session")
    answer = client.post(FLAGS, json={"context": {"user_id": "u1"}})
    assert [flag.get("errorCode") for flag in answer.json["flags"]] == [None, "TARGETING_KEY_MISSING"]
    refused = client.post(f"{FLAGS}?record_exposure=true", json={"context": {"targetingKey": "u1"}})
    assert (refused.status_code, refused.json["errorCode"]) == (400, "GENERAL")


@pytest.mark.parametrize(
    ("unit", "context", "stored"),
    [
        ("anonymous", {"targetingKey": "v"}, ("a:v", None, "v", None)),
        ("session", {"targetingKey": "s"}, ("a:s", None, "s", "s")),
        ("session", {"session_id": "s", "user_id": "u"}, ("u:u", "u", None, "s")),
        ("user", {"user_id": "u", "anonymous_id": "v"}, ("u:u", "u", "v", None)),
        ("user", {"targetingKey": "v", "anonymous_id": "v"}, ("a:v", None, "v", None)),
    ],
)
def test_an_exposure_names_the_unit_that_the_experiment_counts(
    client: KeyedClient,
    stores: Stores,
    run: Draft,
    *,
    unit: str,
    context: dict[str, str],
    stored: tuple[str | None, ...],
) -> None:
    run(unit=unit)
    client.post(f"{FLAGS}/pdp-cta?record_exposure=true", json={"context": context})
    [row] = exposures(stores)
    assert (row["unit_id"], row["user_id"], row["anonymous_id"], row["session_id"]) == stored


def test_without_the_event_store_assignment_works_and_recording_says_so(
    app: APIFlask, run: Draft, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()

    def broken(_: object) -> None:
        raise BusyError("The event store is away.")

    monkeypatch.setattr(app.extensions[EXTENSION].stores.events, "append", broken)
    assert ask("u1").json["reason"] == "SPLIT"
    refused = ask("u1", record=True)
    assert (refused.status_code, refused.json["errorCode"]) == (503, "GENERAL")
    assert refused.headers["Retry-After"]
    monkeypatch.undo()
    assert ask("u1", record=True).status_code == 200


def test_while_what_was_seen_first_cannot_be_looked_up_whom_it_matters_to_is_refused(
    run: Draft, ask: Callable[..., Any], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    alone = {n: (ask(f"u{n}").json["variant"], ask(None, anonymous_id=f"a{n}").json["variant"]) for n in range(20)}
    alike = next(n for n, (user, visitor) in alone.items() if user == visitor)
    differing = next(n for n, (user, visitor) in alone.items() if user != visitor)

    def away() -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(stores.control.engine, "raw_connection", away)
    assert ask(f"u{alike}", anonymous_id=f"a{alike}").json["variant"] == alone[alike][0]
    refused = ask(f"u{differing}", anonymous_id=f"a{differing}")
    assert (refused.status_code, refused.json["errorCode"]) == (503, "GENERAL")
    assert "cannot be looked up" in refused.json["errorDetails"]
    assert refused.headers["Retry-After"]


def test_evaluations_ask_the_database_for_nothing_but_whom_two_hashes_tell_apart(
    app: APIFlask, run: Draft, ask: Callable[..., Any], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(app.extensions[EXTENSION].keys, "_monotonic", lambda: 0.0)
    monkeypatch.setattr(app.extensions[EXTENSION].assigning.flags, "_monotonic", lambda: 0.0)
    ask("u0")
    asked: list[int] = []
    opened = stores.control.engine.raw_connection

    def counted() -> Any:
        asked.append(1)
        return opened()

    monkeypatch.setattr(stores.control.engine, "raw_connection", counted)
    for n in range(50):
        user, visitor = ask(f"u{n}").json["variant"], ask(None, anonymous_id=f"a{n}").json["variant"]
        assert asked == []
        both = ask(f"u{n}", anonymous_id=f"a{n}").json
        assert (both["variant"], both["metadata"]["why"]) == (user, "hash")
        assert len(asked) == (user != visitor)
        asked.clear()


def test_what_another_process_changed_is_seen_within_the_time_said(
    app: APIFlask, stores: Stores, run: Draft, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlmodel import update

    from optimizer.storage.tables import Experiment

    run()
    flags = app.extensions[EXTENSION].assigning.flags
    now = flags._monotonic()
    monkeypatch.setattr(flags, "_monotonic", lambda: now)
    assert ask().json["reason"] == "SPLIT"
    with stores.control.session() as session:
        session.exec(update(Experiment).values(status="stopped"))
    assert ask().json["reason"] == "SPLIT"
    monkeypatch.setattr(flags, "_monotonic", lambda: now + FRESH_SECONDS + 0.1)
    assert ask().json["reason"] == "DISABLED"


def test_pages_of_allowed_origins_may_evaluate_and_read_the_etag(client: KeyedClient, run: Draft) -> None:
    run()
    client.patch("/v1/project", json={"allowed_origins": ["https://shop.example.com"]})
    page = {"Origin": "https://shop.example.com"}
    asked = client.open(FLAGS, method="OPTIONS", headers=page)
    assert asked.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert {"If-None-Match", "X-API-Key"} <= set(asked.headers["Access-Control-Allow-Headers"].split(", "))
    answer = client.post(FLAGS, json={"context": {"targetingKey": "u1"}}, headers=page)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    elsewhere = client.post(FLAGS, json={"context": {}}, headers={"Origin": "https://other.example.com"})
    assert "Access-Control-Allow-Origin" not in elsewhere.headers
