"""The table of values as the API shows it, and as it is kept: what is told of each event, with its proof beside."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from optimizer.core.terms import Terms
from optimizer.signals.asked import WINDOW_DAYS, Asked
from optimizer.signals.journeys import OTHER

SHOWN_WEEKS = 12
NONE = "(none)"
Pair = tuple[float, float]


class ValuesRequest(BaseModel):
    """Which events are told of together."""

    model_config = ConfigDict(extra="forbid")

    goal: str | None = Field(
        None, min_length=1, max_length=200, description="By default the policy's or the only macro conversion."
    )
    events: str | None = Field(
        None,
        max_length=2_200,
        description="Names joined by commas, up to 10; by default those of enabled rules that send predicted values.",
    )
    window_days: int | None = Field(
        None,
        ge=1,
        le=90,
        description=f"From the first of them on; by default the longest of their rules, or {WINDOW_DAYS}.",
    )


class EventValue(BaseModel):
    """One event's value."""

    event: str
    value: float | None = Field(
        description="What a person is worth whose best event this is; null when it does not pass the gate."
    )
    margin: float = Field(1.0, description="Share of the value that is told: the rule's.")
    maximum: float | None = Field(None, description="The most that one occurrence is told at: the rule's.")
    told: float | None = Field(None, description="The value after margin and cap: what is told of it, less what was.")
    by_source: dict[str, float] = Field(description="The same where a source differs; `(other)` is the rest.")
    people: int = Field(description="Who did it before the goal.")
    mean: float = Field(description="What those brought, whatever else they did: E[value | event].")
    lower_bound: float | None = Field(description="One-sided 97.5% bound of the mean: a gate, never sent.")
    reason: str


class HeldOut(BaseModel):
    """Learned from the earlier weeks, held against the later ones."""

    learned_weeks: int
    weeks: int
    people: int
    predicted: float
    actual: float
    ratio: float | None = Field(description="actual / predicted.")
    ratio_interval: Pair | None
    slope: float | None = Field(description="Of actual on predicted, person by person: 1 is perfect.")
    slope_interval: Pair | None


class SourceRatio(BaseModel):
    """The later weeks, of one source."""

    source: str
    people: int
    predicted: float
    actual: float
    ratio: float | None
    ratio_interval: Pair | None
    withheld: bool = Field(description="Surely outside 0.9 to 1.1 (at 99%): of this source no value is told.")


class WeekRatio(BaseModel):
    """Journeys that began in one week: what was predicted, what would have been told, what they brought."""

    begins: dt.datetime
    people: int
    predicted: float
    actual: float
    ratio: float | None = Field(description="actual / predicted, before margin and cap.")
    told: float | None = Field(
        None, description="Of predicted: after margin and cap, and without the sources of which no value is told."
    )


class ValueTable(BaseModel):
    """Values with their proof."""

    label: Literal["predicted, not incremental"] = "predicted, not incremental"
    status: Literal["ok", "unchecked", "off", "too_few", "no_values"]
    reason: str
    goal: str
    reported: list[str] = Field(description="Events that are told of together; each carries what the others do not.")
    window_days: int
    computed_at: dt.datetime
    people: int = Field(description="Journeys that were learned from.")
    events: list[EventValue] = Field(description="Least telling first: whoever goes on is told the difference more.")
    held_out: HeldOut | None
    sources: list[SourceRatio]
    weeks: list[WeekRatio] = Field(description=f"The last {SHOWN_WEEKS}, oldest first.")

    @property
    def is_usable(self) -> bool:
        """Whether values may be sent."""
        return self.status in {"ok", "unchecked"}

    @property
    def asked(self) -> Asked:
        """Return what it was learned for."""
        terms = {one.event: Terms(one.margin, one.maximum) for one in self.events}
        return Asked({name: terms[name] for name in self.reported}, self.window_days)

    def told(self, event: str, source: str | None) -> float | None:
        """Return what is told of a person whose best event this is; None where nothing may be said."""
        value = self.value(event, source)
        found = next((one for one in self.events if one.event == event), None)
        return None if value is None or found is None else Terms(found.margin, found.maximum).told(value)

    def value(self, event: str, source: str | None) -> float | None:
        """Return what a person is worth whose best event this is; None where nothing may be said."""
        found = next((one for one in self.events if one.event == event), None)
        if found is None or found.value is None or not self.is_usable:
            return None
        if any(one.withheld and one.source == (source or NONE) for one in self.sources):
            return None
        return found.by_source.get(source or "", found.by_source.get(OTHER, found.value))
