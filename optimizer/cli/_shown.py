"""Results in a terminal: what to do first, then what it rests on."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from optimizer import wording
from optimizer.cli._tables import fits, ruled
from optimizer.client import Metric, Result

COLOURS = {"ship": "green", "stop": "red", "continue": "yellow", "investigate": "red"}
MARK_COLOURS = {"passed": "green", "failed": "red", "warned": "yellow"}


def show_result(console: Console, result: Result) -> None:
    """Print a result: decision, checks, figures, warnings."""
    lines = [f"[bold]{escape(result.headline)}[/]", *map(escape, result.decision.reasons)]
    when = f" as of {result.as_of:%Y-%m-%d %H:%M} UTC" if result.as_of else ""
    title = f"{escape(result.experiment)} · {result.status}{when}" if result.experiment else "Counts"
    console.print(Panel("\n".join(lines), title=title, border_style=COLOURS[result.decision.action]))
    for check in result.checks:
        went = wording.check(check)
        mark = f"[{MARK_COLOURS[went]}]{wording.MARKS[went]}[/]"
        console.print(f"{mark} {escape(check.name.replace('_', ' '))}: {escape(check.detail)}")
    for table in _figures(console, result):
        console.print(table)
    for metric in result.metrics:
        for one in metric.comparisons:
            for note in wording.notes(one):
                console.print(f"[dim]· {escape(metric.metric)}, {escape(one.variant)}: {escape(note)}[/]")
    if result.forecast:
        console.print(f"→ {escape(result.forecast)}")
    for warning in result.warnings:
        console.print(f"[yellow]![/] {escape(warning)}")
    console.print(f"[dim]{result.method}, α = {result.alpha:g}; intervals are adjusted like their p-values.[/]")


def _figures(console: Console, result: Result) -> list[Table]:
    """Give one table where it fits, else one a metric with the effects in one column."""
    titles = ["metric", "role", "variant", "units", "value", "relative effect", "absolute effect", "p", ""]
    wide = ruled(titles, [], texts=3)
    for metric in result.metrics:
        for place, row in enumerate(_arms(metric)):
            named = [escape(metric.metric), wording.role(metric)] if place == 0 else ["", ""]
            wide.add_row(*named, *row)
        wide.add_section()
    if fits(console, wide):
        return [wide]
    narrow = []
    for metric in result.metrics:
        rows = [
            [variant, units, value, f"{relative}\n{absolute}".strip(), p, shown]
            for variant, units, value, relative, absolute, p, shown in _arms(metric)
        ]
        titles = ["variant", "units", "value", "effect", "p", ""]
        narrow.append(ruled(titles, rows, texts=1, title=f"{escape(metric.metric)}, {wording.role(metric)}"))
    return narrow


def _arms(metric: Metric) -> list[tuple[str, str, str, str, str, str, str]]:
    found = {one.variant: one for one in metric.comparisons}
    rows = []
    for arm in metric.variants:
        one = found.get(arm.variant)
        figures = ("", "", "", "[dim]baseline[/]")
        if one is not None:
            figures = (
                wording.effect(one),
                wording.absolute(one, rate=arm.conversions is not None),
                wording.p_value(one.adjusted_p_value),
                "[bold]shown[/]" if one.significant else one.status.replace("ok", "open").replace("_", " "),
            )
        rows.append((escape(arm.variant), f"{arm.units:,}", wording.mean(arm), *figures))
    return rows
