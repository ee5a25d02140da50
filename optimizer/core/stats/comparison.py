"""The one comparison behind `POST /v1/analyses` and experiment results: sums in, figures and statuses out.

Every arm is compared with the baseline by the chosen method, all metrics and arms at once; p-values are adjusted over
them and intervals with the p-values. What cannot be judged gets a status and no number, never a NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from optimizer.core.stats.bayes import CAUTION
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.design import Case, Design, Method, judge
from optimizer.core.stats.effects import Floats, check_alpha
from optimizer.core.stats.figures import Figures, Measure, figures
from optimizer.core.stats.findings import Comparison, Unadjusted, describe
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.multiplicity import holm, interval_alphas
from optimizer.core.stats.pairs import Pairs, join, pair_up
from optimizer.core.stats.sequential import DEFAULT_PLANNED_PAIR
from optimizer.core.stats.statuses import missing_units, status_of

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
    laid = [_lay_out(case, baseline) for case in cases]
    usable = [part for part in laid if part.places]
    if not usable:
        return [part.comparisons for part in laid]
    pairs = join([part.pairs for part in usable])
    alpha = np.full(len(pairs.n_a), max(design.alpha, LEAST_ALPHA))
    judged = judge(pairs, alpha, design)
    adjusted = list[float]()
    if design.method != "bayesian":
        p_values = judged.p_value.tolist()
        adjusted = adjust(p_values)
        alpha = np.maximum(interval_alphas(p_values, adjusted, design.alpha), LEAST_ALPHA)
        if (alpha != design.alpha).any():
            judged = judge(pairs, alpha, design)
    plain = _judge_plain(usable, alpha, design)
    answers = iter(describe(judged, pairs, alpha, adjusted, design))
    covariates = iter(_covariates(usable, pairs, plain))
    for part in usable:
        for place in part.places:
            blank, answer = part.comparisons[place], next(answers)
            answer["significant"] = answer["significant"] and blank.status == "ok"
            part.comparisons[place] = replace(blank, **answer, **next(covariates))
    return [part.comparisons for part in laid]


def planned_pair(arms: Mapping[str, Arm], baseline: str, name: str, design: Design) -> float:
    """Return N*: the planned visitors of one pair of arms."""
    return _planned({key: arm.weight for key, arm in arms.items()}, baseline, name, design)


class _Laid(NamedTuple):
    """One case laid out: blank comparisons, which of them have pairs, and the pairs."""

    comparisons: list[Comparison]
    places: list[int]
    pairs: Pairs
    plain: Pairs | None
    figures: Figures


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
    if design.planned_total is None:
        return DEFAULT_PLANNED_PAIR
    whole = sum(weights.values())
    return max(1.0, design.planned_total * (weights[baseline] + weights[name]) / whole)


def _lay_out(case: Case, baseline: str) -> _Laid:
    row, family = case.row, case.measure.family
    if baseline not in row.arms:
        raise ValueError("baseline must name one of the arms")
    plain = figures(row, case.measure, adjusted=False)
    found = figures(row, case.measure) if case.measure.covariates else plain
    a, missing = row.arms.index(baseline), missing_units(case)
    comparisons, places, others = list[Comparison](), list[int](), list[int]()
    for b, name in enumerate(row.arms):
        if b == a:
            continue
        status = status_of(case, plain, a, b)
        if status:
            comparisons.append(Comparison(name, baseline, status.name, status.detail, status.missing))
            continue
        places.append(len(comparisons))
        others.append(b)
        detail = f"{missing} of the planned visitors are missing; a fixed-horizon test is read once, at the end."
        comparisons.append(
            Comparison(name, baseline, "not_final", detail, missing)
            if missing
            else Comparison(name, baseline, detail=CAUTION if case.design.method == "bayesian" else "")
        )
    weights = {name: case.weights.get(name, 1.0) for name in row.arms}
    planned = np.array([_planned(weights, baseline, row.arms[b], case.design) for b in others])
    pairs = pair_up(found, a, others, planned, family=family)
    beside = pair_up(plain, a, others, planned, family=family) if found.adjusted else None
    return _Laid(comparisons, places, pairs, beside, found)


def _judge_plain(usable: Sequence[_Laid], alpha: Floats, design: Design) -> list[tuple[Unadjusted, float]]:
    """Judge the adjusted pairs once more without covariates; with the sampling variance of the difference."""
    parts, levels, start = list[Pairs](), list[Floats](), 0
    for part in usable:
        end = start + len(part.places)
        if part.plain is not None:
            parts.append(part.plain)
            levels.append(alpha[start:end])
        start = end
    if not parts:
        return []
    pairs, level = join(parts), np.concatenate(levels)
    rows = describe(judge(pairs, level, design), pairs, level, [], design)
    keys = ("absolute", "absolute_interval", "relative", "relative_interval", "p_value")
    variances = (pairs.variance_a + pairs.variance_b).tolist()
    return [(Unadjusted(*(row[key] for key in keys)), v) for row, v in zip(rows, variances, strict=True)]


def _covariates(usable: Sequence[_Laid], pairs: Pairs, plain: list[tuple[Unadjusted, float]]) -> list[dict[str, Any]]:
    """Say per pair what covariates did, or why they did nothing."""
    variances, beside = iter((pairs.variance_a + pairs.variance_b).tolist()), iter(plain)
    found = list[dict[str, Any]]()
    for part in usable:
        for place in part.places:
            variance = next(variances)
            if part.plain is not None:
                unadjusted, whole = next(beside)
                reduction = 1 - variance / whole if whole > 0 else None
                found.append({"covariate": "adjusted", "unadjusted": unadjusted, "variance_reduction": reduction})
            elif part.figures.status:
                detail = f"{part.comparisons[place].detail} {part.figures.detail}".strip()
                found.append({"covariate": part.figures.status, "detail": detail})
            else:
                found.append({})
    return found
