"""`optimizer simulate`: shops with planted truth, scored as the service scores and as a naive table does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from optimizer.cli._options import NewFile

if TYPE_CHECKING:
    from optimizer.cli._calibrations import Calibrations
    from optimizer.cli._large_shops import Reference
    from optimizer.cli._recovery import Summary
    from optimizer.web.charts import Tone

KINDS = {
    "cause": ("raises the chance of buying at every later visit", "≥ 95%"),
    "correlate": ("shows an intent that raises it", "≥ 95%"),
    "simpson": ("a cause that is mostly met where little is bought", "≥ 95%"),
    "duplicate": ("three names of one intent: at least one of them", "≥ 95%"),
    "artefact": ("more of it the longer the stay, or after the purchase", "≤ 5%"),
    "noise": ("nothing to do with buying", "≤ 5%"),
    "funnel_step": ("every buyer passes it", "0%"),
    "everybody": ("everybody does it", "0%"),
}


@click.command()
@click.option("--shops", default=200, show_default=True, type=click.IntRange(1, 10_000), help="How many shops.")
@click.option("--visitors", default=10_000, show_default=True, type=click.IntRange(100, 10**6), help="In each.")
@click.option("--seed", default=1, show_default=True, help="Of the first shop; each further one has the next.")
@click.option(
    "--reference",
    default=10,
    show_default=True,
    type=click.IntRange(0, 1_000),
    help="How many large shops measure the lifts that intervals ought to cover; 0 leaves that out.",
)
@click.option(
    "--reference-visitors",
    default=400_000,
    show_default=True,
    type=click.IntRange(100, 10**6),
    help="In each of those.",
)
@click.option("--picture", type=NewFile(), help="Draw the lifts into this SVG file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    *,
    shops: int,
    visitors: int,
    seed: int,
    reference: int,
    reference_visitors: int,
    picture: Path | None,
    as_json: bool,
) -> None:
    r"""Simulate shops with planted truth and count how much of it the ranking finds.

    Each shop has causes, correlates, three names of one intent, lifts that turn around by source or device, events
    that only show how long somebody stayed, and noise. The last column scores the same shops by a with/without table.

    \b
    Examples:
      optimizer simulate
      optimizer simulate --shops 20 --reference 0
      optimizer simulate --shops 50 --visitors 30000 --seed 1000 --json
    """
    from optimizer.cli._large_shops import large_lifts  # noqa: PLC0415 - only when the command runs
    from optimizer.cli._recovery import score_shop, summarise  # noqa: PLC0415 - same
    from optimizer.sandbox.shop import ShopDesign  # noqa: PLC0415 - same

    design = ShopDesign(visitors=visitors)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("simulating", total=shops + reference)
        lifts = large_lifts(design, reference_visitors, reference, lambda: bar.advance(task))
        scores = []
        for number in range(shops):
            scores.append(score_shop(design, seed + number))
            bar.advance(task)
    summary = summarise(scores, {event: found.lift for event, found in lifts.items()})
    if picture:
        picture.write_bytes(_drawn(summary, f"{shops} shops of {visitors:,} visitors"))
    if as_json:
        measured = {event: dataclasses.asdict(found) for event, found in lifts.items()}
        click.echo(json.dumps({**dataclasses.asdict(summary), "reference": measured}, indent=2))
        return
    _show(summary, lifts, f"{shops} shops of {visitors:,} visitors, seeds {seed} to {seed + shops - 1}", shops)


def _drawn(summary: Summary, shops: str) -> bytes:
    from optimizer.web.charts import Estimate, forest  # noqa: PLC0415 - only when the command draws
    from optimizer.web.drawing import render  # noqa: PLC0415 - same

    rows = []
    for event, found in sorted(summary.lifts.items(), key=lambda item: (list(KINDS).index(item[1].kind), item[0])):
        naive = "without end" if found.naive is None else f"{found.naive:.2f}"
        words = f"lift {found.median:.2f}, naive {naive}"
        interval = (found.low - 1, found.high - 1)
        margin = None if found.naive is None else found.naive - 1
        tone: Tone = "good" if found.low > 1 else "neutral"
        rows.append(Estimate(event, found.kind.replace("_", " "), found.median - 1, interval, words, tone, margin))
    spec = forest(
        rows,
        title="The same shops, scored fairly and naively",
        subtitle=f"Point and line: median lift and the middle 90% of {shops}. Red tick: the median naive lift.",
        axis="Converts more or less often (lift − 1)",
    )
    return render(spec, "svg")


def _show(summary: Summary, lifts: dict[str, Reference], title: str, shops: int) -> None:
    console = Console(highlight=False)
    table = Table("planted", "what it does", "wanted", "promoted", "naively", title=title)
    for kind, (words, wanted) in KINDS.items():
        table.add_row(
            kind,
            words,
            wanted,
            f"{summary.promoted.get(kind, 0):.1%}",
            f"{summary.promoted_naively.get(kind, 0):.1%}",
        )
    table.add_row(
        "", "more than one of the three names", "0%", f"{summary.several_duplicates:.1%}",
        f"{summary.several_duplicates_naively:.1%}",
    )  # fmt: skip
    console.print(table)
    console.print(
        f"Flagged as turned or covered up by source or device: {summary.flagged:.1%} of the simpson events."
    )
    console.print(f"False discoveries among promoted: {summary.false_share:.2%} (q ≤ 5%).")
    console.print(f"95% intervals of events that do nothing hold 1: {summary.coverage:.1%}.")
    if lifts:
        from optimizer.cli._large_shops import coverage_band  # noqa: PLC0415 - as above

        low, high = coverage_band(shops)
        console.print(f"95% intervals hold the lift of large shops (99% band {low:.1%} to {high:.1%}):")
    for event, share in summary.coverages.items():
        error, of_one = lifts[event].standard_error, summary.coverages_of_one.get(event)
        told = "" if error is None else f" (standard error {error:.1%})"
        beside = "" if of_one is None else f", 1 by {of_one:.1%}"
        console.print(f"  {event}: {lifts[event].lift:.3f}{told} is held by {share:.1%}{beside}")
    for line in _calibrated(summary.calibrations):
        console.print(line)


def _calibrated(found: Calibrations | None) -> list[str]:
    if found is None:
        return ["Values on held-out weeks: no shop's history is long enough."]
    pooled = "" if found.pooled_interval is None else " ({:.3f} to {:.3f})".format(*found.pooled_interval)
    spread = "" if found.deviation is None else f" with a standard deviation of {found.deviation:.3f}"
    return [
        f"Values on held-out weeks of {found.shops} shops: pooled slope {found.pooled:.3f}{pooled}.",
        f"  Slopes of single shops: mean {found.mean:.3f}{spread}, their own standard error {found.own_error:.3f};",
        f"  between .9 and 1.1 in {found.inside:.1%}, surely not (own interval) in {found.surely_outside:.1%}.",
        f"  Observed ÷ predicted: {found.ratio:.3f}.",
    ]
