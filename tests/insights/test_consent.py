"""Modelled conversions through the API: apart from observed ones, labelled, refused where made up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.insights.consent_sums import Period, names_without_consent, sums_by_stratum
from optimizer.insights.consent_totals import totals_by_stratum, whole_days
from optimizer.storage.stores import Stores
from tests.conftest import NOON, KeyedClient
from tests.fixtures.plans import Explain

Add = Callable[[list[dict[str, Any]]], None]
DAY = NOON - dt.timedelta(days=5)


def visits(count: int, bought: int, *, source: str, consent: bool | None = True) -> list[dict[str, Any]]:
    """`count` visits of as many people, of whom the first `bought` buy."""
    rows = []
    for place in range(count):
        known = consent is not False
        common = {
            "user_id": f"{source}-{place}" if known else None,
            "unit_id": f"u:{source}-{place}" if known else "",
            "source": source,
            "device": "mobile",
            "consent_analytics": consent,
            "timestamp": DAY,
        }
        rows.append({"name": "page_view", **common})
        if place < bought:
            rows.append({"name": "purchase", **common})
    return rows


def ask(client: KeyedClient, query: str = "goal=purchase") -> dict[str, Any]:
    answer = client.get(f"/v1/insights/consent?{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_each_source_is_scaled_by_its_own_rate(client: KeyedClient, add_events: Add) -> None:
    add_events(visits(900, 180, source="paid") + visits(100, 0, source="paid", consent=False))
    add_events(visits(300, 6, source="social") + visits(700, 0, source="social", consent=False))
    found = ask(client)
    assert (found["status"], found["anchor"]) == ("ok", "page_view")
    assert found["observed"] == {
        "conversions": 186, "conversions_without_consent": 0, "visits": 1200, "visits_without_consent": 800,
        "consented_share": 0.6,
    }  # fmt: skip
    modelled = found["modelled"]
    assert modelled["label"] == "modelled, not observed"
    assert modelled["conversions"] == pytest.approx(20 + 14)
    assert modelled["interval"][0] < 34 < modelled["interval"][1]
    assert [(row["source"], row["modelled"]["conversions"]) for row in found["strata"]] == [
        ("social", pytest.approx(14)),
        ("paid", pytest.approx(20)),
    ]
    assert [one["conversions"] for one in found["sensitivity"]] == pytest.approx([17, 25.5, 34, 42.5])


def test_consent_that_was_never_asked_for_counts_with_those_who_gave_it(client: KeyedClient, add_events: Add) -> None:
    add_events(visits(100, 20, source="paid", consent=None) + visits(50, 0, source="paid", consent=False))
    found = ask(client)
    assert found["observed"]["visits"] == 100
    assert found["modelled"]["conversions"] == pytest.approx(10)


def test_too_little_consent_is_refused(client: KeyedClient, add_events: Add) -> None:
    add_events(visits(290, 100, source="paid") + visits(710, 0, source="paid", consent=False))
    found = ask(client)
    assert found["status"] == "consented_share_too_small"
    assert "29%" in found["reason"]
    assert found["modelled"] is None
    assert found["strata"][0]["modelled"] is None
    assert found["sensitivity"] == []


def test_too_few_conversions_are_refused(client: KeyedClient, add_events: Add) -> None:
    add_events(visits(500, 3, source="paid") + visits(100, 0, source="paid", consent=False))
    found = ask(client)
    assert (found["status"], found["modelled"]) == ("too_few_conversions", None)
    assert "3 conversions" in found["reason"]


def test_nobody_denied_is_a_status(client: KeyedClient, add_events: Add) -> None:
    add_events(visits(500, 30, source="paid"))
    assert ask(client)["status"] == "no_denials"


def test_purchases_that_were_counted_without_consent_are_not_modelled_on_top(
    client: KeyedClient, add_events: Add
) -> None:
    add_events(visits(800, 160, source="paid") + visits(200, 30, source="paid", consent=False))
    found = ask(client)
    assert found["status"] == "counted"
    assert found["observed"]["conversions_without_consent"] == 30
    assert found["check"] == {"observed": 30, "modelled": pytest.approx(40), "ratio": pytest.approx(0.75)}


def test_the_visit_may_be_named_and_the_time_bounded(client: KeyedClient, add_events: Add) -> None:
    rows = visits(800, 160, source="paid") + visits(200, 0, source="paid", consent=False)
    add_events(rows)
    add_events([{**row, "name": "scroll"} for row in rows if row["name"] == "page_view"])
    assert ask(client, "goal=purchase&anchor=scroll")["anchor"] == "scroll"
    later = (DAY + dt.timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    assert ask(client, f"goal=purchase&from={later}")["status"] == "no_denials"  # nobody came in that time
    add_events([
        {**row, "timestamp": DAY + dt.timedelta(days=1)}
        for row in visits(300, 0, source="paid") + visits(60, 0, source="paid", consent=False)
    ])  # fmt: skip
    found = ask(client, f"goal=purchase&from={later}")
    assert (found["status"], found["observed"]["conversions"]) == ("too_few_conversions", 0)


def test_an_empty_project_and_the_only_macro(client: KeyedClient, add_events: Add) -> None:
    answer = client.get("/v1/insights/consent")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/query/goal"
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    assert ask(client, "")["status"] == "no_denials"
    add_events(visits(3, 0, source="paid", consent=False))
    assert ask(client, "")["status"] == "no_denials"  # nothing came with consent to compare it with


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("goal=nothing", 404),
        ("goal=purchase&anchor=nothing", 404),
        ("goal=purchase&from=2026-11-02T00:00:00Z", 422),
        ("goal=purchase&from=2020-01-01T00:00:00Z", 422),
        ("goal=purchase&from=2026-01-01", 422),
        ("goal=purchase&to=0001-01-01T00:00:00Z", 422),
        ("goal=purchase&from=0001-01-01T00:00:00Z&to=0001-01-02T00:00:00Z", 422),
        ("goal=purchase&to=9999-12-31T23:59:59Z&from=9999-12-31T00:00:00Z", 422),
    ],
)
def test_a_wrong_question_is_refused_by_name(query: str, status: int, client: KeyedClient, add_events: Add) -> None:
    add_events(visits(10, 5, source="paid"))
    assert client.get(f"/v1/insights/consent?{query}").status_code == status


def test_thousands_of_sources_stay_readable(client: KeyedClient, add_events: Add) -> None:
    rows = [row for place in range(250) for row in visits(2, 1, source=f"s{place}")]
    rows += [row for place in range(250) for row in visits(1, 0, source=f"s{place}", consent=False)]
    add_events(rows)
    found = ask(client)
    assert (len(found["strata"]), found["strata_left_out"]) == (200, 50)
    assert found["strata"][0]["pooled"]
    assert found["modelled"]["conversions"] == pytest.approx(125)


def count(client: KeyedClient, name: str, visitors: int, dimensions: dict[str, str], day: int = 27) -> None:
    body = {"date": f"2026-10-{day}", "name": name, "visitors": visitors, "dimensions": dimensions}
    answer = client.post("/v1/counts", json={"system": "swetrix", "counts": [body]})
    assert answer.json["accepted"] == 1, answer.json


def test_a_tool_that_counts_everybody_says_how_many_did_not_consent(client: KeyedClient, add_events: Add) -> None:
    add_events(visits(900, 180, source="paid") + visits(300, 6, source="social"))  # all on 27 October
    count(client, "visit", 1_000, {"source": "Paid"})
    count(client, "visit", 1_000, {"source": "social"})
    count(client, "visit", 2_000, {})  # the same people once more, not broken down
    found = ask(client)
    assert (found["basis"], found["anchor"], found["status"]) == ("totals", "visit", "ok")
    assert found["observed"]["visits_without_consent"] == 800
    assert found["modelled"]["conversions"] == pytest.approx(20 + 14)
    assert {(row["source"], row["device"]) for row in found["strata"]} == {("paid", "(all)"), ("social", "(all)")}
    count(client, "purchase", 190, {"source": "paid"})
    counted = ask(client)
    assert (counted["status"], counted["check"]["observed"]) == ("counted", 10)


def test_a_visitor_of_two_days_is_two_of_the_totals(client: KeyedClient, add_events: Add) -> None:
    first = visits(100, 20, source="paid")
    again = [{**row, "timestamp": DAY + dt.timedelta(days=1)} for row in first if row["name"] == "page_view"]
    add_events(first + again)
    for day in (27, 28):
        count(client, "visit", 150, {"source": "paid", "device": "mobile"}, day)
    found = ask(client, "goal=purchase&basis=totals")
    assert (found["observed"]["visits"], found["observed"]["visits_without_consent"]) == (200, 100)
    assert found["modelled"]["conversions"] == pytest.approx(100 * 20 / 200)


def test_totals_are_asked_of_whole_days_and_may_be_missing(client: KeyedClient, add_events: Add) -> None:
    add_events(visits(100, 20, source="paid"))
    count(client, "visit", 150, {"source": "paid"})
    part = ask(client, "goal=purchase&basis=totals&from=2026-10-27T06:00:00Z")
    assert (part["from"], part["status"]) == ("2026-10-28T00:00:00Z", "no_denials")
    assert ask(client, "goal=purchase&basis=events")["status"] == "no_denials"
    hours = ask(client, "goal=purchase&basis=totals&from=2026-10-27T06:00:00Z&to=2026-10-27T18:00:00Z")
    assert hours["status"] == "no_denials"
    assert client.get("/v1/insights/consent?goal=purchase&basis=guess").status_code == 422


def test_every_question_is_one_scan_of_the_period(
    client: KeyedClient, stores: Stores, project_id: int, add_events: Add, explain: Explain
) -> None:
    add_events(visits(300, 30, source="paid") + visits(60, 0, source="paid", consent=False))
    add_events([{"name": "page_view", "user_id": "old", "timestamp": NOON - dt.timedelta(days=300)}])
    counts = [{"date": str(DAY.date()), "name": "visit", "visitors": 400}]
    assert client.post("/v1/counts", json={"system": "plausible", "counts": counts}).status_code == 200
    store, period = stores.events, Period(NOON - dt.timedelta(days=30), NOON)
    questions: dict[str, Callable[[], object]] = {
        "names": lambda: names_without_consent(store, project_id, period),
        "events": lambda: sums_by_stratum(store, project_id, period, "purchase", "page_view"),
        "totals": lambda: totals_by_stratum(store, project_id, whole_days(period), "purchase"),
    }
    for name, question in questions.items():
        [plan] = explain(question)
        assert plan.scans["events"] == 1, name
        assert any("timestamp>=" in condition for condition in plan.filtered), name  # while it reads
        assert not plan.pairwise, name
        assert plan.columns <= {"unit_id", "name", "timestamp", "source", "device", "consent_analytics"}, name
