"""The surrogate index: what the goal would be if it hung on the intermediate steps alone. Context, never a verdict.

It needs no past experiment, only past visitors, and so it believes that whatever goes with a purchase in them brings
one about. Where the treatment reaches the goal by another way, or changes who takes the step, it is wrong, and no
interval shows by how much.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optimizer.core.stats.effects import Interval, check_alpha

RESAMPLES = 1_000
CAVEAT = (
    "Observational context, not evidence: it holds only if the change acts on the goal through these steps alone, "
    "and it never decides."
)


class SurrogateIndex(NamedTuple):
    """τ = mean over treatment of h − mean over control of h.

    Attributes:
        estimate: In the goal's own unit.
        interval: Percentile bootstrap of both parts: the history behind h, and the test's own units.
        uncovered: Share of the test's units whose steps nobody in the history took; h is the overall mean for them.
    """

    estimate: float
    interval: Interval
    uncovered: float


def surrogate_index(
    history_units: np.ndarray,
    history_goals: np.ndarray,
    control: np.ndarray,
    treatment: np.ndarray,
    *,
    rng: np.random.Generator,
    alpha: float = 0.05,
) -> SurrogateIndex:
    """Estimate the goal's effect through h(s, x) = E[Y | S = s, X = x], saturated over m cells of (s, x).

    Units with the same steps and covariates are alike to h, so counts per cell are the whole unit-level history of a
    0/1 goal, and its bootstrap is a multinomial draw of cells and a binomial draw within each.

    Args:
        history_units: Past units per cell, shape (m,).
        history_goals: Of those, how many reached the goal, shape (m,).
        control: The test's control units per cell, shape (m,).
        treatment: The test's treatment units per cell, shape (m,).
        rng: Source of randomness.
        alpha: The interval's level is 1 − alpha.

    Raises:
        ValueError: Shapes differ, nobody is in one of the parts, or goals exceed units.

    Source:
        Athey, Chetty, Imbens, Kang, "The surrogate index", NBER 26463.
    """
    check_alpha(alpha)
    parts = (history_units, history_goals, control, treatment)
    if len({part.shape for part in parts}) > 1 or min(part.min() for part in parts) < 0:
        raise ValueError("history_units, history_goals, control and treatment must be counts of one shape")
    if (history_goals > history_units).any():
        raise ValueError("history_goals must not exceed history_units")
    if min(history_units.sum(), control.sum(), treatment.sum()) == 0:
        raise ValueError("history_units, control and treatment must each hold a unit")
    estimate = _contrast(history_units, history_goals, control, treatment)
    share = history_units / history_units.sum()
    rates = np.divide(history_goals, history_units, out=np.zeros(len(share)), where=history_units > 0)
    past = rng.multinomial(int(history_units.sum()), share, RESAMPLES)
    goals = rng.binomial(past, rates)
    arms = [rng.multinomial(int(arm.sum()), arm / arm.sum(), RESAMPLES) for arm in (control, treatment)]
    drawn = _contrast(past, goals, *arms)
    low, high = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
    unseen = (control + treatment)[history_units == 0].sum() / (control.sum() + treatment.sum())
    return SurrogateIndex(float(estimate), Interval(float(low), float(high)), float(unseen))


def _contrast(units: np.ndarray, goals: np.ndarray, control: np.ndarray, treatment: np.ndarray) -> np.ndarray:
    overall = goals.sum(-1, keepdims=True) / units.sum(-1, keepdims=True)
    expected = np.where(units > 0, goals / np.maximum(units, 1), overall)
    shift = treatment / treatment.sum(-1, keepdims=True) - control / control.sum(-1, keepdims=True)
    return np.asarray((expected * shift).sum(-1))
