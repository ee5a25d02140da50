from __future__ import annotations

from typing import Any

import pytest

from optimizer.errors import InvalidInputError
from optimizer.experiments.planning import PlanRequest, plan

BASELINES = {"purchase": 0.02, "add_to_cart": 0.30}


def ask(**changes: Any) -> PlanRequest:
    return PlanRequest(**{"goal": "purchase", "proxies": ["add_to_cart"], "baselines": BASELINES, **changes})


def test_the_reference_plan() -> None:
    answer = plan(ask(daily_visitors=1500), {}, None)
    goal, proxy = answer.metrics
    assert (goal.visitors_per_variant, goal.visitors, goal.role) == (80_679, 161_358, "goal")
    assert (proxy.visitors_per_variant, proxy.role, proxy.speedup) == (3_760, "proxy", 21.46)
    assert (goal.days, proxy.days) == (112, 7)
    assert goal.proxy is None
    assert proxy.proxy is not None
    assert (proxy.proxy.effect_basis, proxy.proxy.quality) == ("assumed_equal", None)
    assert answer.recommended.metric == "add_to_cart"
    assert "80,679" in answer.recommended.reason
    sizes = {point.relative_mde: point.visitors_per_variant for point in answer.curve}
    assert sizes[0.1] == 80_679
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


def test_the_case_that_the_field_quotes() -> None:
    """About 10 000 visitors a variant on purchases and 2 000 on add_to_cart (docs/plans.md has the assumptions)."""
    baselines = {"purchase": 0.03, "add_to_cart": 0.135}
    answer = plan(ask(baselines=baselines, relative_mde=0.24), {}, None)
    assert [metric.visitors_per_variant for metric in answer.metrics] == pytest.approx([10_000, 2_000], rel=0.1)


def test_a_sequential_plan_costs_more_at_most_but_usually_stops_earlier() -> None:
    [fixed, _], [sequential, _] = plan(ask(), {}, None).metrics, plan(ask(method="sequential"), {}, None).metrics
    assert sequential.sequential is not None
    assert sequential.visitors_per_variant > fixed.visitors_per_variant
    assert sequential.sequential.power_at_last_look == pytest.approx(0.8, abs=0.001)
    assert sequential.sequential.simulated_power >= 0.8
    assert sequential.sequential.expected_visitors_per_variant < 0.6 * sequential.visitors_per_variant
    assert plan(ask(method="sequential"), {}, None) == plan(ask(method="sequential"), {}, None)


def test_what_is_not_given_is_measured_and_said() -> None:
    answer = plan(ask(baselines=None), BASELINES, 1500.0)
    assert answer.metrics[0].visitors_per_variant == 80_679
    assert answer.metrics[0].days == 112
    assert any("Measured" in line and "purchase" in line for line in answer.assumptions)


def test_a_short_goal_test_is_recommended_over_any_proxy() -> None:
    answer = plan(ask(daily_visitors=20_000), {}, None)
    assert answer.recommended.metric == "purchase"


def test_more_arms_share_alpha() -> None:
    two, three = plan(ask(), {}, None).metrics[0], plan(ask(variants=3), {}, None).metrics[0]
    assert three.visitors_per_variant > two.visitors_per_variant
    assert three.visitors == 3 * three.visitors_per_variant


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"baselines": {"purchase": 0.02}}, "/baselines/add_to_cart"),
        ({"baselines": None}, "/baselines/purchase"),
        ({"relative_mde": 3.0}, "/relative_mde"),
        ({"relative_mde": 0.0}, "/relative_mde"),
        ({"proxies": ["Purchase"]}, "/proxies/0"),
    ],
)
def test_what_cannot_be_planned_names_its_field(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        plan(ask(**changes), {}, None)
    assert pointer in [problem.pointer for problem in refused.value.problems]
