"""Which events of bots to take back: a robot's user agent is sometimes a person's, or one's own monitor's."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from optimizer.core.naming import canonical_name
from optimizer.ingest.identity import unit_of
from optimizer.storage.events import EventStore, naive_utc

AT_ONCE = 10_000


class SetAside(BaseModel):
    """Which of the events that were set aside; nothing given means all of them."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str | None = Field(None, min_length=1, max_length=200, description="One event name, in any spelling.")
    unit: str | None = Field(None, min_length=1, max_length=200, description="A user id or an anonymous id.")
    start: AwareDatetime | None = Field(None, alias="from", description="Events at or after.")
    end: AwareDatetime | None = Field(None, alias="to", description="Events before.")


def ids_set_aside(store: EventStore, project_id: int, wanted: SetAside) -> Iterator[list[str]]:
    """Yield the ids of the events that are meant, some thousand at a time, oldest first."""
    last = 0
    while True:
        events = store.set_aside(project_id)
        further = events.filter(events.sequence > last)
        if wanted.name is not None:
            further = further.filter(further.name == canonical_name(wanted.name))
        if wanted.unit is not None:
            further = further.filter(further.unit_id.isin([unit_of(wanted.unit, None), unit_of(None, wanted.unit)]))
        if wanted.start is not None:
            further = further.filter(further.timestamp >= naive_utc(wanted.start))
        if wanted.end is not None:
            further = further.filter(further.timestamp < naive_utc(wanted.end))
        found = further.select("sequence", "event_id").order_by("sequence").limit(AT_ONCE).to_pyarrow()
        if not found.num_rows:
            return
        last = found["sequence"][-1].as_py()
        yield found["event_id"].to_pylist()
