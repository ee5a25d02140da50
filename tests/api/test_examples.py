"""Every route that takes a body shows one that it takes, on a service that knows nothing."""

from __future__ import annotations

from typing import Any

from optimizer.api._examples import EXAMPLES
from tests.conftest import Clock, KeyedClient
from tests.fixtures.described import description

NAMED = {  # what stands in an address; elsewhere the experiment
    "write_definition": "purchase",
    "write_metric": "carts",
    "put_holdout": "always",
    "label_past": "sticky-bar",
    "write_destination": "meta",
    "write_rule": "add_to_cart",
    "write_segment": "carted-not-bought",
}


def routes() -> dict[str, tuple[str, str, Any]]:
    return {
        operation["operationId"]: (method, path, operation["requestBody"]["content"]["application/json"]["example"])
        for path, operations in description()["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }


def test_every_example_is_taken_after_those_before_it(client: KeyedClient, clock: Clock) -> None:
    found = routes()
    assert found.keys() == EXAMPLES.keys()
    for name in EXAMPLES:
        method, path, example = found[name]
        address = path.replace("{key}", NAMED.get(name, "bigger-button")).replace("{name}", NAMED.get(name, ""))
        clock.forward(seconds=1)
        answer = client.open(address, method=method.upper(), json=example)
        assert answer.status_code in {200, 201, 202, 204}, f"{name}: {answer.text}"
        assert not (answer.json or {}).get("rejected"), f"{name}: {answer.text}"
