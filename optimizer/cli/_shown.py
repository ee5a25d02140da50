"""Results and plans in a terminal: what to do first, then what it rests on."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from optimizer import wording
from optimizer.client import Plan, Result

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
    for warning in result.warnings:
        console.print(f"[yellow]![/] {escape(warning)}")
    console.print(f"[dim]{result.method}, α = {result.alpha:g}; intervals are adjusted like their p-values.[/]")


def show_plan(console: Console, plan: Plan) -> None:
    """Print a plan: what to plan on, every metric's cost, what is assumed."""
    lines = [f"[bold]{escape(plan.headline)}[/]", escape(plan.recommended.reason)]
    if plan.recommended.limited_by != plan.recommended.metric:
        lines.append(f"The guardrail {escape(plan.recommended.limited_by)} needs that many.")
    console.print(Panel("\n".join(lines), title="Plan", border_style="blue"))
    console.print(_costs(plan))
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
            last = place == len(metric.variants) - 1
            cells = [*named, escape(arm.variant), f"{arm.units:,}", wording.mean(arm), *figures]
            table.add_row(*cells, end_section=last)
            for note in wording.notes(one) if one is not None else []:
                table.add_row("", "", "", "", "", f"[dim]{escape(note)}[/]")
    return table


def _costs(plan: Plan) -> Table:
    table = Table("metric", "role")
    monitored = any(metric.sequential for metric in plan.metrics)
    for name in ("baseline", "effect", "power", "per variant", "visitors", "time"):
        table.add_column(name, justify="right")
    if monitored:
        table.add_column("expected to stop at", justify="right")
        table.add_column("9 in 10 by", justify="right")
    table.add_column("times fewer", justify="right")
    for metric in plan.metrics:
        baseline = f"{metric.baseline:.3%}" if metric.kind == "proportion" else f"{metric.baseline:,.4g}"
        even = len(set(metric.arms)) == 1
        each = f"{metric.visitors_per_variant:,}" if even else " / ".join(f"{arm:,}" for arm in metric.arms)
        stops = []
        if monitored:
            found = metric.sequential
            stops = [wording.NONE, wording.NONE]
            if found is not None:
                stops = [
                    _with_days(found.expected_visitors_per_variant, found.expected_days),
                    _with_days(found.p90_visitors_per_variant, found.p90_days),
                ]
        table.add_row(
            escape(metric.metric),
            metric.role,
            baseline,
            wording.signed(metric.relative_mde, percent=True),
            f"{metric.power:.1%}",
            each,
            f"{metric.visitors:,}",
            wording.days(metric.days),
            *stops,
            f"{metric.speedup:g}×" if metric.role == "proxy" else "",
        )
    return table


def _with_days(visitors: int, days: int | None) -> str:
    return f"{visitors:,}" if days is None else f"{visitors:,} ({wording.days(days)})"
