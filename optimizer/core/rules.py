"""Segment predicates: what a definition means, apart from any store.

A definition nests `all`, `any` and `not` around two kinds of clause, `did` and `did_not`, and around bounds on how
likely a unit is to convert. What a clause needs to know of a unit is how often it happened and when last (`Facts`),
so an engine computes facts and this module decides.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optimizer.core.naming import canonical_name
from optimizer.errors import InvalidInputError

MAXIMUM_CLAUSES = 30
MAXIMUM_DEPTH = 8
MAXIMUM_DAYS = 3_650.0
MAXIMUM_NAME = 200
LARGEST_NUMBER = 1e15
LIKELIHOOD = "conversion_likelihood"
KINDS = ("all", "any", "not", "did", "did_not", LIKELIHOOD)
Value = str | float | bool


@dataclass(frozen=True, slots=True)
class Clause:
    """Something a unit did, or did not do.

    Attributes:
        place: Its number within the definition, from 0.
        event: Canonical name.
        negated: True for `did_not`.
        within_days: Only the last so many days count; None is ever.
        at_least: How often, for `did`.
        where: Properties the event must carry.
        since: Place of the `did` clause whose latest occurrence begins the time that counts, for `did_not`.
    """

    place: int
    event: str
    negated: bool = False
    within_days: float | None = None
    at_least: int = 1
    where: Mapping[str, Value] = field(default_factory=dict)
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a unit must be to convert.

    Attributes:
        at_least: From this likelihood on.
        below: Under this one.
    """

    at_least: float = 0.0
    below: float | None = None

    def holds(self, likelihood: float) -> bool:
        """Decide for one unit."""
        return likelihood >= self.at_least and (self.below is None or likelihood < self.below)


@dataclass(frozen=True, slots=True)
class Group:
    """Several rules together: all of them, any of them, or none (`not` holds exactly one)."""

    kind: str
    rules: tuple[Rule, ...]


Rule = Clause | Likelihood | Group


@dataclass(frozen=True, slots=True)
class Facts:
    """What one unit did about one clause: how often, and when last."""

    count: int = 0
    last: dt.datetime | None = None


def parse(definition: object, base: str = "/definition") -> Rule:
    """Read a definition.

    Args:
        definition: JSON: nested `all`, `any`, `not` around `did` and `did_not`.
        base: JSON pointer of the definition, for messages.

    Raises:
        InvalidInputError: Names the part that does not fit.
    """
    reader = _Reader()
    rule = reader.rule(definition, base, 1)
    return _with_since(rule, reader, list(clauses(rule)))


def clauses(rule: Rule) -> Iterator[Clause]:
    """Return every clause of a rule, by place."""
    if isinstance(rule, Clause):
        yield rule
    elif isinstance(rule, Group):
        for inner in rule.rules:
            yield from clauses(inner)


def asks_likelihood(rule: Rule) -> bool:
    """Whether a rule can only be decided with a model at hand."""
    if isinstance(rule, Group):
        return any(asks_likelihood(inner) for inner in rule.rules)
    return isinstance(rule, Likelihood)


def holds(rule: Rule, facts: Sequence[Facts], likelihood: float = 0.0) -> bool:
    """Decide for one unit.

    Args:
        rule: A parsed definition.
        facts: One per clause, by place.
        likelihood: How likely the unit is to convert; 0 for one that was not seen lately.
    """
    if isinstance(rule, Likelihood):
        return rule.holds(likelihood)
    if isinstance(rule, Clause):
        own = facts[rule.place]
        if not rule.negated:
            return own.count >= rule.at_least
        if rule.since is None:
            return own.count == 0
        begun = facts[rule.since].last
        return begun is not None and (own.last is None or own.last < begun)
    decided = [holds(inner, facts, likelihood) for inner in rule.rules]
    return any(decided) if rule.kind == "any" else all(decided) if rule.kind == "all" else not decided[0]


class _Reader:
    """Walks a definition once, numbering its clauses."""

    def __init__(self) -> None:
        self.since: dict[int, tuple[str, str]] = {}
        self._places = 0

    def rule(self, given: object, base: str, depth: int) -> Rule:
        if depth > MAXIMUM_DEPTH:
            raise _wrong(base, "too_deep", f"Definitions nest up to {MAXIMUM_DEPTH} levels.")
        if not isinstance(given, dict):
            raise _wrong(base, "not_an_object", f"A rule is an object with one of {', '.join(KINDS)}.")
        kinds = [kind for kind in KINDS if kind in given]
        if len(kinds) != 1:
            raise _wrong(base, "one_of", f"A rule has exactly one of {', '.join(KINDS)}.")
        kind = kinds[0]
        if kind in {"did", "did_not"}:
            return self._clause(given, kind, base)
        _only(given, {kind}, base)
        if kind == LIKELIHOOD:
            return _likelihood(given[kind], f"{base}/{kind}")
        inner = given[kind]
        if kind == "not":
            return Group(kind, (self.rule(inner, f"{base}/not", depth + 1),))
        if not isinstance(inner, list) or not inner:
            raise _wrong(f"{base}/{kind}", "not_a_list", f"`{kind}` takes a list of one rule or more.")
        read = (self.rule(one, f"{base}/{kind}/{place}", depth + 1) for place, one in enumerate(inner))
        return Group(kind, tuple(read))

    def _clause(self, given: Mapping[str, Any], kind: str, base: str) -> Clause:
        negated = kind == "did_not"
        _only(given, {kind, "within_days", "where", "since" if negated else "at_least"}, base)
        place = self._places
        self._places += 1
        if place >= MAXIMUM_CLAUSES:
            raise _wrong(base, "too_many", f"A definition has up to {MAXIMUM_CLAUSES} clauses.")
        if "since" in given:
            self.since[place] = (_name(given["since"], f"{base}/since"), f"{base}/since")
        return Clause(
            place,
            _name(given[kind], f"{base}/{kind}"),
            negated,
            _days(given.get("within_days"), f"{base}/within_days"),
            _times(given.get("at_least", 1), f"{base}/at_least"),
            _properties(given.get("where", {}), f"{base}/where"),
        )


def _with_since(rule: Rule, reader: _Reader, known: list[Clause]) -> Rule:
    if isinstance(rule, Group):
        return Group(rule.kind, tuple(_with_since(inner, reader, known) for inner in rule.rules))
    if isinstance(rule, Likelihood) or rule.place not in reader.since:
        return rule
    name, pointer = reader.since[rule.place]
    named = [clause.place for clause in known if clause.event == name and not clause.negated]
    if len(named) != 1:
        detail = "`since` must name the event of exactly one `did` clause of this definition."
        raise _wrong(pointer, "unknown_clause", detail)
    return Clause(rule.place, rule.event, rule.negated, rule.within_days, rule.at_least, rule.where, named[0])


def _likelihood(given: object, pointer: str) -> Likelihood:
    if not isinstance(given, dict) or not given:
        raise _wrong(pointer, "not_a_bound", f"`{LIKELIHOOD}` takes `at_least`, `below` or both, from 0 to 1.")
    _only(given, {"at_least", "below"}, pointer)
    at_least = _share(given.get("at_least", 0), f"{pointer}/at_least")
    below = _share(given["below"], f"{pointer}/below") if "below" in given else None
    if below is not None and below <= at_least:
        raise _wrong(f"{pointer}/below", "empty_range", "`below` must lie above `at_least`.")
    return Likelihood(at_least, below)


def _share(given: object, pointer: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise _wrong(pointer, "out_of_range", "A likelihood is a number from 0 to 1.")
    return float(given)


def _name(given: object, pointer: str) -> str:
    name = canonical_name(given) if isinstance(given, str) and len(given) <= MAXIMUM_NAME else ""
    if not name:
        raise _wrong(pointer, "not_a_name", "This must be an event's name.")
    return name


def _days(given: object, pointer: str) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= MAXIMUM_DAYS:
        raise _wrong(pointer, "out_of_range", f"`within_days` must be a number above 0, up to {MAXIMUM_DAYS:g}.")
    return float(given)


def _times(given: object, pointer: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= 10**6:
        raise _wrong(pointer, "out_of_range", "`at_least` must be a whole number of 1 or more.")
    return given


def _properties(given: object, pointer: str) -> dict[str, Value]:
    fits = isinstance(given, dict) and all(
        isinstance(value, str | bool) or (isinstance(value, int | float) and abs(value) <= LARGEST_NUMBER)
        for value in given.values()
    )
    if not fits or not isinstance(given, dict):
        raise _wrong(pointer, "not_properties", "`where` maps property names to text, numbers or booleans.")
    return dict(given)


def _only(given: Mapping[str, Any], known: set[str], base: str) -> None:
    for name in given.keys() - known:
        raise _wrong(f"{base}/{str(name)[:80]}", "unknown_field", f"Here go {', '.join(sorted(known))}.")


def _wrong(pointer: str, code: str, detail: str) -> InvalidInputError:
    return InvalidInputError.at(pointer, code, detail)
