"""Results and plans in a terminal: what to do first, then what it rests on."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from optimizer import wording
from optimizer.client import Plan, PlannedMetric, Result

COLOURS = {"ship": "green", "stop": "red", "continue": "yellow", "investigate": "red"}


def show_result(console: Console, result: Result) -> None:
    """Print a result: decision, checks, figures, warnings."""
    lines = [f"[bold]{escape(result.headline)}[/]", *map(escape, result.decision.reasons)]
    when = f" as of {result.as_of:%Y-%m-%d %H:%M} UTC" if result.as_of else ""
    title = f"{escape(result.experiment)} · {result.status}{when}" if result.experiment else "Counts"
    console.print(Panel("\n".join(lines), title=title, border_style=COLOURS[result.decision.action]))
    for check in result.checks:
        mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
        console.print(f"{mark} {escape(check.name.replace('_', ' '))}: {escape(check.detail)}")
    console.print(_figures(result))
    for metric in result.metrics:
        for one in metric.comparisons:
            for note in wording.notes(one):
                console.print(f"[dim]· {escape(metric.metric)}, {escape(one.variant)}: {escape(note)}[/]")
    for warning in result.warnings:
        console.print(f"[yellow]![/] {escape(warning)}")
    console.print(f"[dim]{result.method}, α = {result.alpha:g}; intervals are adjusted like their p-values.[/]")


def show_plan(console: Console, plan: Plan, *, curves: bool = False) -> None:
    """Print a plan: what to plan on, every metric's cost, what is assumed; on request other sizes and effects."""
    lines = [f"[bold]{escape(plan.headline)}[/]", escape(plan.recommended.reason)]
    if plan.recommended.limited_by != plan.recommended.metric:
        lines.append(f"The guardrail {escape(plan.recommended.limited_by)} needs that many.")
    console.print(Panel("\n".join(lines), title="Plan", border_style="blue"))
    console.print(_costs(plan))
    for table in (_effects(plan), _detectable(plan), _powers(plan)) if curves else ():
        console.print(table)
    for metric in plan.metrics:
        if metric.proxy:
            console.print(f"[yellow]![/] {escape(metric.proxy.warning)}")
    for line in plan.assumptions:
        console.print(f"[dim]· {escape(line)}[/]")


def _figures(result: Result) -> Table:
    table = Table("metric", "role", "variant")
    for name in ("units", "value", "relative effect", "absolute effect", "p"):
        table.add_column(name, justify="right")
    table.add_column("")
    for metric in result.metrics:
        found = {one.variant: one for one in metric.comparisons}
        for place, arm in enumerate(metric.variants):
            one = found.get(arm.variant)
            named = [escape(metric.metric), metric.role] if place == 0 else ["", ""]
            figures = ["", "", "", "[dim]baseline[/]"]
            if one is not None:
                rate = arm.conversions is not None
                shown = "[bold]shown[/]" if one.significant else one.status.replace("ok", "open").replace("_", " ")
                figures = [
                    wording.effect(one),
                    wording.absolute(one, rate=rate),
                    wording.p_value(one.adjusted_p_value),
                ]
                figures.append(shown)
            table.add_row(*named, escape(arm.variant), f"{arm.units:,}", wording.mean(arm), *figures)
        table.add_section()
    return table


def _costs(plan: Plan) -> Table:
    table = Table("metric", "role")
    monitored = any(metric.sequential for metric in plan.metrics)
    lossy = any(metric.bayesian for metric in plan.metrics)
    learned = any(metric.proxy and metric.proxy.effect_basis == "past_experiments" for metric in plan.metrics)
    for name in ("baseline", "effect", "power", "per variant", "visitors", "time"):
        table.add_column(name, justify="right")
    if monitored:
        table.add_column("expected to stop at", justify="right")
        table.add_column("9 in 10 by", justify="right")
    if lossy:
        table.add_column("until loss below", justify="right")
    if learned:
        table.add_column("for the goal's effect", justify="right")
    if any(metric.role == "proxy" for metric in plan.metrics):
        table.add_column("times fewer", justify="right")
    for metric in plan.metrics:
        baseline = f"{metric.baseline:.3%}" if metric.kind == "proportion" else f"{metric.baseline:,.4g}"
        even = len(set(metric.arms)) == 1
        each = f"{metric.visitors_per_variant:,}" if even else " / ".join(f"{arm:,}" for arm in metric.arms)
        more = _monitoring(metric) if monitored else []
        if lossy:
            more.append(f"{metric.bayesian.absolute:.3g}" if metric.bayesian else wording.NONE)
        if learned:
            goal = metric.proxy.visitors_for_goal_effect if metric.proxy else None
            more.append(f"{goal:,}" if goal is not None else wording.NONE)
        if metric.role == "proxy":
            more.append(f"{metric.speedup:g}×")
        table.add_row(
            escape(metric.metric),
            metric.role,
            baseline,
            wording.signed(metric.relative_mde, percent=True),
            f"{metric.power:.1%}",
            each,
            f"{metric.visitors:,}",
            wording.days(metric.days),
            *more,
        )
    return table


def _monitoring(metric: PlannedMetric) -> list[str]:
    found = metric.sequential
    if found is None:
        return [wording.NONE, wording.NONE]
    return [
        _with_days(found.expected_visitors_per_variant, found.expected_days),
        _with_days(found.p90_visitors_per_variant, found.p90_days),
    ]


def _effects(plan: Plan) -> Table:
    table = _numbers("What other effects cost", f"effect on {escape(plan.metrics[0].metric)}", "per variant", "time")
    for point in plan.curve:
        effect = wording.signed(point.relative_mde, percent=True)
        table.add_row(effect, f"{point.visitors_per_variant:,}", wording.days(point.days))
    return table


def _detectable(plan: Plan) -> Table:
    """Show nothing where the daily visitors are unknown, and for guardrails."""
    columns = [metric for metric in plan.metrics if metric.detectable]
    table = _numbers("Smallest effect seen after", "days", *(escape(metric.metric) for metric in columns))
    days = sorted({point.days for metric in columns for point in metric.detectable})
    found = [{point.days: point.relative_mde for point in metric.detectable} for metric in columns]
    for day in days:
        seen = [one.get(day) for one in found]
        cells = [wording.NONE if effect is None else wording.signed(effect, percent=True) for effect in seen]
        table.add_row(f"{day:,}", *cells)
    return table


def _powers(plan: Plan) -> Table:
    table = _numbers("Power at other sizes", "metric", "visitors", "power")
    for metric in plan.metrics:
        for point in metric.power_curve:
            table.add_row(escape(metric.metric), f"{point.visitors:,}", f"{point.power:.1%}")
        table.add_section()
    return table


def _numbers(title: str, first: str, *others: str) -> Table:
    table = Table(first, title=title, title_justify="left", title_style="bold")
    for name in others:
        table.add_column(name, justify="right")
    return table


def _with_days(visitors: int, days: int | None) -> str:
    return f"{visitors:,}" if days is None else f"{visitors:,} ({wording.days(days)})"
