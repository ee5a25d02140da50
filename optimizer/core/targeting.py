"""Who is eligible for an experiment: rules on the attributes that come with an evaluation, apart from any store.

A rule nests `all`, `any` and `not` around conditions on one attribute each. An attribute that did not come, or came
as another type, makes its condition *unknown*, in Kleene's three-valued logic: `not` of unknown is unknown, `any`
needs one condition that is true, and only a rule that is true as a whole targets anybody. So nobody is tested because
something about them was not known, however the rule is turned round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.errors import InvalidInputError

MAXIMUM_CONDITIONS = 50
MAXIMUM_DEPTH = 8
MAXIMUM_TEXT = 200
MAXIMUM_VALUES = 1_000
GROUPS = ("all", "any", "not")
Value = str | float | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """What one attribute must be.

    Attributes:
        attribute: Its name in the evaluation context.
        test: One of `TESTS`.
        operand: What it is compared with.
    """

    attribute: str
    test: str
    operand: Any


@dataclass(frozen=True, slots=True)
class Group:
    """Several rules together: all of them, any of them, or none (`not` holds exactly one)."""

    kind: str
    rules: tuple[Rule, ...]


Rule = Condition | Group


def parse(given: Mapping[str, Any], base: str = "/targeting") -> Rule | None:
    """Read a rule; `{}` is everybody, and None.

    Args:
        given: JSON: nested `all`, `any`, `not` around conditions such as `{"attribute": "country", "in": ["DE"]}`.
        base: JSON pointer of the rule, for messages.

    Raises:
        InvalidInputError: Names the part that does not fit.
    """
    return _Reader().rule(given, base, 1) if given else None


def targets(rule: Rule | None, attributes: Mapping[str, Any]) -> bool:
    """Decide whether a rule targets whoever has these attributes; unknown is no."""
    return rule is None or _decide(rule, attributes) is True


def _decide(rule: Rule, attributes: Mapping[str, Any]) -> bool | None:
    if isinstance(rule, Condition):
        if rule.test == "exists":
            return (attributes.get(rule.attribute) is not None) is rule.operand
        value = attributes.get(rule.attribute)
        return None if value is None else TESTS[rule.test].decide(value, rule.operand)
    decided = [_decide(inner, attributes) for inner in rule.rules]
    if rule.kind == "not":
        return None if decided[0] is None else not decided[0]
    settles = rule.kind == "any"  # one true settles `any`, one false settles `all`
    return settles if settles in decided else None if None in decided else not settles


@dataclass(frozen=True, slots=True)
class _Test:
    """One way to judge a value: what its operand must be, and the judgement (None when the types do not meet)."""

    takes: str
    fits: Callable[[Any], bool]
    decide: Callable[[Any, Any], bool | None]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAXIMUM_TEXT


def _is_plain(value: object) -> bool:
    return isinstance(value, bool) or _is_number(value) or (isinstance(value, str) and len(value) <= MAXIMUM_TEXT)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MAXIMUM_VALUES and all(map(_is_plain, value))


def _equal(value: object, wanted: object) -> bool | None:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted if isinstance(value, bool) and isinstance(wanted, bool) else None
    if _is_number(value) and _is_number(wanted):
        return value == wanted
    return value == wanted if isinstance(value, str) and isinstance(wanted, str) else None


def _among(value: object, wanted: list[object]) -> bool | None:
    decided = [_equal(value, one) for one in wanted]
    return True if True in decided else False if False in decided else None


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    return lambda value, wanted: compare(value, wanted) if _is_number(value) else None


def _of_text(compare: Callable[[str, str], bool]) -> Callable[[Any, Any], bool | None]:
    return lambda value, wanted: compare(value, wanted) if isinstance(value, str) else None


TESTS: Mapping[str, _Test] = {
    "is": _Test("a text, a number or a boolean", _is_plain, _equal),
    "in": _Test(f"a list of 1 to {MAXIMUM_VALUES} texts, numbers or booleans", _is_list, _among),
    "at_least": _Test("a number", _is_number, _compared(lambda value, wanted: value >= wanted)),
    "at_most": _Test("a number", _is_number, _compared(lambda value, wanted: value <= wanted)),
    "starts_with": _Test("a text", _is_text, _of_text(lambda value, wanted: value.startswith(wanted))),
    "ends_with": _Test("a text", _is_text, _of_text(lambda value, wanted: value.endswith(wanted))),
    "contains": _Test("a text", _is_text, _of_text(lambda value, wanted: wanted in value)),
    "exists": _Test("true or false", lambda value: isinstance(value, bool), lambda value, _: value is not None),
}


class _Reader:
    """Walks a rule once, counting its conditions."""

    def __init__(self) -> None:
        self._conditions = 0

    def rule(self, given: object, base: str, depth: int) -> Rule:
        if depth > MAXIMUM_DEPTH:
            raise _wrong(base, "too_deep", f"Rules nest up to {MAXIMUM_DEPTH} levels.")
        if not isinstance(given, dict):
            raise _wrong(base, "not_an_object", "A rule is an object: a condition, or one of all, any, not.")
        if "attribute" in given:
            return self._condition(given, base)
        kinds = [kind for kind in GROUPS if kind in given]
        if len(kinds) != 1:
            raise _wrong(base, "one_of", "A rule has an `attribute` and a test, or exactly one of all, any, not.")
        [kind] = kinds
        _only(given, {kind}, base)
        inner = given[kind]
        if kind == "not":
            return Group(kind, (self.rule(inner, f"{base}/not", depth + 1),))
        if not isinstance(inner, list) or not inner:
            raise _wrong(f"{base}/{kind}", "not_a_list", f"`{kind}` takes a list of one rule or more.")
        return Group(kind, tuple(self.rule(one, f"{base}/{kind}/{n}", depth + 1) for n, one in enumerate(inner)))

    def _condition(self, given: Mapping[str, Any], base: str) -> Condition:
        self._conditions += 1
        if self._conditions > MAXIMUM_CONDITIONS:
            raise _wrong(base, "too_many", f"A rule has up to {MAXIMUM_CONDITIONS} conditions.")
        if not _is_text(given["attribute"]):
            raise _wrong(
                f"{base}/attribute", "not_a_name", f"This must be a name of up to {MAXIMUM_TEXT} characters."
            )
        _only(given, {"attribute", *TESTS}, base)
        tests = [name for name in TESTS if name in given]
        if len(tests) != 1:
            raise _wrong(base, "one_of", f"A condition has exactly one of {', '.join(TESTS)}.")
        [test] = tests
        if not TESTS[test].fits(given[test]):
            raise _wrong(f"{base}/{test}", "wrong_type", f"`{test}` takes {TESTS[test].takes}.")
        return Condition(given["attribute"], test, given[test])


def _only(given: Mapping[str, Any], known: set[str], base: str) -> None:
    for name in given.keys() - known:
        raise _wrong(f"{base}/{str(name)[:80]}", "unknown_field", f"Here go {', '.join(sorted(known))}.")


def _wrong(pointer: str, code: str, detail: str) -> InvalidInputError:
    return InvalidInputError.at(pointer, code, detail)
