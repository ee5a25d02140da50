"""Plausible's CSV export: daily totals, so they become counts.

`imported_visitors_*.csv` carries all visitors of a day, `imported_custom_events_*.csv` those of each goal; the other
files break the same visitors down and are not needed. Source: plausible.io/docs/csv-import, its table definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SYSTEM = "plausible"
VISIT = "visit"


def counts(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn a day's row into one count; a goal is told from all visitors by its `name`.

    Raises:
        KeyError: The file is another one of the export.
    """
    name = str(row.get("name", VISIT))
    occurrences = row["events"] if "events" in row else row["visits"]
    count = {"date": str(row["date"]), "name": name, "visitors": row["visitors"], "occurrences": occurrences}
    details = {kind: str(row[kind])[:200] for kind in ("path", "link_url") if row.get(kind)}
    return [{**count, **({"dimensions": details} if details else {})}]
