"""Moves every event, exposure, link and count from one event store to another, resumably, and proves it.

Rows go in the order of their sequence; where the target has rows already, the move goes on behind its last one. At
the end counts and checksums of both stores are compared, project by project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optimizer.errors import ConflictError
from optimizer.storage.events import SCHEMAS, EventStore

CHUNK = 50_000
PRIME = 1_000_003  # checksums are sums of remainders: no engine's integers overflow
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did to one table.

    Attributes:
        table: Which.
        rows: Rows in both stores now.
        copied: Rows that this run copied.
    """

    table: str
    rows: int
    copied: int


def move(source: EventStore, target: EventStore, progress: Progress) -> list[Moved]:
    """Copy what the target does not have yet, then compare.

    Args:
        source: Read only; nobody may write to it meanwhile.
        target: Written by nobody else meanwhile.
        progress: Told (table, rows done, rows in all).

    Raises:
        ConflictError: The stores differ afterwards; names the table. Nothing was deleted anywhere.
        BusyError: The target could not commit; run again, it goes on there.
    """
    return [_move_table(name, source, target, progress) for name in SCHEMAS]


def _move_table(name: str, source: EventStore, target: EventStore, progress: Progress) -> Moved:
    rows = source.table(name)
    total = int(rows.count().to_pyarrow().as_py())
    done = last = int(target.table(name).sequence.max().to_pyarrow().as_py() or 0)
    already = int(rows.filter(rows.sequence <= done).count().to_pyarrow().as_py())
    copied = 0
    progress(name, already, total)
    while True:
        further = rows.filter(rows.sequence > last).order_by("sequence").limit(CHUNK).to_pyarrow()
        if not further.num_rows:
            break
        target.append({name: further})
        last = further["sequence"][-1].as_py()
        copied += further.num_rows
        progress(name, already + copied, total)
    before, after = checksum(source, name), checksum(target, name)
    if before != after:
        raise ConflictError(
            f"{name} differ after the move: {before} there, {after} here. Nothing was deleted. Was anything written "
            "meanwhile? Empty the target's tables and move again."
        )
    return Moved(name, total, copied)


def checksum(store: EventStore, name: str) -> list[dict[str, Any]]:
    """Count and sum up a table per project, the same on every engine.

    Returns:
        Per project: rows, first and last sequence, sums of remainders of the hashes (of the totals for counts), and
        the sum of all values to a thousandth.
    """
    rows = store.table(name)
    hashed = ("visitors", "occurrences") if name == "counts" else ("id_hash", "content_hash")
    sums = {column: (rows[column].abs() % PRIME).sum() for column in hashed}
    if "value" in rows.columns:
        sums["value"] = (rows.value.fill_null(0.0) * 1000).round().cast("int64").sum()
    found = rows.group_by("project_id").agg(
        rows=rows.count(), first=rows.sequence.min(), last=rows.sequence.max(), **sums
    )
    listed: list[dict[str, Any]] = found.order_by("project_id").to_pyarrow().to_pylist()
    return [{key: None if value is None else int(value) for key, value in row.items()} for row in listed]
