"""A client that openapi-python-client makes from the committed description, unmodified, against a real server."""

from __future__ import annotations

import datetime as dt
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.server import BOOTSTRAP_KEY, Server
from tests.openapi_snapshot import SNAPSHOT


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Generate the client and return what imports its modules; what cannot be generated is a fault."""
    plain = tmp_path / "plain.yml"
    plain.write_text("post_hooks: []\n")
    ended = subprocess.run(
        [
            sys.executable, "-m", "openapi_python_client", "generate", "--path", SNAPSHOT, "--config", plain,
            "--output-path", tmp_path / "made_from_description", "--meta", "none", "--fail-on-warning",
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: importlib.import_module(f"made_from_description.{name}")


def test_a_generated_client_runs_an_experiment_and_reads_a_refusal(
    made: Callable[[str], Any], start_server: Callable[..., Server]
) -> None:
    server = start_server()
    shapes = made("models")

    def call(route: str, *path: str, **body: Any) -> Any:
        with made("client").AuthenticatedClient(base_url=server.url, token=BOOTSTRAP_KEY) as client:
            return made(f"api.{route}").sync(*path, client=client, **body)

    defined = call("catalog.write_definition", "add_to_cart", body=shapes.DefinitionRequest())
    assert defined.name == "add_to_cart"
    arms = [shapes.VariantRequest(key=key) for key in ("control", "treatment")]
    alone = shapes.ExperimentRequest(key="cart", primary_metric="add_to_cart", variants=arms[:1])
    refused = call("experiments.make_experiment", body=alone)
    assert (refused.status, [fault.pointer for fault in refused.errors]) == (422, ["/variants"])
    design = shapes.ExperimentRequest(key="cart", primary_metric="add_to_cart", variants=arms)
    assert call("experiments.make_experiment", body=design).status == "draft"
    assert call("experiments.start_experiment", "cart").status == "running"

    flag = shapes.EvaluationBody(context=shapes.EvaluationBodyContext.from_dict({"targetingKey": "u1"}))
    variant = call("assignment.evaluate_flag", "cart", body=flag).variant
    seen = shapes.Exposure(experiment="cart", variant=variant, anonymous_id="u1")
    carted = shapes.Event(name="add_to_cart", anonymous_id="u1", timestamp=dt.datetime.now(dt.UTC))
    assert call("ingest.store_exposures", body=shapes.ExposuresBody(exposures=[seen])).accepted == 1
    assert call("ingest.store_events", body=shapes.EventsBody(events=[carted, carted])).accepted == 2

    found = call("experiments.read_results", "cart")
    assert found.exposed_so_far.to_dict() == {"control": 0, "treatment": 0} | {variant: 1}
    assert [arm.variant for arm in found.metrics[0].variants] == ["control", "treatment"]
    assert found.decision.action == "continue"
