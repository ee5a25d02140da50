"""What one metric costs under a plan's method: what differs between methods, and nothing else."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optimizer.core.stats.group_sequential import Spending, boundaries, crossing
from optimizer.core.stats.sequential import EXPECTED_CONVERSIONS
from optimizer.core.stats.sizes import (
    bayesian_power,
    bayesian_size,
    fixed_power,
    fixed_size,
    group_sequential_drift,
    group_sequential_size,
    minimum_effect,
    sequential_power,
    sequential_size,
)
from optimizer.core.stats.stopping import Stopping, group_sequential_stopping, sequential_stopping
from optimizer.core.stats.targets import Shares, Target, mean_target, non_inferiority_target, proportion_target
from optimizer.experiments.planning.shapes import Method

SEED = 20_080_310  # simulated power must not change when the same plan is asked for again
CURVE_POINTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0, 1.15, 1.35, 1.6, 2.0)  # of the planned size
LARGEST_LIFT = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What all metrics of a plan share.

    Attributes:
        method: How the test is read.
        alpha: Two-sided error rate of each comparison with the control.
        split: Shares of the comparison with the smallest arm: where it has its power, the others have more.
        arms: Variants, the control included.
        looks: Of group_sequential: information at each look, as shares of the plan.
        spending: Of group_sequential.
        loss_relative: Of bayesian: expected loss that is accepted, relative to the baseline.
    """

    method: Method
    alpha: float
    split: Shares
    arms: int
    looks: tuple[float, ...]
    spending: Spending
    loss_relative: float


@dataclass(frozen=True, slots=True)
class Level:
    """Where a metric stands without any effect.

    Attributes:
        mean: Its rate or mean, above 0.
        variance: Of one unit.
        rate: Whether units have it or not, so that an effect moves the variance too.
    """

    mean: float
    variance: float
    rate: bool


def effect_target(level: Level, relative: float, plan: Plan) -> Target:
    """Describe a relative effect."""
    if level.rate:
        return proportion_target(level.mean, level.mean * (1 + relative), plan.split)
    return mean_target(level.variance, level.mean * relative, plan.split)


def guardrail_target(level: Level, margin: float, plan: Plan, *, less_is_better: bool) -> Target:
    """Describe a tolerated loss where nothing is lost."""
    split = plan.split
    if not less_is_better:
        return non_inferiority_target(level.mean, level.variance, margin, split)
    spread = level.variance / split.treatment + (1 + margin) ** 2 * level.variance / split.control
    return Target(margin * level.mean, spread, spread, split.control + split.treatment)  # from (1 + m)·μ_a


def visitors_needed(target: Target, plan: Plan, power: float, level: Level) -> float:
    """Return the total that has the power, no arm empty."""
    sizes: dict[Method, Callable[[], float]] = {
        "fixed": lambda: fixed_size(target, plan.alpha, power),
        "sequential": lambda: sequential_size(target, plan.alpha, power),
        "group_sequential": lambda: group_sequential_size(target, plan.looks, plan.alpha, power, plan.spending),
        "bayesian": lambda: bayesian_size(target, plan.loss_relative * level.mean, power),
    }
    least = _ready_from(plan, level) if plan.method == "sequential" else 0.0
    return max(float(plan.arms), least, sizes[plan.method]())


def power_curve(target: Target, plan: Plan, total: float, level: Level) -> list[tuple[int, float]]:
    """Return (visitors, power) around a planned total."""
    sizes = [max(1, math.ceil(total * share)) for share in CURVE_POINTS]
    return [(size, power_at(target, plan, size, level)) for size in sizes]


def power_at(target: Target, plan: Plan, total: float, level: Level) -> float:
    """Return the chance of a verdict by a total; of sequential that of the last look alone, 0 before its gate."""
    if plan.method == "sequential":
        if total < _ready_from(plan, level):
            return 0.0
        return float(sequential_power(target, total, plan.alpha))
    if plan.method == "bayesian":
        return float(bayesian_power(target, total, plan.loss_relative * level.mean))
    if plan.method == "group_sequential":
        return _crossed(plan.looks, plan.alpha, plan.spending, round(_drift(target, total), 6))
    return float(fixed_power(target, total, plan.alpha))


def detectable_effect(level: Level, sign: float, plan: Plan, power: float, total: float) -> float | None:
    """Return the smallest relative effect of a direction that a total sees; None when it sees none thought of."""
    room = (1 - level.mean) / level.mean if level.rate else LARGEST_LIFT
    largest = min(LARGEST_LIFT, room) * 0.999 if sign > 0 else 0.999

    def target_of(effect: float) -> Target:
        return effect_target(level, sign * effect, plan)

    def power_of(target: Target) -> float:
        return power_at(target, plan, total, level)

    def share_of_drift(target: Target) -> float:  # grows with the power, and needs no integration
        drift = _drift(target, total)
        return drift / (drift + needed)

    try:
        if plan.method == "group_sequential":
            needed = group_sequential_drift(plan.looks, plan.alpha, power, plan.spending)
            return sign * minimum_effect(target_of, share_of_drift, 0.5, largest)
        return sign * minimum_effect(target_of, power_of, power, largest)
    except ValueError:
        return None


def stopping(target: Target, plan: Plan, total: float, level: Level) -> Stopping | None:
    """Return when a monitored test of a true effect stops; None where there is one look."""
    if plan.method == "group_sequential":
        return group_sequential_stopping(target, total, plan.looks, plan.alpha, plan.spending)
    if plan.method != "sequential":
        return None
    ready = _ready_from(plan, level)
    return sequential_stopping(target, total, plan.alpha, np.random.default_rng(SEED), ready_from=ready)


def expected_cell(level: Level, arm: float) -> float:
    """Return how many units of an arm are expected in the rarer of two outcomes; without end for means."""
    return arm * min(level.mean, 1 - level.mean) if level.rate else math.inf


def _ready_from(plan: Plan, level: Level) -> float:
    # 0 for means: their gate depends on who has a value.
    return EXPECTED_CONVERSIONS / expected_cell(level, min(plan.split))


def _drift(target: Target, total: float) -> float:
    return abs(target.effect) * math.sqrt(total / target.variance)


@functools.lru_cache(maxsize=1024)
def _crossed(looks: tuple[float, ...], alpha: float, spending: Spending, drift: float) -> float:
    found = crossing(looks, _bounds(looks, alpha, spending), drift)
    return min(1.0, float(found.upper.sum()))


@functools.lru_cache(maxsize=64)
def _bounds(looks: tuple[float, ...], alpha: float, spending: Spending) -> np.ndarray:
    found: np.ndarray = boundaries(looks, np.array([alpha]), spending)[:, 0]
    return found
