from __future__ import annotations

from optimizer.experiments.namespaces import places
from tests.conftest import Clock, KeyedClient
from tests.experiments.conftest import Draft


def part(start: float, end: float, name: str = "checkout") -> dict[str, object]:
    return {"name": name, "from": start, "to": end}


def test_running_experiments_never_share_a_part_of_a_namespace(client: KeyedClient, run: Draft, clock: Clock) -> None:
    assert run("first", namespace=part(0.2, 0.5)).status_code == 200
    refused = run("second", namespace=part(0.4, 0.6))
    assert refused.status_code == 409
    assert "`first`" in refused.json["detail"]
    assert "0 to 0.2, 0.5 to 1" in refused.json["detail"]
    assert run("third", namespace=part(0.5, 0.75)).status_code == 200  # they may touch
    assert run("elsewhere", namespace=part(0.4, 0.6, "search")).status_code == 200
    assert client.get("/v1/namespaces").json["data"][0] == {
        "name": "checkout",
        "unit": "user",
        "occupied": [
            {"experiment": "first", "from": 0.2, "to": 0.5},
            {"experiment": "third", "from": 0.5, "to": 0.75},
        ],
        "free": [{"from": 0.0, "to": 0.2}, {"from": 0.75, "to": 1.0}],
    }
    clock.forward(days=1)
    client.post("/v1/experiments/first/stop")
    assert client.post("/v1/experiments/second/start").status_code == 409  # now it is the third's
    client.patch("/v1/experiments/second", json={"namespace": part(0.0, 0.5)})
    assert client.post("/v1/experiments/second/start").status_code == 200


def test_other_units_would_not_exclude_each_other(run: Draft) -> None:
    run("first", namespace=part(0, 0.5))
    refused = run("second", namespace=part(0.5, 1), unit="session")
    assert refused.status_code == 409
    assert "user" in refused.json["detail"]


def test_a_place_depends_on_the_namespace_alone() -> None:
    assert places(1, "checkout").of("u:1") == places(1, "checkout").of("u:1")
    assert places(1, "checkout").of("u:1") != places(1, "search").of("u:1")
    assert places(1, "checkout").of("u:1") != places(2, "checkout").of("u:1")
