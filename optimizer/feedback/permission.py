"""Whether a person may be told to ad platforms, as of now: the newest consent and no suppression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import ibis.expr.types as ir
from sqlmodel import Session, col, or_, select

from optimizer.ingest.match_data import read_contacts
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Suppression

SIGNALS = ("ad_user_data", "ad_personalization")


@dataclass(frozen=True, slots=True)
class Permission:
    """What one unit's newest known signals say.

    Attributes:
        ad_user_data: Newest known value; None is unknown, which is not consent.
        ad_personalization: Likewise.
        suppressed: The person must receive nothing.
    """

    ad_user_data: bool | None = None
    ad_personalization: bool | None = None
    suppressed: bool = False


def permissions(stores: Stores, project_id: int, unit_ids: Iterable[str]) -> dict[str, Permission]:
    """Read the permissions of units, by unit id."""
    wanted = sorted(set(unit_ids) - {""})
    if not wanted:
        return {}
    events = stores.events.events(project_id)
    own = events.filter(events.unit_id.isin(wanted))
    newest = {signal: _newest(own, signal) for signal in SIGNALS}
    with stores.control.reading() as session:
        suppressed = _suppressed(session, stores, project_id, wanted)
    return {
        unit: Permission(
            ad_user_data=newest["ad_user_data"].get(unit),
            ad_personalization=newest["ad_personalization"].get(unit),
            suppressed=unit in suppressed,
        )
        for unit in wanted
    }


def _newest(own: ir.Table, signal: str) -> dict[str, bool]:
    # By the event's own time, because trackers deliver late; of two answers at one time the refusal holds.
    said = own.select("unit_id", "timestamp", said=own[f"consent_{signal}"]).filter(lambda t: t.said.notnull())
    latest = said.group_by("unit_id").agg(timestamp=said.timestamp.max())
    final = said.inner_join(latest, ["unit_id", "timestamp"])
    rows = final.group_by("unit_id").agg(said=final.said.all()).to_pyarrow().to_pylist()
    return {row["unit_id"]: row["said"] for row in rows}


def _suppressed(session: Session, stores: Stores, project_id: int, unit_ids: list[str]) -> set[str]:
    contacts = read_contacts(session, stores.cipher, project_id, unit_ids)
    hashes = {contact.email_sha256: unit for unit, contact in contacts.items() if contact.email_sha256}
    users = {unit.removeprefix("u:"): unit for unit in unit_ids if unit.startswith("u:")}
    rows = session.exec(
        select(Suppression.user_id, Suppression.email_sha256).where(
            Suppression.project_id == project_id,
            col(Suppression.purpose).in_(["all", "ads"]),
            or_(col(Suppression.user_id).in_(users), col(Suppression.email_sha256).in_(hashes)),
        )
    )
    found = (unit for user, email in rows for unit in (users.get(user or ""), hashes.get(email or "")))
    return {unit for unit in found if unit}
