"""What a comparison says: plain numbers with names, made of the arrays that methods answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from optimizer.core.stats.design import Design
from optimizer.core.stats.effects import Floats, Interval
from optimizer.core.stats.pairs import Judged, Pairs
from optimizer.core.stats.sequential import tuned
from optimizer.core.stats.shrinkage import kept_share


@dataclass(frozen=True, slots=True)
class Unadjusted:
    """The same comparison without covariates, at the same level."""

    absolute: float
    absolute_interval: Interval
    relative: float | None
    relative_interval: Interval | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against the baseline; numbers are None unless the status is `ok` (or `not_final`).

    Attributes:
        variant: The arm.
        baseline: The arm it is compared with.
        status: ok, or one of `statuses.Status`.
        detail: One sentence on the status, on a covariate that was not used, or on what the method does not promise.
        missing: Units or conversions that are missing, for too_early and not_final.
        absolute: μ_b − μ_a and its interval.
        relative: μ_b/μ_a − 1 and its interval, None when μ_a is not above 0.
        level: Level of both intervals (adjusted like the p-value).
        p_value: By the method; anytime-valid under `sequential`; None under `bayesian`.
        adjusted_p_value: Holm over arms.
        significant: adjusted_p_value < α (Bayesian: the interval excludes 0), and the status allows a verdict.
        method: The convention, by name.
        chance_to_win: P(μ_b > μ_a), Bayesian only; see `turned`.
        expected_loss: What choosing the arm is expected to cost, Bayesian only, in the metric's unit.
        baseline_loss: What keeping the baseline is expected to cost, Bayesian only.
        covariate: ``adjusted``; why not (``constant_covariate``, ``explains_all``, ``too_few_units``,
            ``unknown_products``); empty when the metric has none.
        unadjusted: The figures without covariates, where the main ones are adjusted.
        variance_reduction: Share of the difference's sampling variance that the covariates took away.
        shrunk: `absolute` shrunk for the luck that winners have (`shrinkage`); None under `bayesian`.
        shrunk_relative: `relative`, likewise.
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
    chance_to_win: float | None = None
    expected_loss: float | None = None
    baseline_loss: float | None = None
    covariate: str = ""
    unadjusted: Unadjusted | None = None
    variance_reduction: float | None = None
    shrunk: float | None = None
    shrunk_relative: float | None = None


def turned(comparison: Comparison) -> Comparison:
    """Turn Bayesian figures round, for a metric of which less is better: to win is to be lower."""
    if comparison.chance_to_win is None:
        return comparison
    return replace(
        comparison,
        chance_to_win=1 - comparison.chance_to_win,
        expected_loss=comparison.baseline_loss,
        baseline_loss=comparison.expected_loss,
    )


def describe(
    judged: Judged, pairs: Pairs, alpha: Floats, adjusted: Sequence[float], design: Design
) -> list[dict[str, Any]]:
    """Turn arrays of answers into the fields of comparisons, NaN into None.

    Args:
        judged: Answers.
        pairs: What was judged.
        alpha: Per pair, level of its interval is 1 − alpha.
        adjusted: Adjusted p-values, empty when there are none.
        design: How it was judged.
    """
    columns = zip(
        judged.estimate.tolist(),
        zip(judged.lower.tolist(), judged.upper.tolist(), strict=True),
        judged.standard_error.tolist(),
        judged.lifts.estimate.tolist(),
        zip(judged.lifts.lower.tolist(), judged.lifts.upper.tolist(), strict=True),
        judged.p_value.tolist(),
        judged.names,
        judged.lifts.names.tolist(),
        zip(judged.chance_to_win.tolist(), judged.loss.tolist(), judged.baseline_loss.tolist(), strict=True),
        _shares(pairs, design),
        alpha.tolist(),
        adjusted or [math.nan] * len(alpha),
        strict=True,
    )
    answers = []
    for estimate, bounds, error, lift, lift_bounds, p, name, lift_name, belief, share, level, q in columns:
        related = not math.isnan(lift)
        significant = q < design.alpha
        if design.method == "bayesian":
            significant = bounds[0] > 0 or bounds[1] < 0
        answers.append(
            {
                "absolute": estimate,
                "absolute_interval": Interval(*bounds),
                "standard_error": error,
                "relative": lift if related else None,
                "relative_interval": Interval(*lift_bounds) if related else None,
                "level": 1 - level,
                "p_value": _known(p),
                "adjusted_p_value": _known(q),
                "significant": significant,
                "method": f"{name}, {lift_name}" if related else name,
                "chance_to_win": _known(belief[0]),
                "expected_loss": _known(belief[1]),
                "baseline_loss": _known(belief[2]),
                "shrunk": _known(share * estimate),
                "shrunk_relative": _known(share * lift),
            }
        )
    return answers


def _shares(pairs: Pairs, design: Design) -> list[float]:
    if design.method == "bayesian":  # its prior has shrunk the estimate already
        return [math.nan] * len(pairs.n)
    shares: list[float] = kept_share(pairs.n, tuned(design.alpha, pairs.planned)).tolist()
    return shares


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
