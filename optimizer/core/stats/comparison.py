"""The one comparison behind `POST /v1/analyses` and experiment results: moments in, figures and statuses out.

Every arm is compared with the baseline by the chosen method; p-values are adjusted over arms (Holm) and intervals
with them. What cannot be judged gets a status and no number, never a NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from optimizer.core.stats.effects import Effect, Interval, check_alpha
from optimizer.core.stats.means import compare_means
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.multiplicity import holm, interval_alphas
from optimizer.core.stats.proportions import compare_proportions
from optimizer.core.stats.ratios import Sampled, relative_lift
from optimizer.core.stats.sequential import (
    DEFAULT_PLANNED_PAIR,
    missing_conversions,
    missing_converters,
    rho_squared,
    sequential_means,
    sequential_proportions,
)

Method = Literal["fixed", "sequential"]
Family = Literal["proportion", "mean"]
Adjustment = Callable[[Sequence[float]], list[float]]
MINIMUM_UNITS = 2


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant as a metric sees it.

    Attributes:
        moments: n, Σx, Σx².
        weight: Its share of traffic, in any scale; 0 closes it.
        converters: Units with a value above 0, for the gate of sums; None means Σx of a proportion.
    """

    moments: Moments
    weight: float = 1.0
    converters: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against the baseline; numbers are None unless the status is `ok` (or `not_final`).

    Attributes:
        variant: The arm.
        baseline: The arm it is compared with.
        status: ok, too_early, not_final, empty, zero_weight, no_variance, no_sum_of_squares.
        detail: One sentence on the status; empty when ok.
        missing: Units or conversions that are missing, for too_early and not_final.
        absolute: μ_b − μ_a and its interval.
        relative: μ_b/μ_a − 1 and its interval, None when μ_a is 0.
        level: Level of both intervals (adjusted like the p-value).
        p_value: By the method; anytime-valid under `sequential`.
        adjusted_p_value: Holm over arms.
        significant: adjusted_p_value < α, and the status allows a verdict.
        method: The convention, by name.
    """

    variant: str
    baseline: str
    status: str = "ok"
    detail: str = ""
    missing: int = 0
    absolute: float | None = None
    absolute_interval: Interval | None = None
    standard_error: float | None = None
    relative: float | None = None
    relative_interval: Interval | None = None
    level: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    significant: bool = False
    method: str | None = None


@dataclass(frozen=True, slots=True)
class Design:
    """How arms are compared.

    Attributes:
        method: ``fixed`` (one look at the planned size) or ``sequential``.
        alpha: Two-sided error rate.
        planned_total: Planned visitors over all open arms; None means the analyst vouches for it being the end.
        family: ``proportion`` for 0/1 metrics, else ``mean``.
    """

    method: Method
    alpha: float
    planned_total: float | None
    family: Family = "proportion"


def compare(arms: Mapping[str, Arm], baseline: str, design: Design) -> list[Comparison]:
    """Compare every arm with the baseline; Holm over arms.

    Raises:
        ValueError: The baseline is not an arm, or alpha is outside (0, 1).
    """
    return compare_family([(arms, design)], baseline, holm)[0]


def compare_family(
    cases: Sequence[tuple[Mapping[str, Arm], Design]], baseline: str, adjust: Adjustment
) -> list[list[Comparison]]:
    """Compare every arm with the baseline on several metrics, adjusting over all of them together.

    Args:
        cases: One metric each: its arms and its design; all designs share one alpha.
        baseline: The arm to compare with.
        adjust: `holm` where every claim must hold, `benjamini_hochberg` where a share may not.

    Returns:
        One list per case, in order.

    Raises:
        ValueError: The baseline is not an arm of every case, or an alpha is outside (0, 1).
    """
    keyed: dict[tuple[int, str], Comparison] = {}
    for place, (arms, design) in enumerate(cases):
        check_alpha(design.alpha)
        if baseline not in arms:
            raise ValueError("baseline must name one of the arms")
        others = (name for name in arms if name != baseline)
        keyed.update({(place, name): _one(arms, baseline, name, design, design.alpha) for name in others})
    judged = [key for key, found in keyed.items() if found.p_value is not None]
    p_values = [keyed[key].p_value or 0.0 for key in judged]
    adjusted = adjust(p_values)
    alphas = interval_alphas(p_values, adjusted, cases[0][1].alpha) if cases else []
    for (place, name), q_value, level_alpha in zip(judged, adjusted, alphas, strict=True):
        arms, design = cases[place]
        again = keyed[place, name]
        if level_alpha != design.alpha:
            own = _one(arms, baseline, name, design, level_alpha)
            again = replace(own, p_value=again.p_value)
        significant = again.status == "ok" and q_value < design.alpha
        keyed[place, name] = replace(again, adjusted_p_value=q_value, significant=significant)
    return [[found for (place, _), found in keyed.items() if place == wanted] for wanted in range(len(cases))]


def _one(arms: Mapping[str, Arm], baseline: str, name: str, design: Design, alpha: float) -> Comparison:
    control, treatment = arms[baseline], arms[name]
    blank = Comparison(name, baseline)
    status = _unusable(control, treatment, design)
    if status:
        return replace(blank, status=status[0], detail=status[1])
    status_early = _too_early(control, treatment, design)
    if status_early:
        return replace(blank, status="too_early", detail=status_early[1], missing=status_early[0])
    effect = _effect(control.moments, treatment.moments, design, alpha, planned_pair(arms, baseline, name, design))
    lift = relative_lift(_sampled(control.moments, design), _sampled(treatment.moments, design), effect.critical)
    missing = _missing_units(arms, design)
    return replace(
        blank,
        status="not_final" if missing else "ok",
        detail=f"{missing} of the planned visitors are missing; a fixed-horizon test is read once, at the end."
        if missing
        else "",
        missing=missing,
        absolute=effect.estimate,
        absolute_interval=effect.interval,
        standard_error=effect.standard_error,
        relative=lift.estimate if lift else None,
        relative_interval=lift.interval if lift else None,
        level=1 - alpha,
        p_value=effect.p_value,
        method=f"{effect.method}, {lift.method}" if lift else effect.method,
    )


def _unusable(control: Arm, treatment: Arm, design: Design) -> tuple[str, str] | None:
    if control.weight == 0 or treatment.weight == 0:
        return "zero_weight", "An arm of weight 0 takes no part in the comparison."
    if control.moments.n == 0 or treatment.moments.n == 0:
        return "empty", "An arm has no visitors yet."
    if control.moments.squares is None or treatment.moments.squares is None:
        return "no_sum_of_squares", "The variance cannot be known without the sum of squared values."
    if design.family == "mean" and min(control.moments.n, treatment.moments.n) < MINIMUM_UNITS:
        return "no_variance", "An arm has a single visitor; a variance needs two."
    if _varies(control.moments) or _varies(treatment.moments):
        return None
    return "no_variance", "Nothing varies: every visitor has the same value."


def _varies(moments: Moments) -> bool:
    squares = moments.squares or 0.0
    return squares * moments.n - moments.total**2 > 1e-12 * max(1.0, squares * moments.n)  # beyond rounding


def _too_early(control: Arm, treatment: Arm, design: Design) -> tuple[int, str] | None:
    if design.method != "sequential":
        return None
    if design.family == "proportion":
        missing = missing_conversions(control.moments, treatment.moments)
        what = "more expected conversions in the smaller arm"
    else:
        missing = missing_converters(*(_converters(arm) for arm in (control, treatment)))
        what = "more visitors with a value in the smaller arm"
    return (missing, f"Too early for a verdict: {missing} {what} are needed.") if missing else None


def _converters(arm: Arm) -> int:
    return arm.moments.n if arm.converters is None else arm.converters


def _effect(control: Moments, treatment: Moments, design: Design, alpha: float, pair_total: float) -> Effect:
    proportion = design.family == "proportion"
    if design.method == "fixed":
        return (compare_proportions if proportion else compare_means)(control, treatment, alpha)
    # The sequence is tuned to the design's own alpha, also where an adjusted interval is asked for.
    rho2 = rho_squared(design.alpha, pair_total)
    return (sequential_proportions if proportion else sequential_means)(control, treatment, alpha, rho2)


def planned_pair(arms: Mapping[str, Arm], baseline: str, name: str, design: Design) -> float:
    """Return N*: the planned visitors of one pair of arms."""
    if design.planned_total is None:
        return DEFAULT_PLANNED_PAIR
    share = (arms[baseline].weight + arms[name].weight) / sum(arm.weight for arm in arms.values())
    return design.planned_total * share


def _sampled(moments: Moments, design: Design) -> Sampled:
    rate = moments.mean
    one = rate * (1 - rate) if design.family == "proportion" else moments.variance
    return Sampled(rate, one / moments.n)


def _missing_units(arms: Mapping[str, Arm], design: Design) -> int:
    if design.method != "fixed" or design.planned_total is None:
        return 0
    return max(0, round(design.planned_total) - sum(arm.moments.n for arm in arms.values()))
