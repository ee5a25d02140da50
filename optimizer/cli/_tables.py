"""Tables in a terminal: numbers to the right, and nothing cut off where it is narrow."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def ruled(titles: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int, title: str | None = None) -> Table:
    """Make a table whose first columns are texts and whose others are numbers; what is too long is folded."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for place, name in enumerate(titles):
        table.add_column(name, justify="left" if place < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def fits(console: Console, table: Table) -> bool:
    """Say whether a terminal shows a table without folding."""
    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width
