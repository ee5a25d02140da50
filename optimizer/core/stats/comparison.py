"""The one comparison behind `POST /v1/analyses` and experiment results: sums in, figures and statuses out.

Every arm is compared with the baseline by the chosen method, all metrics and arms at once; p-values are adjusted over
them and intervals with the p-values. What cannot be judged gets a status and no number, never a NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.core.stats.bayes import CAUTION
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.design import Case, Design, Method, judge
from optimizer.core.stats.effects import Floats, check_alpha
from optimizer.core.stats.figures import Figures, Measure, figures_of_all
from optimizer.core.stats.findings import Comparison, Unadjusted, describe
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.multiplicity import holm, interval_alphas
from optimizer.core.stats.pairs import Pairs, Place, pair_up
from optimizer.core.stats.sequential import DEFAULT_PLANNED_PAIR
from optimizer.core.stats.statuses import Status, missing_units, statuses_of

__all__ = [
    "Arm",
    "Case",
    "Comparison",
    "Design",
    "Method",
    "Unadjusted",
    "compare",
    "compare_cases",
    "compare_family",
    "planned_pair",
]
LEAST_ALPHA = 1e-12  # of intervals: further out no approximation means anything, and ends leave the range of floats
Adjustment = Callable[[Sequence[float]], list[float]]


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant as a metric sees it.

    Attributes:
        moments: n, Σx, Σx².
        weight: Its share of traffic, in any scale; 0 closes it.
        converters: Units with a value above 0, for the gate of sums; None means the least that Σx and Σx² allow.
    """

    moments: Moments
    weight: float = 1.0
    converters: int | None = None


def compare(arms: Mapping[str, Arm], baseline: str, design: Design) -> list[Comparison]:
    """Compare every arm with the baseline; Holm over arms.

    Raises:
        ValueError: The baseline is not an arm, or alpha is outside (0, 1).
    """
    return compare_family([(arms, design)], baseline, holm)[0]


def compare_family(
    cases: Sequence[tuple[Mapping[str, Arm], Design]], baseline: str, adjust: Adjustment
) -> list[list[Comparison]]:
    """Compare metrics that are given as moments; see `compare_cases`.

    Args:
        cases: One metric each: its arms and its design.
        baseline: The arm to compare with.
        adjust: `holm` where every claim must hold, `benjamini_hochberg` where a share may not.
    """
    return compare_cases([_case(arms, design) for arms, design in cases], baseline, adjust)


def compare_cases(cases: Sequence[Case], baseline: str, adjust: Adjustment) -> list[list[Comparison]]:
    """Compare every arm with the baseline on several metrics, adjusting over all of them together.

    Args:
        cases: One metric each; their designs may differ in `planned_total` and `family` only.
        baseline: The arm to compare with.
        adjust: `holm` where every claim must hold, `benjamini_hochberg` where a share may not.

    Returns:
        One list per case, in order: a comparison for every arm but the baseline.

    Raises:
        ValueError: The baseline is not an arm of every case, an alpha is outside (0, 1), or designs differ in more.
    """
    if not cases:
        return []
    design = _common_design(cases)
    laid = _lay_out(cases, baseline)
    usable = np.flatnonzero([status is None for status in laid.statuses])
    answers = iter(_answers(laid, usable, adjust, design) if len(usable) else ())
    found: list[list[Comparison]] = [[] for _ in cases]
    missing = [missing_units(case) for case in cases]
    for place, status in zip(laid.places, laid.statuses, strict=True):
        name = cases[place.metric].row.arms[place.b]
        found[place.metric].append(
            Comparison(name, baseline, status.name, status.detail, status.missing)
            if status
            else _comparison(name, baseline, missing[place.metric], next(answers), design)
        )
    return found


def planned_pair(arms: Mapping[str, Arm], baseline: str, name: str, design: Design) -> float:
    """Return N*: the planned visitors of one pair of arms."""
    return _planned({key: arm.weight for key, arm in arms.items()}, baseline, name, design)


class _Laid(NamedTuple):
    """All cases laid out: their figures, the pairs of arms in order, and why some cannot be judged."""

    figures: list[Figures]
    places: list[Place]
    planned: Floats
    plain: Pairs
    statuses: list[Status | None]


def _case(arms: Mapping[str, Arm], design: Design) -> Case:
    row = CrossMoments.of_moments("value", {name: arm.moments for name, arm in arms.items()})
    measure, counted = Measure(design.family, "value"), [arm.converters for arm in arms.values()]
    if None not in counted:
        totals = np.column_stack([row.totals, np.array(counted, float)])
        products = {("value", "value"): row.products[:, 0, 0]}
        row = CrossMoments.of_sums(row.arms, ("value", "converters"), row.n, totals, products)
        measure = replace(measure, converters="converters")
    return Case(row, measure, design, {name: arm.weight for name, arm in arms.items()})


def _common_design(cases: Sequence[Case]) -> Design:
    first = cases[0].design
    for case in cases:
        check_alpha(case.design.alpha)
        if replace(case.design, planned_total=first.planned_total, family=first.family) != first:
            raise ValueError("designs compared together may differ in planned_total and family only")
    return first


def _planned(weights: Mapping[str, float], baseline: str, name: str, design: Design) -> float:
    whole = sum(weights.values())
    if design.planned_total is None or whole == 0:
        return DEFAULT_PLANNED_PAIR
    return max(1.0, design.planned_total * (weights[baseline] + weights[name]) / whole)


def _lay_out(cases: Sequence[Case], baseline: str) -> _Laid:
    places, planned = list[Place](), list[float]()
    for metric, case in enumerate(cases):
        arms = case.row.arms
        if baseline not in arms:
            raise ValueError("baseline must name one of the arms")
        weights, a = {name: case.weights.get(name, 1.0) for name in arms}, arms.index(baseline)
        others = [b for b in range(len(arms)) if b != a]
        places += [Place(metric, a, b) for b in others]
        planned += [_planned(weights, baseline, arms[b], case.design) for b in others]
    measures = [(case.row, case.measure) for case in cases]
    plain = figures_of_all(measures, adjusted=False)
    found = figures_of_all(measures) if any(case.measure.covariates for case in cases) else plain
    wanted = np.array(planned)
    pairs = pair_up(plain, places, wanted)
    return _Laid(found, places, wanted, pairs, statuses_of(cases, places, pairs))


def _answers(laid: _Laid, usable: NDArray[np.intp], adjust: Adjustment, design: Design) -> list[dict[str, Any]]:
    """Judge the usable pairs; return the fields of their comparisons."""
    plain = laid.plain.take(usable)
    pairs = plain
    if any(one.adjusted for one in laid.figures):
        pairs = pair_up(laid.figures, [laid.places[place] for place in usable], laid.planned[usable])
    alpha = np.full(len(usable), max(design.alpha, LEAST_ALPHA))
    judged = judge(pairs, alpha, design)
    adjusted = list[float]()
    if design.method != "bayesian":
        p_values = judged.p_value.tolist()
        adjusted = adjust(p_values)
        alpha = np.maximum(interval_alphas(p_values, adjusted, design.alpha), LEAST_ALPHA)
        if (alpha != design.alpha).any():
            judged = judge(pairs, alpha, design)
    answers = describe(judged, pairs, alpha, adjusted, design)
    _say_beside(answers, plain, pairs, alpha, design)
    for answer, place in zip(answers, usable.tolist(), strict=True):
        figure = laid.figures[laid.places[place].metric]
        answer |= {"covariate": figure.status or answer.get("covariate", ""), "detail": figure.detail}
    return answers


def _say_beside(answers: list[dict[str, Any]], plain: Pairs, pairs: Pairs, alpha: Floats, design: Design) -> None:
    """Put beside the adjusted pairs what they would be without covariates, at the same level."""
    places = np.flatnonzero(pairs.adjusted)
    if not len(places):
        return
    beside, level = plain.take(places), alpha[places]
    rows = describe(judge(beside, level, design), beside, level, [], design)
    whole = beside.variance_a + beside.variance_b
    left = (pairs.variance_a + pairs.variance_b)[places]
    reductions = (1 - np.divide(left, whole, out=np.full(len(whole), np.nan), where=whole > 0)).tolist()
    keys = ("absolute", "absolute_interval", "relative", "relative_interval", "p_value")
    for place, row, reduction in zip(places.tolist(), rows, reductions, strict=True):
        answers[place]["covariate"] = "adjusted"
        answers[place]["unadjusted"] = Unadjusted(*(row[key] for key in keys))
        answers[place]["variance_reduction"] = None if math.isnan(reduction) else reduction


def _comparison(name: str, baseline: str, missing: int, answer: dict[str, Any], design: Design) -> Comparison:
    details = [answer.pop("detail")]
    if missing:
        details.insert(
            0, f"{missing} of the planned visitors are missing; a fixed-horizon test is read once, at the end."
        )
        answer["significant"] = False
    elif design.method == "bayesian":
        details.insert(0, CAUTION)
    status = "not_final" if missing else "ok"
    return Comparison(name, baseline, status, " ".join(filter(None, details)), missing, **answer)
