"""Analyses counts that a team brings along: the same code as an experiment's results, without anything stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from optimizer.core.stats.comparison import Case, Design, compare_cases
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.decisions import Candidate, decide
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.multiplicity import holm
from optimizer.errors import InvalidInputError, Problem
from optimizer.experiments.answers import (
    MetricResult,
    ResultAnswer,
    check_answers,
    comparison_answer,
    decision_answer,
    ratio_check,
    variant_answers,
)
from optimizer.experiments.harm import watch_harm

Key = Annotated[str, Field(min_length=1, max_length=100)]
Natural = Annotated[int, Field(ge=0, le=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class VariantCounts(BaseModel):
    """One variant's counts: conversions of a proportion, or sum and sum of squares of a value."""

    model_config = ConfigDict(extra="forbid")

    key: Key = Field(description="Name of the variant.")
    visitors: Natural = Field(description="Units exposed.")
    conversions: Natural | None = Field(None, description="Units that converted; at most visitors.")
    sum: Finite | None = Field(None, description="Σx of a value per visitor, instead of conversions.")
    sum_squares: Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)] | None = Field(
        None, description="Σx² of that value; without it no variance can be known."
    )
    converters: Natural | None = Field(None, description="Visitors with a value above 0, for the gate of sums.")


class AnalysisRequest(BaseModel):
    """Counts per variant and how to compare them."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["fixed", "sequential", "bayesian"] = Field(
        "sequential", description="One look at the end, monitoring, or a posterior without any error guarantee."
    )
    alpha: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(0.05, description="Two-sided error rate.")
    baseline: Key | None = Field(None, description="The control; by default the first variant.")
    planned_visitors: Annotated[int, Field(gt=0, le=2**53)] | None = Field(
        None, description="Planned total over all variants, fixed before the first look."
    )
    variants: list[VariantCounts] = Field(min_length=2, max_length=50, description="Two or more.")
    weights: dict[Key, Weight] | None = Field(None, description="Share of traffic per variant; equal by default.")


def analyse(request: AnalysisRequest) -> ResultAnswer:
    """Compare the variants.

    Raises:
        InvalidInputError: Names each field that is wrong.
    """
    problems = _problems(request)
    if problems:
        raise InvalidInputError(f"The counts cannot be analysed: {problems[0].detail}", problems)
    weights = {variant.key: (request.weights or {}).get(variant.key, 1.0) for variant in request.variants}
    proportion = request.variants[0].conversions is not None
    baseline = request.baseline or request.variants[0].key
    design = Design(request.method, request.alpha, request.planned_visitors)
    case = _case(request.variants, design, weights, proportion=proportion)
    [comparisons] = compare_cases([case], baseline, holm)
    units = {variant.key: variant.visitors for variant in request.variants}
    checks = [ratio_check(units, weights, request.method)]
    decision = decide(
        checks,
        [Candidate(found, harm_p_value=watch_harm(case, found, rising=True)) for found in comparisons],
        units=sum(units.values()),
        planned=request.planned_visitors,
    )
    kind: Literal["proportion", "sum"] = "proportion" if proportion else "sum"
    metric = MetricResult(
        metric="conversion",
        role="primary",
        type=kind,
        variants=variant_answers(case, kind, units),
        comparisons=[comparison_answer(found) for found in comparisons],
    )
    return ResultAnswer(
        method=request.method,
        alpha=request.alpha,
        units=units,
        checks=check_answers(checks),
        metrics=[metric],
        decision=decision_answer(decision),
    )


def _case(
    variants: Sequence[VariantCounts], design: Design, weights: Mapping[str, float], *, proportion: bool
) -> Case:
    totals = [float((variant.conversions if proportion else variant.sum) or 0) for variant in variants]
    squares = [math.nan if variant.sum_squares is None else variant.sum_squares for variant in variants]
    columns, amounts = ["value"], [totals]
    if not proportion and all(variant.converters is not None for variant in variants):
        columns.append("converters")
        amounts.append([float(variant.converters or 0) for variant in variants])
    row = CrossMoments.of_sums(
        [variant.key for variant in variants],
        columns,
        [variant.visitors for variant in variants],
        list(zip(*amounts, strict=True)),
        {("value", "value"): totals if proportion else squares},
    )
    converters = "converters" if len(columns) > 1 else None
    measure = Measure("proportion" if proportion else "mean", "value", converters=converters)
    return Case(row, measure, design, weights)


def _problems(request: AnalysisRequest) -> list[Problem]:
    keys = [variant.key for variant in request.variants]
    problems = [
        problem
        for place, variant in enumerate(request.variants)
        for problem in _variant_problems(f"/variants/{place}", variant, keys[:place])
    ]
    if len({variant.conversions is None for variant in request.variants}) > 1:
        problems.append(Problem("/variants", "mixed", "Give conversions for every variant or for none."))
    if request.baseline is not None and request.baseline not in keys:
        problems.append(Problem("/baseline", "unknown_variant", f"baseline must be one of {', '.join(keys)}."))
    weights = request.weights or {}
    unknown = sorted(weights.keys() - set(keys))
    if unknown:
        problems.append(Problem("/weights", "unknown_variant", f"weights may name only {', '.join(keys)}."))
    if request.weights is not None and sum(weights.get(key, 1.0) for key in keys) == 0:
        problems.append(Problem("/weights", "all_zero", "At least one weight must be above 0."))
    return problems


def _variant_problems(base: str, variant: VariantCounts, earlier: list[str]) -> list[Problem]:
    problems = []
    if variant.key in earlier:
        problems.append(Problem(f"{base}/key", "duplicate", "Every variant needs a key of its own."))
    if (variant.conversions is None) == (variant.sum is None):
        problems.append(Problem(f"{base}/conversions", "one_of", "Give either conversions or sum."))
    if variant.conversions is not None and variant.conversions > variant.visitors:
        problems.append(Problem(f"{base}/conversions", "above_visitors", "conversions must not exceed visitors."))
    if variant.converters is not None and variant.converters > variant.visitors:
        problems.append(Problem(f"{base}/converters", "above_visitors", "converters must not exceed visitors."))
    total, squares = variant.sum or 0.0, variant.sum_squares
    if squares is not None and squares * variant.visitors < total**2 * (1 - 1e-9):
        detail = "No values have this sum and sum of squares over so few visitors (Cauchy-Schwarz)."
        problems.append(Problem(f"{base}/sum_squares", "impossible", detail))
    return problems
