"""Watching a primary metric for harm at every look, with an error rate of its own, whatever the design."""

from __future__ import annotations

from dataclasses import replace

from optimizer.core.stats.comparison import Arm, Case, Comparison, planned_pair
from optimizer.core.stats.figures import figures
from optimizer.core.stats.guardrails import HARM_ALPHA, harm_p_value
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.statuses import status_of


def watch_harm(case: Case, comparison: Comparison, *, rising: bool) -> float | None:
    """Return the one-sided p-value of harm; None until a sequence may be trusted.

    Args:
        case: The primary metric.
        comparison: One variant on it.
        rising: Whether an increase is good.
    """
    baseline, variant = comparison.baseline, comparison.variant
    monitored = replace(case, design=replace(case.design, method="sequential"))
    a, b = case.row.arms.index(baseline), case.row.arms.index(variant)
    unready = status_of(monitored, figures(case.row, case.measure, adjusted=False), a, b)
    if unready or comparison.absolute is None or not comparison.standard_error:
        return None
    change = comparison.absolute if rising else -comparison.absolute
    arms = {key: Arm(Moments(0, 0.0, 0.0), weight) for key, weight in case.weights.items()}
    planned = planned_pair(arms, baseline, variant, case.design)
    n = float(case.row.n[a] + case.row.n[b])
    return harm_p_value(change, comparison.standard_error, n, planned, HARM_ALPHA)
