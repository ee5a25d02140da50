"""The metrics of a plan with where they stand: given, or measured; what cannot be planned is refused by its field."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.core.naming import canonical_name
from optimizer.errors import InvalidInputError, Problem
from optimizer.experiments.planning.measured import NO_QUANTILE, Measured
from optimizer.experiments.planning.shapes import PlanRequest, Role
from optimizer.experiments.planning.sizing import Level

LEAST_RATE = 1e-9
LEAST_EFFECT = 1e-4


@dataclass(frozen=True, slots=True)
class Subject:
    """One metric of a plan.

    Attributes:
        name: A stored metric's key, or an event's canonical name.
        role: Of the plan.
        level: Where it stands.
        given: Whether the request says so.
        window_days: Until a unit's value is final.
        margin: Of a guardrail: the relative loss that is tolerated.
        less_is_better: Whether a loss is an increase.
    """

    name: str
    role: Role
    level: Level
    given: bool
    window_days: float
    margin: float | None = None
    less_is_better: bool = False


def asked_names(request: PlanRequest) -> list[tuple[str, str, Role]]:
    """Return every name as it was asked for, with its pointer and its role; the goal first."""
    return [
        ("/goal", request.goal, "goal"),
        *((f"/proxies/{place}", name, "proxy") for place, name in enumerate(request.proxies)),
        *((f"/guardrails/{place}/metric", rail.metric, "guardrail") for place, rail in enumerate(request.guardrails)),
    ]


def subjects_of(request: PlanRequest, measured: Measured) -> list[Subject]:
    """Find out where every metric of a plan stands.

    Raises:
        InvalidInputError: Names every field that cannot be planned with.
    """
    problems = list(_faults_of_the_design(request))
    subjects: list[Subject] = []
    taken: set[str] = set()
    for place, (pointer, asked, role) in enumerate(asked_names(request)):
        name = asked if asked in measured.definitions else canonical_name(asked)
        if not name or (name in taken and role != "guardrail"):
            problems.append(Problem(pointer, "invalid_name", "Name every metric once, with a letter or a digit."))
            continue
        taken.add(name)
        if name in measured.definitions and measured.definitions[name].quantile:
            problems.append(Problem(pointer, "not_planned", NO_QUANTILE))
            continue
        found = _subject(request, measured, name, role, place - 1 - len(request.proxies))
        if isinstance(found, Problem):
            problems.append(found)
            continue
        subjects.append(found)
        problems += _faults_of_the_effect(request, found)
    if problems:
        raise InvalidInputError(f"The plan cannot be made: {problems[0].detail}", problems)
    return subjects


def _subject(request: PlanRequest, measured: Measured, name: str, role: Role, rail: int) -> Subject | Problem:
    baseline, deviation, window = (
        _of(given, name) for given in (request.baselines, request.standard_deviations, request.windows_hours)
    )
    known, stored = measured.levels.get(name), measured.definitions.get(name)
    if baseline is None and known is None:
        return Problem(f"/baselines/{name}", "unknown_baseline", _unknown(request, measured, name))
    level = _level(baseline, deviation, known, mean=bool(stored and stored.mean))
    if isinstance(level, str):
        return Problem(f"/baselines/{name}", "not_a_rate", level)
    hours = window if window is not None else (stored.window_hours if stored else None)
    less = bool(stored and stored.less_is_better)
    margin = None
    if role == "guardrail":
        asked = request.guardrails[rail]
        margin, less = asked.margin_relative, less if asked.direction is None else asked.direction == "decrease"
    return Subject(name, role, level, baseline is not None, (hours or 0.0) / 24, margin, less)


def _unknown(request: PlanRequest, measured: Measured, name: str) -> str:
    near = difflib.get_close_matches(name, request.baselines or {}, n=1)
    if near:
        return f"There is no baseline of {name}: did you mean it with {near[0]}?"
    why = measured.unusable.get(name, "There is nothing to measure it from: send events first.")
    return f"Give a baseline of {name} in `baselines`. {why}"


def _level(baseline: float | None, deviation: float | None, known: Level | None, *, mean: bool) -> Level | str:
    if baseline is None:
        return known if known is not None else "Nothing is known of it."
    if deviation is not None:
        return Level(baseline, deviation**2, rate=False)
    if mean or (known is not None and not known.rate):
        if known is None:
            return "This metric is a mean: give its standard deviation in `standard_deviations` too."
        return Level(baseline, known.variance, rate=False)
    if baseline >= 1:
        return "A rate lies between 0 and 1. For a mean give its standard deviation in `standard_deviations` too."
    return Level(baseline, baseline * (1 - baseline), rate=True)


def _of(given: dict[str, float] | None, name: str) -> float | None:
    if not given:
        return None
    return given.get(name, {canonical_name(key): value for key, value in given.items()}.get(name))


def _faults_of_the_design(request: PlanRequest) -> Iterator[Problem]:
    if abs(request.relative_mde) < LEAST_EFFECT:
        detail = f"An effect below {LEAST_EFFECT:g} cannot be found: give a larger one to look for."
        yield Problem("/relative_mde", "no_effect", detail)
    if request.method != "bayesian" and request.power <= request.alpha:
        detail = "Without any effect the chance of a verdict is α already: give a power above alpha."
        yield Problem("/power", "not_above_alpha", detail)
    if request.weights is not None:
        if len(request.weights) != request.variants:
            yield Problem("/weights", "wrong_length", "Give one weight per variant, the control first.")
        elif max(request.weights) > 1e6 * min(request.weights):
            yield Problem("/weights", "too_unequal", "An arm of less than a millionth of another is not planned.")


def _faults_of_the_effect(request: PlanRequest, subject: Subject) -> Iterator[Problem]:
    level = subject.level
    if level.rate and level.mean < LEAST_RATE:
        detail = f"A rate below {LEAST_RATE:g} cannot be planned for."
        yield Problem(f"/baselines/{subject.name}", "too_small", detail)
    elif level.variance < (LEAST_RATE * level.mean) ** 2 or level.variance > (level.mean / LEAST_RATE) ** 2:
        detail = "The standard deviation is beyond anything that the mean allows to compare."
        yield Problem(f"/standard_deviations/{subject.name}", "out_of_proportion", detail)
    elif subject.margin is None and level.rate and not 0 < level.mean * (1 + request.relative_mde) < 1:
        detail = "With this effect the rate would leave the range between 0 and 1."
        yield Problem("/relative_mde", "impossible_effect", detail)
