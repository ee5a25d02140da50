"""The shape of a result, the same for analyses from counts and for experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from optimizer.core.stats.comparison import Arm, Comparison
from optimizer.core.stats.decisions import Check, Decision
from optimizer.core.stats.srm import RED_BELOW, sample_ratio

Pair = tuple[float, float]


class CheckAnswer(BaseModel):
    """One health check."""

    name: str
    passed: bool
    p_value: float | None
    detail: str


class VariantAnswer(BaseModel):
    """One variant on one metric."""

    variant: str
    units: int
    conversions: int | None = Field(description="Units that converted, for proportions.")
    mean: float | None
    std: float | None
    sum: float | None


class ComparisonAnswer(BaseModel):
    """One variant against the baseline."""

    variant: str
    baseline: str
    absolute: float | None
    relative: float | None
    absolute_interval: Pair | None
    relative_interval: Pair | None
    level: float | None = Field(description="Level of both intervals, adjusted like the p-value.")
    p_value: float | None
    adjusted_p_value: float | None = Field(description="Holm over variants.")
    significant: bool
    chance_to_win: float | None = None
    status: str = Field(description="ok, too_early, not_final, empty, zero_weight, no_variance, no_sum_of_squares.")
    detail: str = Field(description="One sentence on the status.")
    missing: int = Field(description="What is missing until a verdict, in the status's own unit.")
    method: str | None = Field(description="Conventions of the interval and of the relative interval.")
    unadjusted: None = None
    variance_reduction: None = None


class MetricAnswer(BaseModel):
    """One metric."""

    metric: str
    role: Literal["primary", "goal", "secondary", "guardrail"]
    type: Literal["proportion", "count", "sum", "ratio"]
    variants: list[VariantAnswer]
    comparisons: list[ComparisonAnswer]


class DecisionAnswer(BaseModel):
    """What to do and why."""

    action: Literal["ship", "stop", "continue", "investigate"]
    reasons: list[str]
    goal_forecast: None = None


class ResultAnswer(BaseModel):
    """Figures, checks and the decision."""

    method: str
    alpha: float
    units: dict[str, int]
    checks: list[CheckAnswer]
    metrics: list[MetricAnswer]
    decision: DecisionAnswer


def ratio_check(units: Mapping[str, int], weights: Mapping[str, float], method: str) -> Check:
    """Check the split; under monitoring the anytime-valid test decides, at a fixed horizon the χ² test."""
    found = sample_ratio(list(units.values()), [weights[name] for name in units])
    decides = found.sequential_p_value if method == "sequential" else found.p_value
    shown = ", ".join(f"{name} {count:,}" for name, count in units.items())
    test = "anytime-valid multinomial" if method == "sequential" else "χ²"
    detail = (
        f"Units {shown}: p = {decides:.3g} ({test} test, red below {RED_BELOW}; χ² alone gives {found.p_value:.3g})."
    )
    if found.stray_units:
        detail = f"{found.stray_units:,} units are in variants of weight 0. {detail}"
    return Check("srm", decides >= RED_BELOW and found.stray_units == 0, detail, decides)


def variant_answer(name: str, arm: Arm, kind: str) -> VariantAnswer:
    """Describe one arm; nothing is given that its units cannot identify."""
    moments = arm.moments
    varied = moments.n > 1 and moments.squares is not None
    return VariantAnswer(
        variant=name,
        units=moments.n,
        conversions=round(moments.total) if kind == "proportion" else None,
        mean=moments.mean if moments.n else None,
        std=moments.variance**0.5 if varied else None,
        sum=moments.total if kind != "proportion" else None,
    )


def comparison_answer(found: Comparison) -> ComparisonAnswer:
    """Give a comparison the shape of the contract."""
    return ComparisonAnswer(
        variant=found.variant,
        baseline=found.baseline,
        absolute=found.absolute,
        relative=found.relative,
        absolute_interval=found.absolute_interval,
        relative_interval=found.relative_interval,
        level=found.level,
        p_value=found.p_value,
        adjusted_p_value=found.adjusted_p_value,
        significant=found.significant,
        status=found.status,
        detail=found.detail,
        missing=found.missing,
        method=found.method,
    )


def check_answers(checks: Sequence[Check]) -> list[CheckAnswer]:
    """Give checks the shape of the contract."""
    return [CheckAnswer(name=c.name, passed=c.passed, p_value=c.p_value, detail=c.detail) for c in checks]


def decision_answer(decision: Decision) -> DecisionAnswer:
    """Give a decision the shape of the contract."""
    return DecisionAnswer(action=decision.action, reasons=list(decision.reasons))
