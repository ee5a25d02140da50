"""False-positive rates on a project's own past: as promised where they should be, and caught where they are not."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.core.stats.comparison import Arm, Design, compare
from optimizer.core.stats.moments import Moments
from optimizer.errors import InvalidInputError
from optimizer.experiments.aa import ReplayAnswer, ReplayRequest, replay_history
from optimizer.experiments.alarms import SPLIT_CHECK
from optimizer.experiments.columns import plan_groups
from optimizer.experiments.metrics import Resolved
from optimizer.experiments.replay import Period, replay
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition, Experiment, Metric

Add = Callable[[list[dict[str, Any]]], None]
START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAYS = 6


@pytest.fixture
def shop(stores: Stores, project_id: int, add_events: Add) -> Stores:
    """A shop in which a person's sessions are alike, so that sessions are no units of their own."""
    drawn = random.Random(8)  # noqa: S311 - sample data
    rows = []
    for person in range(900):
        likes_it = drawn.random() < 0.25
        for visit in range(drawn.choice([1, 3, 8])):
            own = {"user_id": f"{person}", "session_id": f"s{person}-{visit}"}
            at = START + dt.timedelta(seconds=drawn.randrange(DAYS * 86_400 - 60))
            rows.append({"name": "page_view", "timestamp": at, **own})
            if likes_it and drawn.random() < 0.9:
                value = round(drawn.expovariate(0.05), 2)
                rows.append({"name": "purchase", "timestamp": at + dt.timedelta(seconds=9), "value": value, **own})
    add_events(rows)
    with stores.control.session() as session:
        for name in ("page_view", "purchase"):
            session.add(EventDefinition(project_id=project_id, name=name))
        session.add(Metric(project_id=project_id, key="revenue", type="sum", event="purchase", window_hours=24.0))
    return stores


def measured(stores: Stores, project_id: int, **more: Any) -> ReplayAnswer:
    given = {"start": START.date(), "days": DAYS, "metrics": ["purchase", "revenue"], **more}
    return replay_history(stores, project_id, ReplayRequest.model_validate(given))


def rates(answer: ReplayAnswer) -> dict[tuple[str, str], float | None]:
    return {(row.metric, row.method): row.rate for row in answer.rates}


def test_units_split_one_by_one_raise_as_many_false_alarms_as_promised(shop: Stores, project_id: int) -> None:
    told: list[tuple[str, int, int]] = []
    request = ReplayRequest(start=START.date(), days=DAYS, metrics=["purchase", "revenue"])
    answer = replay_history(shop, project_id, request, progress=lambda *step: told.append(step))
    assert answer.as_promised is True
    assert "none is above what is promised" in answer.conclusion
    assert (answer.splits, answer.units) == (511, 900)
    found = rates(answer)
    for metric in ("purchase", "revenue"):
        fixed, sequential = found[metric, "fixed"], found[metric, "sequential"]
        assert fixed is not None
        assert sequential is not None
        assert 0.02 < fixed < 0.085  # 5%, as near as 511 splits can tell
        assert 0.0 <= sequential < 0.04  # the sequence is wider at every look
    assert found[SPLIT_CHECK, "fixed"] == pytest.approx(0.001, abs=0.006)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1] == ("done", 10, 10)
    for metric in ("purchase", "revenue"):
        planned, believed = found[metric, "group_sequential"], found[metric, "bayesian"]
        assert planned is not None
        assert believed is not None
        assert planned < 0.085  # over five looks together
        assert believed > 0.1  # six looks, and no promise
    assert (found["purchase", "group_sequential"] or 0) > 0.02
    assert "no guarantee" in answer.conclusion
    held = {row.verdict for row in answer.rates if row.method == "bayesian"}
    assert held == {"nothing_promised"}
    assert {row.promised for row in answer.rates if row.method == "bayesian"} == {None}
    assert measured(shop, project_id, methods=["fixed"], seed="other") != answer


def test_sessions_of_people_who_were_split_raise_too_many_and_that_is_said(shop: Stores, project_id: int) -> None:
    answer = measured(shop, project_id, unit="session", split_by="user", methods=["fixed"], metrics=["purchase"])
    assert answer.as_promised is False
    assert answer.units > 3000
    broken = {row.metric: row for row in answer.rates}
    assert broken["purchase"].verdict == "too_many"
    assert (broken["purchase"].rate or 0) > 0.2
    assert broken[SPLIT_CHECK].verdict == "too_many"
    assert "purchase (fixed)" in answer.conclusion
    assert "not split one by one" in answer.conclusion
    alone = measured(shop, project_id, unit="session", methods=["fixed"], metrics=["purchase"])
    assert alone.as_promised is True  # the coin is tossed for each session: then sessions may be compared


def test_a_rate_is_counted_from_the_comparison_that_results_use(shop: Stores, project_id: int) -> None:
    answer = measured(shop, project_id, methods=["fixed"], metrics=["purchase"], bits=5)
    resolved = Resolved(Metric(project_id=project_id, key="purchase", type="proportion", event="purchase"))
    [group] = plan_groups({"purchase": resolved}, 0, None)
    period = Period(START, DAYS, "user", "user", None, 0, "aa", 5)
    rows = replay(shop.events, project_id, period, group).rows(DAYS - 1, ["v0"])
    alarms = 0
    for row in rows:
        arms = {
            arm: Arm(Moments(round(row.n[place]), *[float(row.totals[place, 0])] * 2))
            for place, arm in enumerate(row.arms)
        }
        [found] = compare(arms, row.arms[0], Design("fixed", 0.05, None))
        alarms += found.significant
    assert answer.rates[1].alarms == alarms
    assert answer.rates[1].splits == 31


def test_the_metrics_in_use_are_measured_unless_others_are_named(shop: Stores, project_id: int) -> None:
    one_day = {"days": DAYS, "methods": ["fixed"], "bits": 5, "metrics": []}
    assert [row.metric for row in measured(shop, project_id, **one_day).rates] == [SPLIT_CHECK, "revenue"]
    variants = [{"key": "a", "weight": 1}, {"key": "b", "weight": 1}]
    with shop.control.session() as session:
        session.add(Experiment(project_id=project_id, key="x", primary_metric="purchase", variants=variants))
    found = measured(shop, project_id, **one_day)
    assert {row.metric for row in found.rates} == {SPLIT_CHECK, "revenue", "purchase"}


def test_covariates_take_part(shop: Stores, project_id: int) -> None:
    late = {"start": START.date() + dt.timedelta(days=3), "days": 3, "methods": ["fixed"], "bits": 6}
    answer = measured(shop, project_id, **late, covariate_days=3)
    assert answer.as_promised is True
    assert all(row.splits == 63 for row in answer.rates)
    assert answer.rates != measured(shop, project_id, **late).rates


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"metrics": ["nothing"]}, "nothing: This is neither a metric nor a known event"),
        ({"start": dt.date(2020, 1, 1)}, "No user was seen"),
        ({"exposed_by": "never"}, "No user was seen"),
    ],
)
def test_wrong_questions_are_refused_by_name(shop: Stores, project_id: int, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        measured(shop, project_id, **more)


def test_a_project_without_metrics_has_nothing_to_measure(stores: Stores, project_id: int) -> None:
    with pytest.raises(InvalidInputError, match="no metrics"):
        measured(stores, project_id, metrics=[])


def test_rates_are_taken_over_the_splits_that_had_a_verdict(
    stores: Stores, project_id: int, add_events: Add, shop: Stores
) -> None:
    few = [{"name": "rare", "user_id": f"{n}", "timestamp": START + dt.timedelta(hours=30)} for n in range(9)]
    add_events(few)
    with stores.control.session() as session:
        session.add(EventDefinition(project_id=project_id, name="rare"))
    answer = measured(shop, project_id, metrics=["rare"], methods=["sequential"], bits=5)
    [_, rare] = answer.rates
    assert (rare.verdict, rare.rate, rare.splits) == ("no_verdict", None, 0)
    assert "Too early" in rare.detail
    assert answer.as_promised is None
    assert "no metric had a verdict" in answer.conclusion


def test_a_quantile_is_not_replayed_and_that_is_said(shop: Stores, project_id: int) -> None:
    with shop.control.session() as session:
        median = Metric(project_id=project_id, key="median", type="quantile", event="purchase", quantile=0.5)
        session.add(median)
    answer = measured(shop, project_id, metrics=["purchase", "median"], methods=["fixed"])
    [row] = [row for row in answer.rates if row.metric == "median"]
    assert (row.verdict, row.rate) == ("no_verdict", None)
    assert "no sum over units" in row.detail
    assert answer.as_promised is True
    with pytest.raises(InvalidInputError, match="no sum over units"):
        measured(shop, project_id, metrics=["median"])


def test_what_promises_nothing_is_measured_and_never_judged(shop: Stores, project_id: int) -> None:
    answer = measured(shop, project_id, methods=["bayesian"], metrics=["revenue"], bits=6)
    assert answer.rates[-1].verdict == "nothing_promised"
    assert "no guarantee" in answer.rates[-1].detail
    assert answer.as_promised is None
    assert "promise nothing" in answer.conclusion


def test_planned_looks_are_those_that_an_experiment_takes(shop: Stores, project_id: int) -> None:
    rates = [
        measured(
            shop, project_id, methods=["group_sequential"], metrics=["purchase"], bits=8, spending=spending, looks=4
        )
        for spending in ("obrien_fleming", "pocock")
    ]
    assert all(answer.as_promised for answer in rates)
    assert rates[0] != rates[1]
