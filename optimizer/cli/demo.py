"""`optimizer demo`: the whole loop on input that nobody here wrote, through the real API, in about a minute."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from optimizer.cli import _demo_steps as steps
from optimizer.cli._demo_report import print_report
from optimizer.cli._processes import running
from optimizer.sandbox.clickstream import read_clickstream
from optimizer.sandbox.shoppers import shifted


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON and end.")
@click.option("--seed", default=1, show_default=True, help="For what is simulated; the same seed, the same report.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the data and report.json there [default: a temporary folder, removed at the end].",
)
def command(*, as_json: bool, seed: int, data_dir: Path | None) -> None:
    r"""Run the whole loop once: plan, analyse, import, score, feed back, bring back.

    \b
    Examples:
      optimizer demo                  the report; keeps serving while you look around
      optimizer demo --json | jq .    the same as JSON
      optimizer demo | cat            ends after the report
    """
    stays = sys.stdout.isatty() and not as_json
    clickstream = shifted(read_clickstream(), steps.yesterday())
    key = secrets.token_urlsafe(24)
    with _folder(data_dir) as folder, _services(folder, key) as (url, sandbox_url), _progress() as progress:
        report = _run(steps.Api(url, key), sandbox_url, clickstream, seed, progress)
        progress.stop()
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        show(report, as_json=as_json)
        if stays:
            _serve_on(url, sandbox_url, key)


def show(report: dict[str, Any], *, as_json: bool) -> None:
    """Print the report, in words or as JSON."""
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        print_report(Console(highlight=False), report)


def _run(api: steps.Api, sandbox_url: str, clickstream: Any, seed: int, progress: Progress) -> dict[str, Any]:  # noqa: ANN401 - a pyarrow table
    began = time.monotonic()

    def step(words: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        task = progress.add_task(words, total=1)
        found = work()
        progress.advance(task)
        return found

    experiment = step("Planning and analysing an e-mail experiment", lambda: steps.plan_and_analyse(api))
    importing = progress.add_task("Importing a shop's clickstream over HTTP", total=clickstream.num_rows)
    imported = steps.import_clickstream(api, clickstream, seed, lambda n: progress.advance(importing, n))
    funnel = step("Following the funnel", lambda: steps.find_friction(api))
    signals = step("Scoring every event against the purchase", lambda: steps.rank(api))
    feedback = step(
        "Sending the best ones to two sandbox platforms", lambda: steps.feed_back(api, sandbox_url, signals)
    )
    segment = step("Finding who carted and did not buy", lambda: steps.bring_back(api))
    return {
        "experiment": experiment,
        "import": imported,
        "funnel": funnel,
        "signals": signals,
        "feedback": feedback,
        "segment": segment,
        "seconds": round(time.monotonic() - began, 1),
    }


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    made = Path(tempfile.mkdtemp(prefix="optimizer-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _services(folder: Path, key: str) -> Iterator[tuple[str, str]]:
    data = ("--data-dir", str(folder))
    with (
        running("sandbox", "/_sandbox", folder / "sandbox.log") as sandbox_url,
        running("serve", "/readyz", folder / "serve.log", *data, OPTIMIZER_BOOTSTRAP_KEY=key) as url,
    ):
        yield url, sandbox_url


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=False) as progress:
        yield progress


def _serve_on(url: str, sandbox_url: str, key: str) -> None:
    console = Console(highlight=False)
    console.print(f"\nStill serving, until Ctrl-C: [link={url}/docs]{url}/docs[/]")
    console.print(f"  key      {key}\n  sandbox  {sandbox_url}/_sandbox")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("Ending.")
