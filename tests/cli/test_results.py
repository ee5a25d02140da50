from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer.app import close_app, create_app
from optimizer.catalog.keys import create_key
from optimizer.catalog.projects import ensure_default_project
from optimizer.errors import ConfigurationError, NotFoundError
from optimizer.settings import Settings
from optimizer.storage.stores import Stores
from optimizer.storage.tables.base import utc_now
from tests.cli.test_analyse import run
from tests.conftest import SECRET, KeyedClient
from tests.fixtures.server import BOOTSTRAP_KEY, Server


def test_a_running_service_is_read_over_http(finished_server: Server, tmp_path: Path) -> None:
    there = ["--url", finished_server.url, "--key", BOOTSTRAP_KEY]
    html, png = tmp_path / "report.html", tmp_path / "forest.png"
    done = run("results", "pdp-cta", *there, "--html", str(html), "--png", str(png))
    assert done.exit_code == 0
    shown = done.output
    assert shown.index("Ship treatment") < shown.index("✓ srm") < shown.index("relative effect")
    assert "+50.0%" in shown
    assert "&lt;i&gt;Button" in html.read_text(encoding="utf-8")
    assert png.read_bytes().startswith(b"\x89PNG")
    result = json.loads(run("results", "pdp-cta", *there, "--format", "json").output)
    assert result["decision"]["action"] == "ship"
    [row] = csv.DictReader(io.StringIO(run("results", "pdp-cta", *there, "--format", "csv").output))
    assert float(row["relative"]) == result["metrics"][0]["comparisons"][0]["relative"]
    with pytest.raises(NotFoundError):
        run("results", "nothing", *there)
    plan = run("plan", "add_to_cart", *there)
    assert "37.500%" in plan.output


def test_who_reads_only_the_first_lines_gets_the_files(finished_server: Server, tmp_path: Path) -> None:
    there, html = ["--url", finished_server.url, "--key", BOOTSTRAP_KEY], tmp_path / "report.html"
    reader, writer = os.pipe()
    os.close(reader)  # as `head` does once it has enough
    command = [sys.executable, "-m", "optimizer.cli.main", "results", "pdp-cta", *there, "--html", str(html)]
    subprocess.run(command, stdout=writer, stderr=subprocess.DEVNULL, timeout=60, check=False)
    os.close(writer)
    assert "Ship treatment" in html.read_text(encoding="utf-8")


def test_a_folder_in_use_points_to_its_service(finished_server: Server) -> None:
    with pytest.raises(ConfigurationError, match=r"in use by process \d+.*--url URL --key KEY"):
        run("results", "pdp-cta", "--data-dir", str(finished_server.data_dir))


def test_a_folder_that_nobody_uses_is_read(
    settings: Settings, stores: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = create_app(settings, stores)
    with stores.control.session() as session:
        _, key = create_key(session, ensure_default_project(session).id or 0, "admin", now=utc_now())
    client = KeyedClient(app.test_client(), key)
    client.post("/v1/events", json={"events": [{"name": "cart", "user_id": "u"}, {"name": "seen", "user_id": "v"}]})
    body = {"key": "one", "variants": [{"key": "a"}, {"key": "b"}], "primary_metric": "cart"}
    assert client.post("/v1/experiments", json=body).status_code == 201
    assert client.post("/v1/experiments/one/start").status_code == 200
    close_app(app)
    monkeypatch.setenv("OPTIMIZER_SECRET_KEY", SECRET)
    folder, html = ["--data-dir", str(tmp_path)], tmp_path / "report.html"
    assert "Let it run" in run("results", "one", *folder, "--html", str(html)).output
    assert "Let it run" in html.read_text(encoding="utf-8")
    assert run("results", "one", *folder, "--format", "csv").output.startswith("metric,")
    assert json.loads(run("plan", "cart", *folder, "--format", "json").output)["metrics"][0]["baseline"] == 0.5
    with pytest.raises(NotFoundError):
        run("results", "one", *folder, "--project", "other")
