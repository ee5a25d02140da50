"""Plans in a terminal: what to plan on, then what every metric costs; on its side where the terminal is narrow."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from optimizer import wording
from optimizer.cli._tables import fits, ruled
from optimizer.client import Plan, PlannedMetric


def show_plan(console: Console, plan: Plan, *, curves: bool = False) -> None:
    """Print a plan: what to plan on, every metric's cost, what is assumed; on request other sizes and effects."""
    lines = [f"[bold]{escape(plan.headline)}[/]", escape(plan.recommended.reason)]
    if plan.recommended.limited_by != plan.recommended.metric:
        lines.append(f"The guardrail {escape(plan.recommended.limited_by)} needs that many.")
    console.print(Panel("\n".join(lines), title="Plan", border_style="blue"))
    console.print(_costs(console, plan))
    for table in (_effects(plan), _detectable(plan), _powers(plan)) if curves else ():
        console.print(table)
    for metric in plan.metrics:
        if metric.proxy:
            console.print(f"[yellow]![/] {escape(metric.proxy.warning)}")
    for line in plan.assumptions:
        console.print(f"[dim]· {escape(line)}[/]")


def _costs(console: Console, plan: Plan) -> Table:
    names = list(dict.fromkeys(name for metric in plan.metrics for name in _figures(metric)))
    rows = [[_figures(metric).get(name, "") for name in names] for metric in plan.metrics]
    wide = ruled(names, rows, texts=2)
    if fits(console, wide):
        return wide
    turned = list(zip(*rows, strict=True))
    return ruled([names[0], *turned[0]], [[name, *turned[at]] for at, name in enumerate(names) if at], texts=1)


def _figures(metric: PlannedMetric) -> dict[str, str]:
    even = len(set(metric.arms)) == 1
    figures = {
        "metric": escape(metric.metric),
        "role": metric.role,
        "baseline": f"{metric.baseline:.3%}" if metric.kind == "proportion" else f"{metric.baseline:,.4g}",
        "effect": wording.signed(metric.relative_mde, percent=True),
        "power": f"{metric.power:.1%}",
        "per variant": f"{metric.visitors_per_variant:,}" if even else " / ".join(f"{arm:,}" for arm in metric.arms),
        "visitors": f"{metric.visitors:,}",
        "time": wording.days(metric.days),
    }
    if metric.sequential:
        found = metric.sequential
        figures["expected to stop at"] = _with_days(found.expected_visitors_per_variant, found.expected_days)
        figures["9 in 10 by"] = _with_days(found.p90_visitors_per_variant, found.p90_days)
    if metric.bayesian:
        figures["until loss below"] = f"{metric.bayesian.absolute:.3g}"
    if metric.proxy:
        if metric.proxy.effect_basis == "past_experiments":
            goal = metric.proxy.visitors_for_goal_effect
            figures["for the goal's effect"] = wording.NONE if goal is None else f"{goal:,}"
        figures["times fewer"] = f"{metric.speedup:g}×"
    return figures


def _effects(plan: Plan) -> Table:
    titles = [f"effect on {escape(plan.metrics[0].metric)}", "per variant", "time"]
    table = ruled(titles, [], texts=1, title="What other effects cost")
    for point in plan.curve:
        effect = wording.signed(point.relative_mde, percent=True)
        table.add_row(effect, f"{point.visitors_per_variant:,}", wording.days(point.days))
    return table


def _detectable(plan: Plan) -> Table:
    """Show nothing where the daily visitors are unknown, and for guardrails."""
    columns = [metric for metric in plan.metrics if metric.detectable]
    table = ruled(
        ["days", *(escape(metric.metric) for metric in columns)], [], texts=1, title="Smallest effect seen after"
    )
    days = sorted({point.days for metric in columns for point in metric.detectable})
    found = [{point.days: point.relative_mde for point in metric.detectable} for metric in columns]
    for day in days:
        seen = [one.get(day) for one in found]
        cells = [wording.NONE if effect is None else wording.signed(effect, percent=True) for effect in seen]
        table.add_row(f"{day:,}", *cells)
    return table


def _powers(plan: Plan) -> Table:
    table = ruled(["metric", "visitors", "power"], [], texts=1, title="Power at other sizes")
    for metric in plan.metrics:
        for point in metric.power_curve:
            table.add_row(escape(metric.metric), f"{point.visitors:,}", f"{point.power:.1%}")
        table.add_section()
    return table


def _with_days(visitors: int, days: int | None) -> str:
    return f"{visitors:,}" if days is None else f"{visitors:,} ({wording.days(days)})"
