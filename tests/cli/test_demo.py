"""The demo, as a newcomer runs it: real processes, real input, off a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from optimizer.cli.demo import show

Run = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What it printed and the report that it kept."""
    folder = tmp_path_factory.mktemp("demo")
    command: list[str | Path] = [sys.executable, "-m", "optimizer.cli.main", "demo", "--data-dir", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout, json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def report(run: Run) -> dict[str, Any]:
    return run[1]


@pytest.mark.xdist_group("demo")
class TestTheReport:
    def test_it_reproduces_the_published_effects(self, report: dict[str, Any]) -> None:
        found = {(one["email"], one["metric"]): one for one in report["experiment"]["comparisons"]}
        visit, conversion = found["mens_email", "visit"], found["mens_email", "conversion"]
        assert visit["absolute"] == pytest.approx(0.076590, abs=5e-7)
        assert visit["absolute_interval"] == pytest.approx([0.069954, 0.083226], abs=5e-7)
        assert conversion["absolute"] == pytest.approx(0.006805, abs=5e-7)
        assert conversion["absolute_interval"] == pytest.approx([0.005000, 0.008610], abs=5e-7)
        assert {one["decision"] for one in found.values()} == {"ship"}
        assert len(found) == 4

    def test_every_event_is_imported_and_the_funnel_is_the_published_one(self, report: dict[str, Any]) -> None:
        imported = report["import"]
        assert (imported["accepted"], imported["duplicates"], imported["rejected"]) == (31_106, 0, 0)
        assert report["funnel"]["unlimited"] == [598, 517, 429, 329, 222, 114]
        assert report["funnel"]["within_24_hours"] == [598, 482, 324, 169, 69, 16]
        assert "consent" in imported["simulated"]

    def test_both_platforms_counted_what_was_sent_once(self, report: dict[str, Any]) -> None:
        feedback = report["feedback"]
        sent = {row["platform"]: row["sent"] for row in feedback["destinations"]}
        assert sent == feedback["counted_by_platform"]
        assert all(sent.values())
        assert feedback["sent_more_than_once"] == 0
        assert [row["sent_again"] for row in feedback["destinations"]] == [0, 0]
        assert feedback["checks"] == {"google": True, "meta": True}
        assert len(feedback["policy"]) == 18

    def test_the_ranking_and_the_segment_are_not_empty(self, report: dict[str, Any]) -> None:
        ranked = report["signals"]["signals"]
        assert [one["event"] for one in ranked[:2]] == report["feedback"]["events"]
        assert ranked == sorted(ranked, key=lambda one: -one["lift"])
        segment = report["segment"]
        assert segment["fitting"] > segment["members"] > 0
        assert all(one["items"] for one in segment["examples"])

    def test_off_a_terminal_it_prints_words_and_ends(self, run: Run) -> None:
        for question in (
            "Which experiment",
            "Where are people lost",
            "What predicts",
            "ad platforms learn",
            "bring back",
        ):
            assert question in run[0]
        assert "+0.076590" in run[0]
        assert "example.com" not in run[0]

    def test_as_json_it_prints_the_report_alone(
        self, report: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        show(report, as_json=True)
        assert json.loads(capsys.readouterr().out) == report
