"""Whether a person may be told to ad platforms, as of now: the newest consent and no suppression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    newest = {
        signal: own[f"consent_{signal}"].argmax(own.timestamp, where=own[f"consent_{signal}"].notnull())
        for signal in SIGNALS
    }
    rows = own.group_by("unit_id").agg(**newest).to_pyarrow().to_pylist()
    with stores.control.reading() as session:
        suppressed = _suppressed(session, stores, project_id, wanted)
    return {
        row["unit_id"]: Permission(row["ad_user_data"], row["ad_personalization"], row["unit_id"] in suppressed)
        for row in rows
    }


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
