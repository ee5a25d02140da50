"""What a plan says in words: what it assumes, what to beware of, and which metric to plan on."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.core.proxies.assessment import Assessment
from optimizer.core.stats.exact import SMALL_CELL
from optimizer.experiments.planning.measured import WINDOW_DAYS
from optimizer.experiments.planning.shapes import PlannedMetric, PlanRequest, Recommended
from optimizer.experiments.planning.sizing import expected_cell
from optimizer.experiments.planning.subjects import Subject

PATIENCE_DAYS = 28  # what teams wait for anyway
LONGEST_DAYS = 365  # beyond it, the site that is tested is no longer the site that began
METHODS = {
    "fixed": "One look, at the planned size.",
    "sequential": "Sizes are those at which the last look alone has the power; monitoring usually stops earlier "
    "(simulated over 100 looks).",
    "group_sequential": "{looks} equally spaced looks, α spent by the {spending}-type function (Lan and DeMets).",
    "bayesian": "Flat prior: one chooses once the expected loss is below {loss:.2%} of the baseline. There is no "
    "guarantee against false alarms, and α plays no part.",
}


def recommended(metrics: Sequence[PlannedMetric], variants: int) -> Recommended:
    """Choose the metric to plan on, and say what the whole test takes with its guardrails."""
    goal = metrics[0]
    chosen, reason = _choice(goal, [metric for metric in metrics if metric.role == "proxy"], variants)
    visitors = {chosen.metric: chosen.visitors}
    if chosen.role == "proxy":
        visitors[chosen.metric] = max(chosen.visitors, _for_the_goal(chosen, variants) or 0)
    rails = [metric for metric in metrics if metric.role == "guardrail"]
    limiting = max([chosen, *rails], key=lambda metric: max(metric.visitors, visitors.get(metric.metric, 0)))
    planned = max(limiting.visitors, visitors.get(limiting.metric, 0))
    days = [days for metric in (chosen, *rails) if (days := _days_of(metric)) is not None]
    return Recommended(
        metric=chosen.metric,
        reason=reason,
        planned_visitors=planned,
        days=max(days, default=None),
        limited_by=limiting.metric,
    )


def assumptions(
    request: PlanRequest, subjects: Sequence[Subject], power: float, daily: float | None, loss: float
) -> list[str]:
    """List what a plan takes for granted."""
    arms = "equal arms" if request.weights is None else "arms by weight"
    test = f"Two-sided test at α = {request.alpha:g}, power {request.power:g}"
    if request.method == "bayesian":
        test = f"A chance of {request.power:g} that a choice can be made when the effect is there"
    lines = [
        f"{test}, unpooled variance, {arms}.",
        METHODS[request.method].format(looks=request.looks, spending=_spoken(request.spending), loss=loss),
        f"The effect to find is {request.relative_mde:+.1%} of each metric's own baseline.",
    ]
    if request.variants > 2 and request.method != "bayesian":  # noqa: PLR2004 - several comparisons with the control
        lines.append(f"α is shared by {request.variants - 1} comparisons with the control (Bonferroni).")
    if request.guardrails:
        lines.append(
            f"All must hold together, so the primary metric and every guardrail ({len(request.guardrails)} of them) "
            f"have power {power:.4g} = 1 − β/(G + 1); a guardrail is taken to lose nothing."
        )
    measured = [subject.name for subject in subjects if not subject.given]
    if measured:
        lines.append(f"Measured over the last {WINDOW_DAYS} days: the baselines of {', '.join(measured)}.")
    if daily:
        lines.append(f"{daily:,.0f} new visitors a day, whole weeks, and each metric's own conversion window.")
    if request.proxies:
        lines.append("Proxies: see each one's effect_basis; assumed_equal is optimistic.")
    return lines


def small_samples(subjects: Sequence[Subject], metrics: Sequence[PlannedMetric], method: str) -> list[str]:
    """Say where the planned sizes are so small that the formula behind them is not to be trusted."""
    if method == "sequential":  # its gate waits for enough conversions, and so does its plan
        return []
    return [
        f"{metric.metric}: an arm expects fewer than {SMALL_CELL} conversions (or units without one): too few "
        "for the normal approximation, so the size is a lower bound."
        for subject, metric in zip(subjects, metrics, strict=True)
        if expected_cell(subject.level, min(metric.arms)) < SMALL_CELL
    ]


def proxy_warning(proxy: str, goal: str, relative: float, found: Assessment | None) -> str:
    """Say what a person must know before deciding by a proxy."""
    close = "A win on the proxy is not yet a win on the goal: keep measuring the goal."
    if found is not None and found.status == "ok":
        quality = f", quality {found.quality:.2f}" if found.quality is not None else ""
        return f"{found.detail} Learned from {found.experiments} past experiments{quality}. {close}"
    why = f"No past experiments link {proxy} to {goal}" if found is None else found.detail.rstrip(".")
    return f"{why}: the same relative effect ({relative:+.0%}) on both is assumed, which is optimistic. {close}"


def _choice(goal: PlannedMetric, proxies: Sequence[PlannedMetric], variants: int) -> tuple[PlannedMetric, str]:
    sized = {metric.metric: _for_the_goal(metric, variants) for metric in proxies}
    usable = [metric for metric in proxies if sized[metric.metric] is not None]
    best = min(usable, key=lambda metric: metric.proxy.rank if metric.proxy else 0, default=None)
    needed = sized[best.metric] if best is not None else None
    if not proxies:
        return goal, f"{goal.metric} is planned on itself: no proxy was asked for.{_too_long(goal)}"
    if best is None or needed is None or needed >= goal.visitors:
        return goal, f"No proxy is faster than {goal.metric} itself.{_too_long(goal)}"
    if goal.days is not None and goal.days <= PATIENCE_DAYS:
        return goal, f"The goal itself takes {goal.days} days: no proxy is worth its risk."
    days = f" ({_days_of(best)} days instead of {goal.days})" if goal.days is not None else ""
    learned = best.proxy is not None and best.proxy.effect_basis == "past_experiments"
    link = f", quality {best.proxy.quality:.2f}" if best.proxy is not None and best.proxy.quality is not None else ""
    caveat = f"as past experiments say{link}" if learned else "if its effect is as large as the goal's"
    each, times = -(-needed // variants), goal.visitors / needed
    return best, (
        f"{best.metric} needs {each:,} visitors a variant instead of {goal.visitors_per_variant:,}{days}, "
        f"{times:.3g} times fewer, {caveat}."
    )


def _too_long(goal: PlannedMetric) -> str:
    if goal.days is None or goal.days <= LONGEST_DAYS:
        return ""
    return (
        f" With {goal.days:,} days it is not measurable at this traffic: look for a larger effect, a more frequent "
        "metric, or more visitors."
    )


def _for_the_goal(metric: PlannedMetric, variants: int) -> int | None:
    if metric.proxy is None or metric.proxy.visitors_for_goal_effect is None:
        return None
    return metric.proxy.visitors_for_goal_effect * variants


def _days_of(metric: PlannedMetric) -> int | None:
    return metric.days if metric.proxy is None else metric.proxy.days_for_goal_effect


def _spoken(spending: str) -> str:
    return {"obrien_fleming": "O'Brien-Fleming", "pocock": "Pocock"}[spending]
