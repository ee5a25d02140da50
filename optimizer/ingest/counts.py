"""Daily totals from cookieless tools: the same key sent again replaces what was stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from optimizer.core.naming import canonical_name
from optimizer.ingest.event import LARGEST_VALUE, Verdict

Natural = Annotated[int, Meta(ge=0, le=2**53)]
LARGEST_SQUARES = LARGEST_VALUE**2
CANONICAL_DIMENSIONS = frozenset({"source", "medium", "campaign"})


class Count(Struct, forbid_unknown_fields=True, frozen=True):
    """How many visitors did one thing on one day. The reserved name `visit` carries all visitors."""

    date: dt.date
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    visitors: Natural
    occurrences: Natural | None = None
    value: float = 0.0
    value_squares: float | None = None
    dimensions: dict[Annotated[str, Meta(max_length=100)], Annotated[str, Meta(max_length=200)]] = {}
    experiment: Annotated[str, Meta(max_length=100)] | None = None
    variant: Annotated[str, Meta(max_length=100)] | None = None


def count_rows(
    project_id: int,
    system: str,
    items: Sequence[tuple[int, Count]],
    rejected: list[Verdict],
    *,
    now: dt.datetime,
) -> list[tuple[Any, ...]]:
    """Turn counts into rows in schema order without `sequence`; append a verdict for each that does not fit."""
    rows = []
    for index, count in items:
        name = canonical_name(count.name)
        refusal = _refusal(count, name, now)
        if refusal:
            rejected.append(Verdict(index, *refusal))
            continue
        rows.append(
            (
                project_id,
                system,
                count.date,
                name,
                _dimensions(count.dimensions),
                count.experiment or "",
                count.variant or "",
                count.visitors,
                count.occurrences if count.occurrences is not None else count.visitors,
                count.value,
                count.value_squares,
                now,
            )
        )
    return rows


def _refusal(count: Count, name: str, now: dt.datetime) -> tuple[str, str] | None:
    squares = count.value_squares
    faults = (
        (not name, "missing_name", "`name` must contain a letter or a digit."),
        (count.date > (now + dt.timedelta(days=1)).date(), "future_date", "`date` has not begun anywhere on earth."),
        (
            count.occurrences is not None and count.occurrences < count.visitors,
            "invalid_field",
            "`occurrences` must not be below `visitors`.",
        ),
        (
            not abs(count.value) <= LARGEST_VALUE,  # NaN is not either
            "invalid_field",
            f"`value` must be a number of at most {LARGEST_VALUE:g} either way.",
        ),
        (
            squares is not None and not 0 <= squares <= LARGEST_SQUARES,
            "invalid_field",
            f"`value_squares` must be a number from 0 to {LARGEST_SQUARES:g}.",
        ),
        (bool(count.experiment) != bool(count.variant), "invalid_field", "`experiment` and `variant` go together."),
    )
    return next(((code, detail) for wrong, code, detail in faults if wrong), None)


def _dimensions(sent: dict[str, str]) -> str:
    canonical = {
        name: canonical_name(value) if name in CANONICAL_DIMENSIONS else value for name, value in sent.items()
    }
    return msgspec.json.encode(canonical, order="sorted").decode()
