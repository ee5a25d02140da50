from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from optimizer.core.rules import Facts, asks_likelihood, clauses, holds, parse
from optimizer.errors import InvalidInputError

CARTED_NOT_BOUGHT = {
    "all": [{"did": "Add to Cart", "within_days": 14}, {"did_not": "purchase", "since": "add_to_cart"}]
}
MONDAY, TUESDAY = dt.datetime(2026, 11, 2, tzinfo=dt.UTC), dt.datetime(2026, 11, 3, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("carted", "bought", "fits"),
    [
        (Facts(1, TUESDAY), Facts(), True),
        (Facts(1, TUESDAY), Facts(1, MONDAY), True),
        (Facts(1, MONDAY), Facts(1, TUESDAY), False),
        (Facts(1, MONDAY), Facts(1, MONDAY), False),  # equal time counts as after
        (Facts(), Facts(), False),
    ],
)
def test_carted_and_not_bought_since(carted: Facts, bought: Facts, fits: bool) -> None:
    assert holds(parse(CARTED_NOT_BOUGHT), [carted, bought]) is fits


def test_groups_nest() -> None:
    rule = parse({"any": [{"did": "a", "at_least": 2}, {"not": {"all": [{"did": "b"}, {"did_not": "c"}]}}]})
    assert [clause.event for clause in clauses(rule)] == ["a", "b", "c"]
    once, never = Facts(1, MONDAY), Facts()
    assert holds(rule, [Facts(2, MONDAY), once, never])
    assert not holds(rule, [once, once, never])
    assert holds(rule, [once, once, once])


@pytest.mark.parametrize(
    ("definition", "pointer"),
    [
        ([], "/definition"),
        ({}, "/definition"),
        ({"all": []}, "/definition/all"),
        ({"all": {}}, "/definition/all"),
        ({"did": "a", "did_not": "b"}, "/definition"),
        ({"did": "!"}, "/definition/did"),
        ({"did": 7}, "/definition/did"),
        ({"all": [{"did": "a"}, {"did": "b", "at_least": 0}]}, "/definition/all/1/at_least"),
        ({"did": "a", "within_days": -1}, "/definition/within_days"),
        ({"did": "a", "within_days": float("nan")}, "/definition/within_days"),
        ({"did": "a", "within_days": True}, "/definition/within_days"),
        ({"did": "a", "where": {"b": None}}, "/definition/where"),
        ({"did": "a", "since": "b"}, "/definition/since"),
        ({"did_not": "a", "since": "b"}, "/definition/since"),
        ({"all": [{"did": "a"}, {"did": "a"}, {"did_not": "b", "since": "a"}]}, "/definition/all/2/since"),
        ({"any": [{"did": str(number)} for number in range(31)]}, "/definition/any/30"),
    ],
)
def test_what_does_not_fit_is_named(definition: Any, pointer: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse(definition)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_deep_nesting_is_refused() -> None:
    deep: dict[str, Any] = {"did": "a"}
    for _ in range(9):
        deep = {"not": deep}
    with pytest.raises(InvalidInputError, match="8 levels"):
        parse(deep)


def test_a_bound_on_the_likelihood_stands_beside_what_a_unit_did() -> None:
    rule = parse({"all": [{"did": "cart"}, {"conversion_likelihood": {"at_least": 0.1, "below": 0.5}}]})
    assert [clause.event for clause in clauses(rule)] == ["cart"]
    assert asks_likelihood(rule)
    assert not asks_likelihood(parse(CARTED_NOT_BOUGHT))
    assert [holds(rule, [Facts(1, MONDAY)], likelihood) for likelihood in (0.0, 0.1, 0.49, 0.5)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not holds(parse({"not": {"conversion_likelihood": {"at_least": 0.1}}}), [], 0.2)


@pytest.mark.parametrize(
    ("bound", "pointer"),
    [
        ({}, "/definition/conversion_likelihood"),
        (0.5, "/definition/conversion_likelihood"),
        ({"at_least": 1.1}, "/definition/conversion_likelihood/at_least"),
        ({"at_least": True}, "/definition/conversion_likelihood/at_least"),
        ({"below": "x"}, "/definition/conversion_likelihood/below"),
        ({"at_least": 0.5, "below": 0.5}, "/definition/conversion_likelihood/below"),
        ({"above": 0.5}, "/definition/conversion_likelihood/above"),
    ],
)
def test_a_wrong_bound_is_named(bound: Any, pointer: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse({"conversion_likelihood": bound})
    assert refused.value.problems[0].pointer == pointer
