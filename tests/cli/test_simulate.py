"""What is planted in simulated shops is found, and what only looks like it is not."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from optimizer.cli._recovery import Summary, score_shop, summarise
from optimizer.cli.main import group
from optimizer.sandbox.shop import ShopDesign

pytestmark = pytest.mark.xdist_group("simulate")
SHOPS = 20
# Lifts in one shop of 400 000 visitors, seed 0: what the intervals of small ones ought to cover.
REFERENCE = {"demo_video": 2.081, "store_finder": 2.061, "size_guide": 1.917, "review_read": 1.512}


@pytest.fixture(scope="module")
def summary() -> Summary:
    design = ShopDesign(visitors=8_000)
    return summarise([score_shop(design, seed) for seed in range(1, SHOPS + 1)], REFERENCE)


def test_causes_and_honest_predictors_are_promoted(summary: Summary) -> None:
    assert min(summary.promoted[kind] for kind in ("cause", "correlate", "duplicate", "simpson")) >= 0.95


def test_noise_artefacts_and_funnel_steps_are_not(summary: Summary) -> None:
    assert summary.promoted["noise"] <= 0.05
    assert summary.promoted["artefact"] == 0
    assert summary.promoted["funnel_step"] == summary.promoted["everybody"] == 0
    assert summary.false_share <= 0.05


def test_only_one_of_three_names_for_one_intent_is_promoted(summary: Summary) -> None:
    assert summary.several_duplicates == 0
    assert summary.promoted["duplicate"] >= 0.95


def test_turned_lifts_are_flagged(summary: Summary) -> None:
    assert summary.flagged >= 0.95


def test_intervals_cover(summary: Summary) -> None:
    assert 0.90 <= summary.coverage <= 0.99  # of 160
    assert min(summary.coverages.values()) >= 0.8  # of 20 each: 15 or fewer at 95% has a chance of .03%


def test_values_hold_in_later_weeks(summary: Summary) -> None:
    assert 0.9 <= summary.slope <= 1.1
    assert summary.slopes_inside >= 0.8
    assert 0.95 <= summary.ratio <= 1.05


def test_a_naive_table_promotes_all_that_misleads(summary: Summary) -> None:
    assert min(summary.promoted_naively[kind] for kind in ("noise", "artefact", "funnel_step")) >= 0.9
    assert summary.several_duplicates_naively == 1


def test_the_command_prints_the_same() -> None:
    options = ["simulate", "--shops", "1", "--visitors", "2000", "--reference", "3000"]
    shown = CliRunner().invoke(group, options)
    assert shown.exit_code == 0, shown.output
    assert "artefact" in shown.output
    answer = CliRunner().invoke(group, [*options, "--json"])
    assert json.loads(answer.stdout)["promoted"].keys() == json.loads(answer.stdout)["promoted_naively"].keys()
