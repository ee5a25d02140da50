"""Rows as an HTML table, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

Cell = str | int | float | bool | None
CELL = "padding:4px 10px;text-align:left"


def html_table(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Write rows as a table; every text is escaped."""
    if not rows:
        return ""
    head = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in rows[0])
    body = "".join(f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def paragraph(text: str, *, strong: bool = False) -> str:
    """Write one paragraph; the text is escaped."""
    return f"<p>{'<b>' if strong else ''}{escape(text)}{'</b>' if strong else ''}</p>"


def _cell(value: Cell) -> str:
    return f'<td style="{CELL}">{escape("" if value is None else str(value))}</td>'
