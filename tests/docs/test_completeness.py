"""What is not documented does not exist: settings, routes, jobs, destinations, commands, verdicts, mapped names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from click.testing import CliRunner

from optimizer.api._auth import NEEDED_SCOPE
from optimizer.cli.main import group
from optimizer.feedback.contract import destinations
from optimizer.ingest import ecommerce
from optimizer.ingest.wire import wire_formats
from optimizer.jobs.schedule import discover_jobs
from optimizer.settings import Settings

DOCS = {path.stem: path.read_text(encoding="utf-8") for path in Path("docs").glob("*.md")}
EVERYTHING = "\n".join([Path("README.md").read_text(encoding="utf-8"), *DOCS.values()])


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    plain = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    default = "–" if field.default in {None, ""} else f"`{plain}`"
    assert f"| `OPTIMIZER_{name.upper()}` | {default} | {field.description} |" in DOCS["operations"]


@pytest.mark.parametrize("name", discover_jobs())
def test_every_job_is_documented(name: str) -> None:
    assert f"| `{name}` |" in DOCS["operations"]


@pytest.mark.parametrize("platform", destinations())
def test_every_destination_is_documented_with_its_fields(platform: str) -> None:
    [row] = [line for line in DOCS["feedback"].splitlines() if line.startswith(f"| `{platform}` |")]
    kind = destinations()[platform]
    for field in (*kind.Account.model_fields, *kind.Credentials.model_fields):
        assert f"`{field}`" in row


def test_every_command_is_documented_and_has_examples() -> None:
    for name in group.list_commands(None):  # type: ignore[arg-type]
        assert f"| `optimizer {name}` |" in DOCS["operations"]
        shown = CliRunner().invoke(group, [name, "--help"]).output
        assert "Examples:" in shown, name


def test_every_mapped_name_is_in_the_table() -> None:
    rows = re.findall(r"^\| (Segment|GA4) \| `(\w+)` \| `(\w+)` \|$", DOCS["ingest"], re.MULTILINE)
    mapped = [("Segment", *pair) for pair in ecommerce.SEGMENT.items()] + [
        ("GA4", *pair) for pair in ecommerce.GA4.items()
    ]
    assert rows == mapped


def test_every_route_of_a_foreign_format_is_documented() -> None:
    for wire_format in wire_formats():
        for route in wire_format.routes:
            assert f"{route}`" in DOCS["ingest"], route


def test_every_verdict_is_explained() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path("optimizer/ingest").rglob("*.py"))
    codes = set(re.findall(r'Verdict\(\w+, "(\w+)"', sources))
    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in DOCS["ingest"]} == set()


def test_every_route_says_what_it_is_for_and_which_scope_it_needs(app: APIFlask) -> None:
    paths: dict[str, Any] = app.test_client().get("/openapi.json").json["paths"]  # type: ignore[index]
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/v1/"):
            continue
        view = app.view_functions[rule.endpoint]
        described = paths[re.sub(r"<(\w+)>", r"{\1}", rule.rule)]
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            operation = described[method.lower()]
            assert operation["summary"], rule
            assert operation["security"] == [{"bearer": []}], rule
            scope = getattr(view, NEEDED_SCOPE, "ingest")
            assert f"`{scope}`" in operation["description"], rule


def test_every_capability_has_its_routes_on_a_page() -> None:
    for start in ("events", "exposures", "counts", "batch", "plans", "analyses", "experiments", "metrics", "signals",
                  "insights/funnel", "destinations", "signal-rules", "feedback/policy", "feedback/sync", "deliveries",
                  "feedback/health", "segments", "suppressions", "catalog", "projects", "keys"):  # fmt: skip
        assert f"/v1/{start}" in EVERYTHING, start
