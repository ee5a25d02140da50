"""The demo's report: what the service answered, in words and numbers, on one screen."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

Json = dict[str, Any]


def print_report(console: Console, report: Json) -> None:
    """Print the report."""
    _experiment(console, report["experiment"])
    _funnel(console, report["import"], report["funnel"])
    _signals(console, report["signals"])
    _feedback(console, report["feedback"])
    _segment(console, report["segment"])
    console.print(f"\n[dim]Done in {report['seconds']:g} s. The same as JSON: optimizer demo --json[/]")


def _experiment(console: Console, found: Json) -> None:
    _title(console, "1 · Which experiment, and what did it show?", "Hillstrom's e-mail test, real and randomised")
    table = _table("e-mail", "metric", "effect", "95% interval", "p", "decision")
    for row in found["comparisons"]:
        low, high = row["absolute_interval"]
        interval = f"{low:+.6f} to {high:+.6f}"
        table.add_row(
            row["email"], row["metric"], f"{row['absolute']:+.6f}", interval, _p(row["p_value"]), row["decision"]
        )
    console.print(table)
    goal, proxy = found["plan"]
    console.print(
        f"To find +{goal['relative_mde']:.0%} takes {goal['visitors_per_variant']:,} customers a variant on "
        f"{goal['metric']}, {proxy['visitors_per_variant']:,} on {proxy['metric']} ({proxy['speedup']:.1f}× fewer). "
        f"{proxy['proxy']['warning']}"
    )


def _funnel(console: Console, imported: Json, found: Json) -> None:
    _title(console, "2 · Where are people lost?", f"{imported['accepted']:,} events of {imported['users']} shoppers")
    table = _table("step", "people", "within 24 h")
    for step, people, day in zip(found["steps"], found["unlimited"], found["within_24_hours"], strict=True):
        table.add_row(step, f"{people:,}", f"{day:,}")
    console.print(table)
    console.print(
        f"Most purchases are lost on the way to [bold]{found['worst_step']}[/]. Source: {imported['source']}; "
        f"simulated on top, from seed {imported['seed']}: {', '.join(imported['simulated'])}."
    )


def _signals(console: Console, found: Json) -> None:
    periods = f"{found['person_periods']:,} periods of {found['period_hours']:.2g} h"
    subtitle = f"{found['units']} shoppers at risk in {periods}, {found['converters']} bought after their first"
    _title(console, f"3 · What predicts the {found['goal']}?", subtitle)
    table = _table("event", "lift", "95% interval", "q", "naive lift", "worth", "recommendation")
    for signal in found["signals"]:
        low, high = signal["lift_interval"]
        worth = "–" if signal["expected_value"] is None else f"{signal['expected_value']:.2f}"
        table.add_row(
            signal["event"],
            f"{signal['lift']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{signal['q_value']:.2f}",
            _ratio(signal["naive"]["lift"]),
            worth,
            signal["recommendation"],
        )
    console.print(table)
    console.print(found["caveat"])


def _feedback(console: Console, found: Json) -> None:
    _title(
        console, "4 · What do the ad platforms learn?", f"{' and '.join(found['events'])}, to two sandbox platforms"
    )
    table = _table("destination", "sent", "skipped", "sent again", "mostly because")
    for one in found["destinations"]:
        reasons = one["not_sent"]
        most = max(reasons, key=lambda reason: reasons[reason], default="–")
        skipped = sum(reasons.values())
        table.add_row(one["destination"], str(one["sent"]), str(skipped), str(one["sent_again"]), most)
    console.print(table)
    chosen = [event for event, choice in found["policy"].items() if choice["action"] in {"chosen", "kept"}]
    judged = f"The policy, left to itself, looked at {len(found['policy'])} events and chose {len(chosen)}"
    console.print(
        f"{judged}{': ' + ', '.join(chosen) if chosen else ': none is told apart from chance yet'}. "
        f"The two above were sent by rules written for this demo."
    )


def _segment(console: Console, found: Json) -> None:
    _title(console, "5 · Whom to bring back?", "carted in the last 30 days and did not buy since")
    examples = "; ".join(f"{one['user_id']} ({', '.join(one['items'][:2])})" for one in found["examples"])
    console.print(
        f"{found['fitting']} shoppers fit, [bold]{found['members']}[/] of them agreed to e-mail and are members: "
        f"{examples}; …"
    )


def _title(console: Console, question: str, subtitle: str) -> None:
    console.print(f"\n[bold]{question}[/]  [dim]{subtitle}[/]")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(
            column, justify="left" if place == 0 or column in {"metric", "decision", "recommendation"} else "right"
        )
    return table


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"  # noqa: PLR2004 - beyond three digits


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
