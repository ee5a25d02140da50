from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.targeting import parse, targets
from optimizer.errors import InvalidInputError

GERMAN = {"attribute": "country", "is": "DE"}
OLD = {"attribute": "age", "at_least": 60}
SOMEBODY = {"country": "DE", "age": 61, "plan": "pro-yearly", "beta": True}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, True),
        (GERMAN, True),
        ({"attribute": "country", "in": ["AT", "CH"]}, False),
        ({"attribute": "country", "in": ["AT", "DE"]}, True),
        (OLD, True),
        ({"attribute": "age", "at_most": 60.5}, False),
        ({"attribute": "plan", "starts_with": "pro"}, True),
        ({"attribute": "plan", "ends_with": "monthly"}, False),
        ({"attribute": "plan", "contains": "-year"}, True),
        ({"attribute": "beta", "is": True}, True),
        ({"attribute": "phone", "exists": False}, True),
        ({"attribute": "beta", "exists": True}, True),
        ({"all": [GERMAN, OLD]}, True),
        ({"all": [GERMAN, {"not": OLD}]}, False),
        ({"any": [{"not": GERMAN}, OLD]}, True),
        ({"not": {"any": [GERMAN, OLD]}}, False),
    ],
)
def test_rules_decide(rule: dict[str, Any], expected: bool) -> None:
    assert targets(parse(rule), SOMEBODY) is expected


@pytest.mark.parametrize(
    "rule",
    [
        {"attribute": "city", "is": "Berlin"},
        {"not": {"attribute": "city", "is": "Berlin"}},
        {"not": {"attribute": "city", "in": ["Berlin"]}},
        {"all": [GERMAN, {"not": {"attribute": "visits", "at_least": 5}}]},
        {"not": {"attribute": "country", "at_least": 5}},  # a text is no number
        {"not": {"attribute": "beta", "is": 0}},  # nor is a boolean
        {"not": {"attribute": "age", "contains": "6"}},
    ],
)
def test_what_is_unknown_targets_nobody_however_the_rule_is_turned_round(rule: dict[str, Any]) -> None:
    assert not targets(parse(rule), SOMEBODY)
    assert not targets(parse({"not": rule}), SOMEBODY) or "all" in rule


def test_one_true_condition_is_enough_for_any_and_one_false_ends_all() -> None:
    unknown = {"attribute": "city", "is": "Berlin"}
    assert targets(parse({"any": [unknown, GERMAN]}), SOMEBODY)
    assert targets(parse({"not": {"all": [unknown, {"not": GERMAN}]}}), SOMEBODY)


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"attribute": "country"}, "/targeting"),
        ({"attribute": "country", "is": "DE", "in": ["DE"]}, "/targeting"),
        ({"attribute": "", "is": "DE"}, "/targeting/attribute"),
        ({"attribute": "country", "is": None}, "/targeting/is"),
        ({"attribute": "country", "in": []}, "/targeting/in"),
        ({"attribute": "age", "at_least": "60"}, "/targeting/at_least"),
        ({"attribute": "age", "at_least": True}, "/targeting/at_least"),
        ({"attribute": "plan", "contains": ""}, "/targeting/contains"),
        ({"attribute": "plan", "like": "x"}, "/targeting/like"),
        ({"all": []}, "/targeting/all"),
        ({"any": [GERMAN], "not": GERMAN}, "/targeting"),
        ({"any": [GERMAN, {"x": 1}]}, "/targeting/any/1"),
        ({"not": "DE"}, "/targeting/not"),
        ({"all": [GERMAN] * 51}, "/targeting/all/50"),
        ({"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": GERMAN}}}}}}}}, "/targeting" + "/not" * 8),
    ],
)
def test_what_does_not_fit_is_named(rule: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse(rule)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(["country", "age", "plan"]), plain))
def test_no_attribute_breaks_a_rule(attributes: dict[str, Any]) -> None:
    conditions = [GERMAN, OLD, {"attribute": "plan", "contains": "x"}, {"attribute": "age", "in": [1, "x", True]}]
    for kind in ("all", "any"):
        assert targets(parse({kind: conditions}), attributes) in {True, False}
