"""Takes batches in any format through preparation and the collector, and answers with per-item verdicts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Raw

from optimizer.ingest.aside import SetAside, ids_set_aside
from optimizer.ingest.catalog_views import CatalogViews
from optimizer.ingest.collector import Collector, Receipt
from optimizer.ingest.counts import Count, count_rows
from optimizer.ingest.decode import ItemDecoder
from optimizer.ingest.event import Alias, BatchAnswer, Event, Exposure, Verdict
from optimizer.ingest.identity import CookielessIdentity
from optimizer.ingest.prepare import Prepared, Preparer
from optimizer.ingest.quality import RejectionTally
from optimizer.ingest.rows import Rows
from optimizer.storage.events import EventStore

REMEMBERED_LINKS = 1_000_000
_EVENTS = ItemDecoder(Event)
_EXPOSURES = ItemDecoder(Exposure)
_COUNTS = ItemDecoder(Count)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from.

    Attributes:
        received_at: Arrival, aware UTC.
        ip: The request's address.
        user_agent: The request's user agent.
    """

    received_at: dt.datetime
    ip: str = ""
    user_agent: str = ""


@dataclass(slots=True)
class Decoded:
    """What a wire format made of a batch.

    Attributes:
        events: (index, event) pairs.
        exposures: (index, exposure) pairs; their indexes continue the same batch.
        aliases: (index, alias) pairs, likewise.
        rejected: Items that could not be read.
        warnings: Items that were read with a reservation.
        corrections: What to add to an item's time for the client's clock, by index. Applied after the item's content
            is noted: an honest repeat is sent later, and would differ.
    """

    events: list[tuple[int, Event]] = field(default_factory=list)
    exposures: list[tuple[int, Exposure]] = field(default_factory=list)
    aliases: list[tuple[int, Alias]] = field(default_factory=list)
    rejected: list[Verdict] = field(default_factory=list)
    warnings: list[Verdict] = field(default_factory=list)
    corrections: dict[int, dt.timedelta] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ingest:
    """The pipeline that every format ends in.

    Attributes:
        collector: The durable writer.
        views: Catalog rules by project.
        cookieless: Ids for visitors who have none.
        tally: Counts what was rejected.
        doubts: Says of exposures (of a project, received at a time) why they will not count: code and sentence.
        witness: Told what units are shown, with the time of receipt, before it is committed.
        linked: Units known to be another one, so that the same link is not written with every event.
    """

    collector: Collector
    views: CatalogViews
    cookieless: CookielessIdentity
    tally: RejectionTally
    doubts: Callable[[int, Sequence[Exposure], dt.datetime], Sequence[tuple[str, str] | None]]
    witness: Callable[[int, Sequence[Exposure], dt.datetime], None]
    linked: set[tuple[int, str]] = field(default_factory=set)

    def take(self, project_id: int, decoded: Decoded, origin: Origin) -> BatchAnswer:
        """Store a decoded batch.

        Raises:
            BusyError: Nothing was stored; safe to send again.
        """
        return self._store(project_id, self._prepare(project_id, decoded, origin), origin)

    def _store(self, project_id: int, prepared: Prepared, origin: Origin) -> BatchAnswer:
        self.tally.count(project_id, prepared, now=origin.received_at)
        if prepared.shown:
            self.witness(project_id, prepared.shown, origin.received_at)
        receipt = self.collector.submit(project_id, prepared, received_at=origin.received_at)
        if prepared.new_names:
            self.views.forget(project_id)
        if prepared.links:
            if len(self.linked) > REMEMBERED_LINKS:
                self.linked.clear()
            self.linked.update((project_id, unit) for unit in prepared.links.ids)
        return _answer(prepared, receipt)

    def check_events(self, project_id: int, items: Sequence[Raw], origin: Origin) -> BatchAnswer:
        """Judge a batch in our own event format as `take_events` would, and store nothing.

        Ids that are stored already are not looked up, so `duplicates` is 0.
        """
        return _answer(self._prepare_items(project_id, items, origin), Receipt((), ()))

    def take_events(self, project_id: int, items: Sequence[Raw], origin: Origin) -> BatchAnswer:
        """Store a batch in our own event format."""
        return self._store(project_id, self._prepare_items(project_id, items, origin), origin)

    def _prepare_items(self, project_id: int, items: Sequence[Raw], origin: Origin) -> Prepared:
        preparer, prepared = self._preparer(project_id, origin), Prepared()
        preparer.add_events(_EVENTS.decode(items, prepared.rejected, prepared.warnings), prepared)
        return self._doubted(project_id, prepared, origin)

    def _prepare(self, project_id: int, decoded: Decoded, origin: Origin) -> Prepared:
        preparer = self._preparer(project_id, origin, decoded.corrections)
        prepared = Prepared(rejected=decoded.rejected, warnings=decoded.warnings)
        preparer.add_events(decoded.events, prepared)
        preparer.add_exposures(decoded.exposures, prepared)
        preparer.add_aliases(decoded.aliases, prepared)
        return self._doubted(project_id, prepared, origin)

    def _preparer(
        self, project_id: int, origin: Origin, corrections: Mapping[int, dt.timedelta] | None = None
    ) -> Preparer:
        return Preparer(
            catalog=self.views.of(project_id),
            received_at=origin.received_at,
            cookieless_unit=lambda ip, agent: self.cookieless.unit(project_id, ip, agent, now=origin.received_at),
            is_linked=lambda unit: (project_id, unit) in self.linked,
            remote_ip=origin.ip,
            remote_user_agent=origin.user_agent,
            corrections=corrections or {},
        )

    def _doubted(self, project_id: int, prepared: Prepared, origin: Origin) -> Prepared:
        if prepared.shown:
            doubts = self.doubts(project_id, prepared.shown, origin.received_at)
            places = zip(prepared.exposures.indexes, doubts, strict=True)
            prepared.warnings += [Verdict(index, *doubt) for index, doubt in places if doubt is not None]
        return prepared

    def take_exposures(self, project_id: int, items: Sequence[Raw], origin: Origin) -> BatchAnswer:
        """Store a batch of exposures."""
        decoded = Decoded()
        decoded.exposures = _EXPOSURES.decode(items, decoded.rejected, decoded.warnings)
        return self.take(project_id, decoded, origin)

    def recover(self, project_id: int, events: EventStore, wanted: SetAside, origin: Origin) -> int:
        """Take events back that were set aside as a bot's.

        Args:
            project_id: Whose events.
            events: Where they are.
            wanted: Which.
            origin: When it was asked for.

        Returns:
            How many there are more among the project's events.

        Raises:
            BusyError: Not all were taken back; asking again takes the rest.
        """
        taken = 0
        for ids in ids_set_aside(events, project_id, wanted):
            rows = Rows()
            for place, event_id in enumerate(ids):
                rows.add(place, project_id, event_id, b"", (origin.received_at,))
            receipt = self.collector.submit(project_id, Prepared(recoveries=rows), received_at=origin.received_at)
            taken += len(rows) - len(receipt.duplicates)
        return taken

    def take_counts(self, project_id: int, system: str, items: Sequence[Raw], origin: Origin) -> BatchAnswer:
        """Store daily totals; those with a stored key replace it."""
        rejected: list[Verdict] = []
        warnings: list[Verdict] = []
        decoded = _COUNTS.decode(items, rejected, warnings)
        rows = count_rows(project_id, system, decoded, rejected, now=origin.received_at)
        self.collector.submit(project_id, Prepared(), received_at=origin.received_at, counts=rows)
        return BatchAnswer(len(rows), 0, sorted(rejected, key=_by_index), sorted(warnings, key=_by_index))


def _answer(prepared: Prepared, receipt: Receipt) -> BatchAnswer:
    detail = "An event with this id but other content is stored already; the first content was kept."
    warnings = [*prepared.warnings, *(Verdict(index, "different_content", detail) for index in receipt.differing)]
    duplicates = len(receipt.duplicates) + len(receipt.differing)
    accepted = len(prepared.events) + len(prepared.exposures) + prepared.aliases - duplicates
    return BatchAnswer(
        accepted, duplicates, sorted(prepared.rejected, key=_by_index), sorted(warnings, key=_by_index)
    )


def _by_index(verdict: Verdict) -> int:
    return verdict.index
