"""An anonymous visitor who becomes a user is one unit, past events included."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.storage.stores import Stores
from tests.conftest import KeyedClient


def units(stores: Stores) -> dict[str, str]:
    return {row["name"]: row["unit_id"] for row in stores.events.events(1).to_pyarrow().to_pylist()}


def call(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def batch(client: KeyedClient, *calls: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/v1/batch", json={"batch": list(calls)})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def test_segments_identify_makes_a_visitors_earlier_and_later_events_the_users(
    client: KeyedClient, stores: Stores
) -> None:
    batch(client, call("track", event="before", anonymousId="x"), call("track", event="else", anonymousId="y"))
    assert units(stores) == {"before": "a:x", "else": "a:y"}
    batch(client, call("identify", userId="u1", anonymousId="x"), call("track", event="after", anonymousId="x"))
    assert units(stores) == {"before": "u:u1", "identify": "u:u1", "after": "u:u1", "else": "a:y"}


def test_segments_alias_joins_an_anonymous_visitor_and_an_older_user_id(client: KeyedClient, stores: Stores) -> None:
    batch(client, call("track", event="visited", anonymousId="x"), call("track", event="bought", userId="old"))
    answer = batch(client, call("alias", previousId="x", userId="old"), call("alias", previousId="old", userId="new"))
    assert (answer["accepted"], answer["rejected"], answer["warnings"]) == (2, [], [])
    assert units(stores) == {"visited": "u:new", "bought": "u:new"}
    missing = batch(client, call("alias", userId="u"))
    assert missing["rejected"][0]["code"] == "missing_previous_id"


def test_posthogs_identify_and_alias_do_the_same(client: KeyedClient, stores: Stores) -> None:
    def capture(event: str, who: str, **properties: Any) -> dict[str, Any]:
        return {"event": event, "distinct_id": who, "properties": properties}

    captured = [
        capture("before", "x", **{"$process_person_profile": False}),
        capture("$identify", "u1", **{"$anon_distinct_id": "x"}),
        capture("older", "u0"),
        capture("$create_alias", "u1", alias="u0", distinct_id="u1"),
    ]
    assert client.post("/batch/", json={"batch": captured}).json["accepted"] == 4
    assert units(stores) == {"before": "u:u1", "identify": "u:u1", "older": "u:u1"}


def test_the_first_link_of_a_visitor_holds_and_projects_stay_apart(client: KeyedClient, stores: Stores) -> None:
    batch(client, call("track", event="before", anonymousId="x"))
    for user in ("u1", "u2"):
        batch(client, call("track", event=f"as_{user}", userId=user, anonymousId="x"))
    assert units(stores) == {"before": "u:u1", "as_u1": "u:u1", "as_u2": "u:u2"}
    assert stores.events.events(2).count().to_pyarrow().as_py() == 0


def test_exposures_follow_their_unit(client: KeyedClient, stores: Stores) -> None:
    seen = {"experiment": "pdp", "variant": "a", "anonymous_id": "x"}
    assert client.post("/v1/exposures", json={"exposures": [seen]}).json["accepted"] == 1
    batch(client, call("identify", userId="u1", anonymousId="x"))
    [row] = stores.events.exposures(1).to_pyarrow().to_pylist()
    assert row["unit_id"] == "u:u1"


def test_without_analytics_consent_nothing_is_linked(client: KeyedClient, stores: Stores) -> None:
    events = [{"name": "before", "anonymous_id": "x"},
              {"name": "sign_in", "anonymous_id": "x", "user_id": "u1", "consent": {"analytics": False}}]  # fmt: skip
    assert client.post("/v1/events", json={"events": events}).json["accepted"] == 2
    assert units(stores) == {"before": "a:x", "sign_in": ""}
    assert stores.events.table("links").count().to_pyarrow().as_py() == 0


@pytest.mark.parametrize("again", [False, True])
def test_a_link_is_stored_once(client: KeyedClient, stores: Stores, again: bool) -> None:
    for _ in range(1 + again):
        batch(client, call("track", event="e", userId="u1", anonymousId="x"))
    assert stores.events.table("links").count().to_pyarrow().as_py() == 1
