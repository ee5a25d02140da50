"""Plans against the published reference sizes, statsmodels, and each other."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower

from optimizer.core.proxies.assessment import Assessment
from optimizer.core.stats import sizes, stopping
from optimizer.core.stats.group_sequential import crossing
from optimizer.errors import InvalidInputError
from optimizer.experiments.planning import sizing
from optimizer.experiments.planning.measured import Definition, Measured
from optimizer.experiments.planning.past import Past
from optimizer.experiments.planning.service import plan
from optimizer.experiments.planning.shapes import PlannedTest, PlanRequest
from optimizer.experiments.planning.sizing import Level

BASELINES = {"purchase": 0.02, "add_to_cart": 0.30}


def ask(**changes: Any) -> PlanRequest:
    return PlanRequest(**{"goal": "purchase", "proxies": ["add_to_cart"], "baselines": BASELINES, **changes})


def always(found: Assessment) -> Past:
    def judge(proxy: str, goal: str, units: float) -> Assessment:
        assert (proxy, goal) == ("add_to_cart", "purchase")
        assert units > 0
        return found

    return judge


def goal_of(planned: PlannedTest) -> int:
    return planned.metrics[0].visitors


def test_the_reference_plan() -> None:
    answer = plan(ask(daily_visitors=1500))
    goal, proxy = answer.metrics
    assert (goal.visitors_per_variant, goal.visitors, goal.role) == (80_679, 161_358, "goal")
    assert (proxy.visitors_per_variant, proxy.role, proxy.speedup) == (3_760, "proxy", 21.46)
    assert (goal.days, proxy.days) == (112, 7)
    assert goal.proxy is None
    assert proxy.proxy is not None
    assert (proxy.proxy.effect_basis, proxy.proxy.quality) == ("assumed_equal", None)
    assert proxy.proxy.visitors_for_goal_effect == 3_760
    assert answer.recommended.metric == "add_to_cart"
    assert "80,679" in answer.recommended.reason
    sizes = {point.relative_mde: point.visitors_per_variant for point in answer.curve}
    assert sizes[0.1] == 80_679
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    power = {point.visitors: point.power for point in goal.power_curve}
    assert power[161_358] == pytest.approx(0.8, abs=1e-4)
    weeks = [point.relative_mde for point in goal.detectable if point.relative_mde is not None]
    assert weeks == sorted(weeks, reverse=True)
    assert len(weeks) == 9


def test_the_case_that_the_field_quotes() -> None:
    """About 10 000 visitors a variant on purchases and 2 000 on add_to_cart (assumptions: docs/planning.md)."""
    answer = plan(ask(baselines={"purchase": 0.03, "add_to_cart": 0.135}, relative_mde=0.24))
    assert [metric.visitors_per_variant for metric in answer.metrics] == pytest.approx([10_000, 2_000], rel=0.1)


def test_a_sequential_plan_costs_more_at_most_but_usually_stops_earlier() -> None:
    [fixed, _], [sequential, _] = plan(ask()).metrics, plan(ask(method="sequential", daily_visitors=1500)).metrics
    found = sequential.sequential
    assert found is not None
    assert sequential.visitors_per_variant > fixed.visitors_per_variant
    assert found.power_at_last_look == pytest.approx(0.8, abs=0.001)
    assert found.simulated_power >= 0.8
    assert found.expected_visitors_per_variant < 0.6 * sequential.visitors_per_variant
    assert found.p90_visitors_per_variant <= sequential.visitors_per_variant
    assert found.expected_days is not None
    assert sequential.days is not None
    assert found.expected_days < sequential.days
    assert plan(ask(method="sequential")) == plan(ask(method="sequential"))


def test_planned_looks_cost_little_and_stop_early() -> None:
    [fixed, _], [looks, _] = plan(ask()).metrics, plan(ask(method="group_sequential", looks=5)).metrics
    # Jennison and Turnbull's inflation for five O'Brien-Fleming-type looks is near 1.03, for Pocock near 1.23.
    assert looks.visitors / fixed.visitors == pytest.approx(1.025, abs=0.01)
    pocock = plan(ask(method="group_sequential", looks=5, spending="pocock"))
    assert goal_of(pocock) / fixed.visitors == pytest.approx(1.22, abs=0.03)
    assert looks.sequential is not None
    assert looks.sequential.power_at_last_look is None
    assert looks.sequential.simulated_power == pytest.approx(0.8, abs=0.001)
    assert looks.sequential.expected_visitors_per_variant < fixed.visitors_per_variant


def test_a_bayesian_plan_waits_for_a_loss_it_can_take() -> None:
    answer = plan(ask(method="bayesian", accepted_loss_relative=0.005))
    goal = answer.metrics[0]
    assert goal.bayesian is not None
    assert goal.bayesian.relative == 0.005
    assert goal.bayesian.absolute == pytest.approx(0.0001)
    assert goal.bayesian.chance == pytest.approx(0.8, abs=1e-3)
    rng = np.random.default_rng(5)
    rates = [rng.binomial(goal.arms[0], rate, 4000) / goal.arms[0] for rate in (0.02, 0.022)]
    error = np.sqrt(sum(rate * (1 - rate) for rate in rates) / goal.arms[0])
    z = (rates[1] - rates[0]) / error
    loss = error * (stats.norm.pdf(z) - z * stats.norm.sf(z))
    assert float(np.mean(loss < 0.0001)) == pytest.approx(0.8, abs=0.03)
    assert goal_of(plan(ask(method="bayesian", accepted_loss_relative=0.001))) > goal.visitors
    assert any("no guarantee" in line for line in answer.assumptions)


def test_means_are_planned_by_their_standard_deviation_as_statsmodels_does() -> None:
    asked = ask(goal="revenue", proxies=[], baselines={"revenue": 4.0}, standard_deviations={"revenue": 30.0})
    [found] = plan(asked).metrics
    theirs = NormalIndPower().solve_power(effect_size=0.4 / 30, alpha=0.05, power=0.8)
    assert (found.kind, found.visitors_per_variant) == ("mean", math.ceil(theirs))


def test_unequal_arms_cost_what_statsmodels_says() -> None:
    asked = ask(
        goal="revenue", proxies=[], weights=[3, 1], baselines={"revenue": 4.0}, standard_deviations={"revenue": 30.0}
    )
    [found] = plan(asked).metrics
    theirs = NormalIndPower().solve_power(effect_size=0.4 / 30, alpha=0.05, power=0.8, ratio=1 / 3)
    assert found.arms == pytest.approx([theirs, theirs / 3], rel=1e-4)
    assert found.visitors == sum(found.arms)


def test_more_arms_share_alpha() -> None:
    two, three = plan(ask()).metrics[0], plan(ask(variants=3)).metrics[0]
    assert three.visitors_per_variant > two.visitors_per_variant
    assert three.visitors == 3 * three.visitors_per_variant
    z = stats.norm.isf(0.0125) + stats.norm.ppf(0.8)
    by_hand = z**2 * (0.02 * 0.98 + 0.022 * 0.978) / 0.002**2
    assert three.visitors_per_variant == math.ceil(by_hand)


def test_guardrails_raise_everybodys_power_and_may_set_the_size() -> None:
    rails = [{"metric": "checkout", "margin_relative": 0.02}, {"metric": "refund", "margin_relative": 0.05}]
    baselines = {**BASELINES, "checkout": 0.5, "refund": 0.01}
    answer = plan(ask(guardrails=rails, baselines=baselines, daily_visitors=1e5))
    by_name = {metric.metric: metric for metric in answer.metrics}
    assert {metric.power for metric in answer.metrics} == {round(1 - 0.2 / 3, 6)}
    z = stats.norm.isf(0.025) + stats.norm.ppf(1 - 0.2 / 3)
    by_hand = z**2 * 0.25 * (1 + 0.98**2) / (0.02 * 0.5) ** 2
    assert by_name["checkout"].visitors_per_variant == math.ceil(by_hand)
    assert by_name["checkout"].relative_mde == -0.02
    assert answer.recommended.limited_by == "refund"
    assert answer.recommended.planned_visitors == by_name["refund"].visitors
    less = plan(ask(guardrails=[{**rails[1], "direction": "decrease"}], baselines=baselines)).metrics[-1]
    z = stats.norm.isf(0.025) + stats.norm.ppf(0.9)
    assert less.visitors_per_variant == math.ceil(z**2 * 0.0099 * (1 + 1.05**2) / 0.0005**2)
    assert less.relative_mde == 0.05


def test_weights_alone_say_how_many_arms_there_are() -> None:
    assert len(plan(ask(weights=[2, 1, 1])).metrics[0].arms) == 3
    with pytest.raises(InvalidInputError, match="one weight per variant"):
        plan(ask(weights=[2, 1, 1], variants=2))


def test_what_is_not_given_is_measured_and_said() -> None:
    levels = {name: Level(rate, rate * (1 - rate), rate=True) for name, rate in BASELINES.items()}
    answer = plan(ask(baselines=None), Measured(levels, daily_visitors=1500.0))
    assert answer.metrics[0].visitors_per_variant == 80_679
    assert (answer.metrics[0].days, answer.metrics[0].basis) == (112, "measured")
    assert any("Measured" in line and "purchase" in line for line in answer.assumptions)


def test_the_conversion_window_is_waited_for() -> None:
    days = plan(ask(daily_visitors=1500)).metrics[0].days
    waited = plan(ask(daily_visitors=1500, windows_hours={"Purchase": 240})).metrics[0]
    assert days is not None
    assert (waited.days, waited.window_days) == (days + 10, 10.0)
    stored = Measured(definitions={"purchase": Definition(mean=False, window_hours=60.0, less_is_better=False)})
    assert plan(ask(daily_visitors=1500), stored).metrics[0].days == days + 3


def test_a_short_goal_test_is_recommended_over_any_proxy() -> None:
    assert plan(ask(daily_visitors=20_000)).recommended.metric == "purchase"
    assert plan(ask(proxies=[])).recommended.metric == "purchase"


def test_past_experiments_translate_the_effect() -> None:
    """On a proxy that scatters around its line more visitors are needed, and with much scatter none are enough."""
    line = 5.0  # the proxy moves five times as much as the goal
    for scatter, enough in ((0.0, True), (1e-6, True), (1e-3, False)):
        goal = 1e-6
        covariance = np.array([[line**2 * goal + scatter, line * goal], [line * goal, goal]])
        past = Assessment("ok", "Learned.", 12, 12, covariance=covariance, quality=0.9)
        [_, proxy] = plan(ask(), past=always(past)).metrics
        note = proxy.proxy
        assert note is not None
        assert note.effect_basis == "past_experiments"
        assert note.quality == 0.9
        assert proxy.visitors_per_variant == 3_760  # at its own effect, whatever the goal's needs
        assert (note.visitors_for_goal_effect is not None) is enough
        if scatter == 0:
            z = stats.norm.isf(0.025) + stats.norm.ppf(0.8)
            assert note.visitors_for_goal_effect == math.ceil(2 * 0.21 * z**2 / (line * 0.002) ** 2)
    unsure = Assessment("not_enough_evidence", "Only 3 past experiments.", 3, 3)
    [_, proxy] = plan(ask(), past=always(unsure)).metrics
    assert proxy.proxy is not None
    assert proxy.proxy.effect_basis == "assumed_equal"
    assert "Only 3" in proxy.proxy.warning


def test_proxies_are_ranked_by_time_saved_and_trust_together() -> None:
    """A fast proxy that says little of the goal comes after a slower one that says much; an assumption comes last."""
    goal = 1e-6
    lines = {"add_to_cart": (8.0, 0.2), "begin_checkout": (4.0, 0.9)}

    def past(proxy: str, goal_name: str, units: float) -> Assessment | None:
        del goal_name, units
        if proxy not in lines:
            return None
        line, quality = lines[proxy]
        covariance = np.array([[line**2 * goal, line * goal], [line * goal, goal]])
        return Assessment("ok", "Learned.", 12, 12, covariance=covariance, quality=quality)

    asked = ask(
        proxies=["wishlist", "add_to_cart", "begin_checkout"],
        baselines={"purchase": 0.02, "add_to_cart": 0.3, "begin_checkout": 0.15, "wishlist": 0.5},
    )
    planned = plan(asked, past=past)
    notes = {metric.metric: metric.proxy for metric in planned.metrics if metric.proxy}
    assert {name: note.rank for name, note in notes.items()} == {
        "begin_checkout": 1,
        "add_to_cart": 2,
        "wishlist": 3,
    }
    goal_visitors = planned.metrics[0].visitors
    for note in notes.values():
        assert note.visitors_for_goal_effect is not None
        assert note.time_saved == pytest.approx(1 - note.visitors_for_goal_effect * 2 / goal_visitors, abs=1e-3)
    assert (notes["add_to_cart"].time_saved or 0) > (notes["begin_checkout"].time_saved or 0)
    assert planned.recommended.metric == "begin_checkout"
    assert "quality 0.90" in planned.recommended.reason


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"baselines": {"purchase": 0.02}}, "/baselines/add_to_cart"),
        ({"baselines": None}, "/baselines/purchase"),
        ({"baselines": {"purchase": 2.0, "add_to_cart": 0.3}}, "/baselines/purchase"),
        ({"baselines": {"purchase": 1e-12, "add_to_cart": 0.3}}, "/baselines/purchase"),
        ({"standard_deviations": {"purchase": 1e-14}}, "/standard_deviations/purchase"),
        ({"standard_deviations": {"purchase": 1e14}}, "/standard_deviations/purchase"),
        ({"relative_mde": 3.0}, "/relative_mde"),
        ({"relative_mde": 0.0}, "/relative_mde"),
        ({"proxies": ["Purchase"]}, "/proxies/0"),
        ({"weights": [1, 1, 1], "variants": 2}, "/weights"),
        ({"weights": [1, 1e-9]}, "/weights"),
        ({"guardrails": [{"metric": "refund"}]}, "/baselines/refund"),
        ({"power": 0.05}, "/power"),
    ],
)
def test_what_cannot_be_planned_names_its_field(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        plan(ask(**changes))
    assert pointer in [problem.pointer for problem in refused.value.problems]


def test_a_misspelt_baseline_and_one_that_cannot_be_used_are_explained() -> None:
    with pytest.raises(InvalidInputError, match="did you mean it with purchse"):
        plan(ask(proxies=[], baselines={"purchse": 0.02}))
    with pytest.raises(InvalidInputError, match="everybody did it"):
        plan(
            ask(proxies=[], baselines=None), Measured(unusable={"purchase": "In the last 30 days everybody did it."})
        )


def test_a_monitored_plan_waits_for_its_gate() -> None:
    """No verdict comes before the smaller arm expects 25 conversions, so no smaller plan has any power."""
    answer = plan(ask(method="sequential", proxies=[], relative_mde=40.0, daily_visitors=1500))
    [goal] = answer.metrics
    assert goal.arms == [1250, 1250]
    assert goal.sequential is not None
    assert goal.sequential.simulated_power > 0.99
    assert [point.power for point in goal.power_curve if point.visitors < 2500] == [0.0] * 8
    assert not any("lower bound" in line for line in answer.assumptions)


def test_sizes_that_the_formula_cannot_be_trusted_with_are_called_a_lower_bound() -> None:
    answer = plan(ask(relative_mde=1.5))
    lines = [line for line in answer.assumptions if "lower bound" in line]
    assert [line.partition(":")[0] for line in lines] == ["add_to_cart"]


def test_what_takes_years_is_called_not_measurable() -> None:
    answer = plan(ask(proxies=[], relative_mde=0.01, daily_visitors=100))
    assert "not measurable at this traffic" in answer.recommended.reason
    assert "not measurable" not in plan(ask(proxies=[], daily_visitors=1500)).recommended.reason


@pytest.mark.parametrize("method", ["fixed", "sequential", "group_sequential", "bayesian"])
@pytest.mark.parametrize(
    "changes",
    [
        {"baselines": {"purchase": 1e-9, "add_to_cart": 1 - 1e-9}, "relative_mde": -0.99},
        {"relative_mde": 1e-4, "power": 1 - 1e-12, "alpha": 1e-300},
        {"power": 1e-9, "alpha": 1 - 1e-9},
        {"variants": 20, "weights": [1, *[1e-5] * 19], "daily_visitors": 1e-3},
        {"daily_visitors": 1e12, "relative_mde": 0.5},
        {"standard_deviations": {"purchase": 1e6}, "relative_mde": 100.0, "proxies": []},
    ],
)
def test_extreme_plans_are_answered_or_refused_never_broken(method: str, changes: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidInputError):
        answer = plan(ask(method=method, **changes))
        json.dumps(answer.model_dump(mode="python"), allow_nan=False)


def test_many_metrics_and_many_looks_are_integrated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan is answered while somebody waits: what does not depend on the metric is not computed for each."""
    asked = []

    def counted(*given: Any) -> Any:
        asked.append(given)
        return crossing(*given)

    for module in (sizes, sizing, stopping):
        monkeypatch.setattr(module, "crossing", counted)
    names = [f"step_{number}" for number in range(8)]
    baselines = {"purchase": 0.021, **dict.fromkeys(names, 0.31)}
    plan(ask(method="group_sequential", looks=7, proxies=names, baselines=baselines, daily_visitors=1500, alpha=0.04))
    assert len(asked) < 100
