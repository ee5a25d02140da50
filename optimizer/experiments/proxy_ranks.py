"""Ranks the proxies of a plan by the time that each saves and how far it can be trusted, both at once.

The fastest proxy is often the one that says least of the goal. Time saved counts as far as the proxy's measured
effect follows the goal's true one; where nothing is known of that, a proxy comes after all of which something is.
"""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.experiments.planning.shapes import PlannedMetric


def ranked(metrics: Sequence[PlannedMetric], variants: int) -> list[PlannedMetric]:
    """Give every proxy its rank and the share of the goal's time that it saves.

    Args:
        metrics: Of the plan, the goal first.
        variants: Arms.

    Returns:
        The same metrics in the same order.
    """
    goal = metrics[0]
    saved = {metric.metric: _saved(metric, goal, variants) for metric in metrics if metric.proxy is not None}
    proxies = [metric for metric in metrics if metric.proxy is not None]
    order = sorted(proxies, key=lambda metric: _worth(metric, saved[metric.metric]))
    ranks = {metric.metric: place for place, metric in enumerate(order, 1)}
    return [
        metric
        if metric.proxy is None
        else metric.model_copy(
            update={
                "proxy": metric.proxy.model_copy(
                    update={"rank": ranks[metric.metric], "time_saved": saved[metric.metric]}
                )
            }
        )
        for metric in metrics
    ]


def _saved(metric: PlannedMetric, goal: PlannedMetric, variants: int) -> float | None:
    note = metric.proxy
    if note is None or note.visitors_for_goal_effect is None:
        return None
    if note.days_for_goal_effect is not None and goal.days:
        return round(1 - note.days_for_goal_effect / goal.days, 4)
    return round(1 - note.visitors_for_goal_effect * variants / goal.visitors, 4)


def _worth(metric: PlannedMetric, saved: float | None) -> tuple[bool, bool, float, int, str]:
    note = metric.proxy
    assert note is not None  # noqa: S101 - only proxies are ranked
    useless = saved is None or saved <= 0
    trust = 1.0 if note.quality is None else max(0.0, note.quality)
    assumed = note.effect_basis == "assumed_equal"
    needed = note.visitors_for_goal_effect or metric.visitors
    return useless, assumed, -(saved or 0.0) * trust, needed, metric.metric
