"""Results of experiments beyond the plain comparison: covariates, ratios, methods and dimensions."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats

from tests.conftest import NOON, Clock, KeyedClient
from tests.fixtures.results import DAY, START, Add, column, people, read, run


def test_covariates_adjust_the_figures_and_the_unadjusted_ones_stand_beside(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, primary_metric="orders", method="fixed", planned_visitors=600, covariate_days=7)
    made = people(add_events, add_exposures, 600, lift=0.5)
    clock.forward(days=3)
    [found] = read(shop)["metrics"][0]["comparisons"]
    a, b = made["control"], made["treatment"]
    whole = stats.ttest_ind(column(b, "after"), column(a, "after"), equal_var=False)
    assert found["unadjusted"]["p_value"] == pytest.approx(whole.pvalue)
    # By hand: one θ for both arms, from covariances within arms; with the indicator of any history as a second one.
    covariates = [np.column_stack([column(x, "before"), column(x, "before") > 0]) for x in (a, b)]
    outcomes = [column(x, "after") for x in (a, b)]
    centred_x = np.concatenate([x - x.mean(0) for x in covariates])
    centred_y = np.concatenate([y - y.mean() for y in outcomes])
    theta = np.linalg.lstsq(centred_x, centred_y, rcond=None)[0]
    adjusted = [y - x @ theta for x, y in zip(covariates, outcomes, strict=True)]
    assert found["absolute"] == pytest.approx(adjusted[1].mean() - adjusted[0].mean())
    assert found["p_value"] == pytest.approx(stats.ttest_ind(adjusted[1], adjusted[0], equal_var=False).pvalue)
    assert found["covariate"] == "adjusted"
    assert found["variance_reduction"] > 0.5
    [check] = [check for check in read(shop)["checks"] if check["name"] == "covariate_balance"]
    assert check["passed"]
    assert "orders before exposure" in check["detail"]


def test_a_covariate_that_is_constant_changes_nothing_and_says_so(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, covariate_days=7)
    users = [f"u{number}" for number in range(400)]
    add_exposures(
        [{"experiment": "pdp", "variant": ("control", "treatment")[n % 2], "user_id": u, "timestamp": NOON}
         for n, u in enumerate(users)]
    )  # fmt: skip
    add_events([{"name": "purchase", "user_id": u, "timestamp": NOON + DAY / 24} for u in users[::3]])
    clock.forward(days=1)
    [found] = read(shop)["metrics"][0]["comparisons"]
    assert (found["status"], found["covariate"], found["unadjusted"]) == ("ok", "constant_covariate", None)
    assert "same for every unit" in found["detail"]


def test_a_ratio_is_compared_by_the_delta_method(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, primary_metric="order-value", method="fixed", planned_visitors=600)
    made = people(add_events, add_exposures, 600)
    clock.forward(days=3)
    metric = read(shop)["metrics"][0]
    ratios, variances = [], []
    for rows in made.values():
        top, below = column(rows, "value"), column(rows, "after")
        ratio = top.sum() / below.sum()
        ratios.append(ratio)
        variances.append(np.var((top - ratio * below) / below.mean(), ddof=1) / len(rows))
    assert [one["mean"] for one in metric["variants"]] == pytest.approx(ratios)
    assert metric["variants"][0]["denominator"] == column(made["control"], "after").sum()
    [found] = metric["comparisons"]
    assert found["absolute"] == pytest.approx(ratios[1] - ratios[0])
    assert found["absolute_interval"][1] - found["absolute"] == pytest.approx(1.96 * sum(variances) ** 0.5, rel=0.01)


def test_immature_units_are_left_out_and_counted(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, primary_metric="orders", secondary_metrics=["purchase"])
    people(add_events, add_exposures, 200, days=2)
    clock.forward(days=1.6)  # looks at midnight: the first day's units have had their 24 hours, the second's have not
    orders, purchase = read(shop)["metrics"]
    for one in orders["variants"]:
        assert one["units"] + one["immature_units"] == 100
        assert 30 < one["immature_units"] < 70
    assert [one["immature_units"] for one in purchase["variants"]] == [0, 0]


def test_a_window_longer_than_the_data_is_empty_and_says_so(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    shop.put("/v1/metrics/year", json={"type": "proportion", "event": "purchase", "window_hours": 8760})
    run(shop, primary_metric="year")
    people(add_events, add_exposures, 100)
    clock.forward(days=3)
    result = read(shop)
    [found] = result["metrics"][0]["comparisons"]
    assert found["status"] == "empty"
    assert (
        "window of 8,760 hours yet: the first were exposed on 2026-11-01 and count from 2027-11-01 on"
        in found["detail"]
    )
    assert found["detail"] in result["decision"]["reasons"]
    assert [one["immature_units"] for one in result["metrics"][0]["variants"]] == [50, 50]
    assert result["decision"]["action"] == "continue"


def test_where_everybody_converted_nothing_varies(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop)
    who = [{"user_id": f"{number}", "timestamp": NOON} for number in range(200)]
    variants = ("control", "treatment") * 100
    add_exposures([{"experiment": "pdp", "variant": v, **one} for v, one in zip(variants, who, strict=True)])
    add_events([{"name": "purchase", **one} for one in who])
    clock.forward(days=1)
    [found] = read(shop)["metrics"][0]["comparisons"]
    assert (found["status"], found["detail"]) == ("no_variance", "Nothing varies: every visitor has the same value.")


def test_a_posterior_has_a_chance_to_win_and_promises_nothing(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, method="bayesian")
    for variant, converted in (("control", 49), ("treatment", 51)):
        users = [f"{variant}{number}" for number in range(100)]
        add_exposures([{"experiment": "pdp", "variant": variant, "user_id": u, "timestamp": NOON} for u in users])
        add_events([{"name": "purchase", "user_id": u, "timestamp": NOON} for u in users[:converted]])
    clock.forward(days=1)
    [found] = read(shop)["metrics"][0]["comparisons"]
    assert found["chance_to_win"] == pytest.approx(0.6108, abs=5e-5)
    assert found["p_value"] is None
    assert "no guarantee" in found["detail"]
    variants = [{"key": "control", "visitors": 100, "conversions": 49},
                {"key": "treatment", "visitors": 100, "conversions": 51}]  # fmt: skip
    same = shop.post("/v1/analyses", json={"method": "bayesian", "variants": variants}).json
    assert same["metrics"][0]["comparisons"] == [found]


def test_planned_looks_spend_the_error_rate_and_between_them_there_is_no_verdict(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, method="group_sequential", planned_visitors=2000, planned_looks=2)
    seen = []
    for day, count in enumerate((400, 700, 200, 700)):
        at = START + day * DAY + DAY / 2
        for variant, rate in (("control", 0.2), ("treatment", 0.22)):
            users = [f"{variant}{day}-{number}" for number in range(count // 2)]
            add_exposures([{"experiment": "pdp", "variant": variant, "user_id": u, "timestamp": at} for u in users])
            add_events(
                [{"name": "purchase", "user_id": u, "timestamp": at} for u in users[: round(rate * len(users))]]
            )
        clock.now = START + (day + 1.1) * DAY
        result = read(shop)
        [found] = result["metrics"][0]["comparisons"]
        seen.append((found["status"], found["missing"], result["information"]))
    assert seen == [
        ("not_final", 600, []),
        ("ok", 0, [0.55]),
        ("not_final", 700, [0.55]),
        ("ok", 0, [0.55, 1.0]),
    ]
    last = read(shop)
    clock.forward(days=5)
    assert read(shop)["metrics"] == last["metrics"]  # the plan is over: this is the verdict


def test_hourly_looks_are_taken_at_whole_hours(shop: KeyedClient, add_exposures: Add, clock: Clock) -> None:
    run(shop, look_every="hour")
    add_exposures([{"experiment": "pdp", "variant": "control", "user_id": "u", "timestamp": NOON}])
    clock.forward(minutes=90)
    result = read(shop)
    assert (result["as_of"], result["grid"]) == ("2026-11-01T13:00:00Z", "hourly UTC")
    assert result["units"] == {"control": 1, "treatment": 0}


def test_a_dimension_locates_a_broken_split_and_warns_of_reading_effects(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, secondary_metrics=["order-value"])
    drawn = random.Random(5)  # noqa: S311 - sample data
    events, exposures = [], []
    for number in range(900):
        device = ("mobile", "desktop", "tablet")[number % 3]
        variant = (
            "treatment" if device == "tablet" and number // 3 % 4 == 0 else ("control", "treatment")[number // 3 % 2]
        )
        user = f"u{number}"
        exposures.append({"experiment": "pdp", "variant": variant, "user_id": user, "timestamp": NOON})
        rows = [{"name": "view_item", "device": device, "timestamp": NOON - DAY, "properties": {"plan": "free"}},
                {"name": "view_item", "device": "other", "timestamp": NOON - 2 * DAY}]  # fmt: skip
        if drawn.random() < 0.3:
            rows.append({"name": "purchase", "device": "later", "timestamp": NOON + DAY / 24, "value": 10.0})
        events += [{"user_id": user, **row} for row in rows]
    add_exposures(exposures)
    add_events(events)
    clock.forward(days=1)
    whole = read(shop)
    result = read(shop, "?dimension=device")
    split = result["dimension"]
    assert "guess to test in a new experiment" in split["warning"]
    assert {one["value"] for one in split["values"]} == {"mobile", "desktop", "tablet"}
    assert sum(sum(one["units"].values()) for one in split["values"]) == 900
    conversions = [sum(v["conversions"] for v in one["metrics"][0]["variants"]) for one in split["values"]]
    assert sum(conversions) == sum(v["conversions"] for v in whole["metrics"][0]["variants"])
    [check] = [check for check in result["checks"] if check["name"] == "srm_by_dimension"]
    assert check["passed"] is False
    assert "at tablet: control 75, treatment 225" in check["detail"]
    assert {name: result[name] for name in whole if name not in {"checks", "dimension"}} == {
        name: whole[name] for name in whole if name not in {"checks", "dimension"}
    }
    by_plan = read(shop, "?dimension=plan")["dimension"]
    assert [one["value"] for one in by_plan["values"]] == ["free"]
    unknown = read(shop, "?dimension=nothing")["dimension"]
    assert [one["value"] for one in unknown["values"]] == ["(unknown)"]
    assert "No exposed unit has a value of `nothing`" in unknown["warning"]
    assert "No exposed unit" not in by_plan["warning"]
    add_events([{"user_id": "u1", "name": "view_item", "device": "new", "timestamp": NOON - DAY / 24}])
    assert read(shop, "?dimension=device")["dimension"] == split  # as stored


def test_the_series_ends_where_the_result_stands(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, primary_metric="orders", goal_metric="purchase", secondary_metrics=["revenue"])
    people(add_events, add_exposures, 1200, days=6, lift=0.3)
    clock.forward(days=9)
    orders, purchase, revenue = read(shop)["metrics"]
    assert [point["through"] for point in orders["series"]] == [f"2026-11-0{day}" for day in range(1, 7)]
    for one in (orders, purchase):
        last, [found] = one["series"][-1], one["comparisons"]
        assert {name: last[name] for name in ("absolute", "absolute_interval", "relative")} == {
            name: found[name] for name in ("absolute", "absolute_interval", "relative")
        }
    assert revenue["series"] == []
    units = [point["units"] for point in orders["series"]]
    assert units == sorted(units)
    assert units[-1] == 1200


def test_the_plan_stands_beside_what_happened(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    plan = {"metrics": [{"metric": "purchase", "days": 14, "baseline": 0.02, "visitors": 40000}]}
    run(shop, planned_visitors=40000, plan=plan, goal_metric="orders")
    people(add_events, add_exposures, 600, days=2)
    clock.forward(days=2)
    result = read(shop)
    shown = result["plan"]
    assert (shown["planned_visitors"], shown["visitors"], shown["share"]) == (40000, 600, 0.015)
    assert (shown["daily_visitors"], shown["days_planned"]) == (pytest.approx(300), 14)
    assert "below the planned 2,857" in shown["detail"]
    assert "above the planned 0.02" in shown["detail"]
    assert result["decision"]["more_visitors"] == 39400
    assert result["decision"]["more_days"] == 132
    assert any("less than a whole week" in warning for warning in result["warnings"])
    assert result["decision"]["goal_forecast"]["basis"].startswith("assumed_equal")


def test_a_stopped_experiment_waits_for_windows_and_is_never_told_to_continue(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(shop, primary_metric="orders", planned_visitors=40000)
    people(add_events, add_exposures, 600, days=2)
    clock.now = START + 2.5 * DAY
    shop.post("/v1/experiments/pdp/stop", json={"at": (START + 2 * DAY).isoformat()})
    waiting = read(shop)["decision"]
    assert (waiting["action"], waiting["more_visitors"], waiting["more_days"]) == ("continue", 0, 1)
    assert "Nobody new comes" in waiting["reasons"][-1]
    clock.forward(days=3)
    ended = read(shop)["decision"]
    assert (ended["action"], ended["more_visitors"]) == ("stop", None)
    assert ended["reasons"][-1] == "The test has ended, 39,400 visitors short of 40,000 planned."


def test_more_logins_in_one_variant_are_warned_of(shop: KeyedClient, add_exposures: Add, clock: Clock) -> None:
    run(shop)
    rows = []
    for number in range(400):
        variant = ("control", "treatment")[number % 2]
        logs_in = number % 10 == 0 or (variant == "treatment" and number % 4 == 1)
        who = {"unit_id": f"u:{number}", "anonymous_id": "a"} if logs_in else {"anonymous_id": f"a{number}"}
        rows.append({"experiment": "pdp", "variant": variant, "timestamp": NOON, **who})
    add_exposures(rows)
    clock.forward(days=1)
    body = read(shop)
    [check] = [check for check in body["checks"] if check["name"] == "merged_visitors"]
    assert (check["passed"], check["holds_back"]) == (False, False)
    assert "40 of 200, 100 of 200" in check["detail"]
    assert any("40 of 200, 100 of 200" in said and "where more log in" in said for said in body["warnings"])
    assert body["decision"]["action"] == "continue"  # it warns: the change itself may be why people log in
    page = shop.get("/v1/experiments/pdp/report?format=html").text
    assert '<li class="warned">\n      <b>! merged visitors</b>' in page
