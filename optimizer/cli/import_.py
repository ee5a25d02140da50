"""`optimizer import`: loads history from a file, into the data folder or into a running service."""

from __future__ import annotations

import gzip
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
import requests
from msgspec import Raw
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from urllib3 import Retry

from optimizer.cli._bulk import bulk_settings, suit_batches
from optimizer.cli._lock import data_folder_lock
from optimizer.cli._options import data_dir_option
from optimizer.ingest.files import EventFile, Piece, presets

IN_FLIGHT = 2
REQUEST_ROWS = 2_500
TOO_LARGE = 413
Verdicts = dict[str, Any]
Send = Callable[[list[Raw]], Verdicts]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--preset", type=click.Choice(sorted(presets())), help="The tool whose export FILE is.")
@click.option("--map", "mapped", multiple=True, metavar="COLUMN=FIELD", help="Read a column as one of our fields.")
@data_dir_option
@click.option("--project", default="default", show_default=True, help="Key of the project (without --url).")
@click.option("--url", help="Send to a running service instead.")
@click.option("--key", envvar="OPTIMIZER_KEY", help="Key with the scope `ingest`, for --url [env: OPTIMIZER_KEY].")
def command(  # noqa: PLR0917 - click hands over the declared options
    file: Path,
    preset: str | None,
    mapped: tuple[str, ...],
    data_dir: Path | None,
    project: str,
    url: str | None,
    key: str | None,
) -> None:
    r"""Import events from FILE: CSV, JSON Lines (.jsonl) or Parquet.

    Columns named like our fields (name, timestamp, user_id, value, source, email, consent_email, …) are understood,
    as are common ones (event, time, utm_source, …); other columns become properties. Rows that cannot be taken go
    to FILE.rejected.jsonl with the reason. Run again after a break: it goes on where it was, and nothing is stored
    twice.

    \b
    Examples:
      optimizer import shop.csv
      optimizer import shop.csv --map action=name --map who=user_id
      optimizer import bigquery.jsonl --preset ga4          a row an event
      optimizer import visits.jsonl --preset matomo         a row a visit, with its actions
      optimizer import imported_visitors.csv --preset plausible      daily counts
      optimizer import history.parquet --url http://127.0.0.1:8000 --key opt_…
    """
    events = EventFile.of(file, dict(_pair(one) for one in mapped), preset)
    with _sender(data_dir, project, url, key, events.system) as send:
        totals = _import(events, send)
    console = Console(stderr=True, highlight=False)
    rejected = (
        f", rejected {totals['rejected']:,} (see {_beside(file, 'rejected.jsonl')})" if totals["rejected"] else ""
    )
    what = "daily counts" if events.system else "events"
    said = f"Imported {totals['accepted']:,} {what}, {totals['duplicates']:,} were there already{rejected}."
    console.print(said, soft_wrap=True)


def _import(events: EventFile, send: Send) -> dict[str, int]:
    totals = {"accepted": 0, "duplicates": 0, "rejected": 0}
    marker, rejected = _beside(events.path, "import.json"), _beside(events.path, "rejected.jsonl")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, rejected.open("ab") as refused:
        task = progress.add_task(f"Importing {events.path.name}", total=1.0)
        for piece, answer in _answers(events.batches(skip=_done(marker, events)), send):
            done = piece.first + piece.rows
            totals["accepted"] += answer["accepted"]
            totals["duplicates"] += answer["duplicates"]
            totals["rejected"] += len(answer["rejected"]) + len(piece.misfits)
            for verdict in answer["rejected"]:
                row = {"row": piece.places[verdict["index"]], "code": verdict["code"], "detail": verdict["detail"]}
                refused.write(msgspec.json.encode({**row, "event": piece.items[verdict["index"]]}) + b"\n")
            for text in piece.misfits:
                row = {"code": "invalid_row", "detail": "The row does not have the columns of the first line."}
                refused.write(msgspec.json.encode({**row, "event": text}) + b"\n")
            refused.flush()
            _mark(marker, {"file": events.ids, "rows": done})
            progress.update(task, description=f"Importing {events.path.name}: {done:,} rows", completed=piece.share)
    marker.unlink(missing_ok=True)
    if rejected.stat().st_size == 0:
        rejected.unlink()
    return totals


def _answers(batches: Iterator[Piece], send: Send) -> Iterator[tuple[Piece, Verdicts]]:
    # Two on their way at a time, so that one is prepared while the other is written; answered in order, so that the
    # marker never runs ahead of what is on disk.
    waiting: deque[tuple[Piece, Future[Verdicts]]] = deque()
    with ThreadPoolExecutor(max_workers=IN_FLIGHT) as pool:
        for piece in batches:
            waiting.append((piece, pool.submit(send, piece.items)))
            if len(waiting) > IN_FLIGHT:
                yield _oldest(waiting)
        while waiting:
            yield _oldest(waiting)


def _oldest(waiting: deque[tuple[Piece, Future[Verdicts]]]) -> tuple[Piece, Verdicts]:
    piece, answer = waiting.popleft()
    return piece, answer.result()


def _mark(marker: Path, content: dict[str, Any]) -> None:
    whole = marker.with_name(f"{marker.name}.new")
    whole.write_text(json.dumps(content), encoding="utf-8")
    whole.replace(marker)  # a kill in between leaves the older one


def _done(marker: Path, events: EventFile) -> int:
    if not marker.exists():
        return 0
    found = json.loads(marker.read_text(encoding="utf-8"))
    return int(found["rows"]) if found.get("file") == events.ids else 0


@contextmanager
def _sender(
    data_dir: Path | None, project: str, url: str | None, key: str | None, system: str | None
) -> Iterator[Send]:
    if url is not None:
        if not key:
            raise click.UsageError("--url needs --key (or OPTIMIZER_KEY).")
        yield _over_http(url, key, system)
        return
    settings = bulk_settings(data_dir)
    with data_folder_lock(settings.data_dir, "optimizer import"), _pipeline(settings, project, system) as send:
        yield send


def _over_http(url: str, key: str, system: str | None) -> Send:
    session = requests.Session()
    session.headers.update({"Authorization": f"Bearer {key}", "Content-Encoding": "gzip"})
    patient = Retry(total=8, backoff_factor=0.5, status_forcelist=[503], allowed_methods=None)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=patient))

    def send(rows: list[Raw]) -> Verdicts:
        plain = {"system": system, "counts": rows} if system else {"events": rows}
        body = gzip.compress(msgspec.json.encode(plain), 1)
        answer = session.post(f"{url.rstrip('/')}/v1/{'counts' if system else 'events'}", data=body, timeout=120)
        if answer.status_code == TOO_LARGE and len(rows) > 1:
            return _joined(send, rows, len(rows) // 2)
        if not answer.ok:
            raise click.ClickException(f"The service answered {answer.status_code}: {answer.text[:300]}")
        found: Verdicts = answer.json()
        return found

    return lambda rows: _joined(send, rows, REQUEST_ROWS)


def _joined(send: Send, rows: list[Raw], size: int) -> Verdicts:
    totals: Verdicts = {"accepted": 0, "duplicates": 0, "rejected": []}
    for first in range(0, len(rows), size):
        found = send(rows[first : first + size])
        totals["accepted"] += found["accepted"]
        totals["duplicates"] += found["duplicates"]
        totals["rejected"] += [{**one, "index": one["index"] + first} for one in found["rejected"]]
    return totals


@contextmanager
def _pipeline(settings: Any, project: str, system: str | None) -> Iterator[Send]:  # noqa: ANN401 - our settings
    from optimizer.app import open_ingest  # noqa: PLC0415 - imported only when the command runs

    with open_ingest(settings, project, system) as take:
        suit_batches()
        yield lambda rows: msgspec.to_builtins(take(rows))


def _pair(given: str) -> tuple[str, str]:
    column, _, name = given.partition("=")
    if not column or not name:
        raise click.UsageError(f"--map takes COLUMN=FIELD, not {given!r}.")
    return column, name


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(f"{file.name}.{ending}")
