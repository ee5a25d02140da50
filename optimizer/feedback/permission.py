"""Whether a person may be told about, as of now: the newest consent and no suppression."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ibis.expr.types as ir
from sqlmodel import Session, col, or_, select

from optimizer.ingest.match_data import read_contacts
from optimizer.storage.among import among
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Suppression

SIGNALS = ("ad_user_data", "ad_personalization", "email")
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Permission:
    """What one unit's newest known signals say.

    Attributes:
        ad_user_data: Newest known value; None is unknown, which is not consent.
        ad_personalization: Likewise.
        email: Likewise.
        suppressed: The person must receive nothing.
    """

    ad_user_data: bool | None = None
    ad_personalization: bool | None = None
    email: bool | None = None
    suppressed: bool = False


def permissions(
    stores: Stores, project_id: int, unit_ids: Iterable[str], *, purpose: str = "ads"
) -> dict[str, Permission]:
    """Read the permissions of units, by unit id.

    Args:
        stores: Both stores and the cipher.
        project_id: Whose units.
        unit_ids: Up to some thousands.
        purpose: ``ads`` or ``email``: which suppressions count besides those for all purposes.
    """
    wanted = sorted(set(unit_ids) - {""})
    if not wanted:
        return {}
    events = stores.events.events(project_id)
    own = events.filter(among(events.unit_id, wanted))
    rows = {signal: newest_consent(own, signal).to_pyarrow().to_pylist() for signal in SIGNALS}
    newest = {signal: {row["unit_id"]: row["said"] for row in rows[signal]} for signal in SIGNALS}
    with stores.control.reading() as session:
        suppressed = suppressed_units(session, stores, project_id, wanted, purpose)
    return {
        unit: Permission(
            ad_user_data=newest["ad_user_data"].get(unit),
            ad_personalization=newest["ad_personalization"].get(unit),
            email=newest["email"].get(unit),
            suppressed=unit in suppressed,
        )
        for unit in wanted
    }


def newest_consent(events: ir.Table, signal: str) -> ir.Table:
    """Return (unit_id, said) for every unit that ever answered.

    By the event's own time, because trackers deliver late; of two answers at one time the refusal holds.
    """
    answered = events.select("unit_id", "timestamp", said=events[f"consent_{signal}"])
    answered = answered.filter(answered.said.notnull())
    latest = answered.group_by("unit_id").agg(timestamp=answered.timestamp.max())
    final = answered.inner_join(latest, ["unit_id", "timestamp"])
    return final.group_by("unit_id").agg(said=final.said.all())


def suppressed_units(
    session: Session, stores: Stores, project_id: int, unit_ids: Sequence[str], purpose: str
) -> set[str]:
    """Return which of these units are suppressed, by user id or by the hash of their e-mail."""
    rows = session.exec(
        select(Suppression.user_id, Suppression.email_sha256).where(
            Suppression.project_id == project_id,
            col(Suppression.purpose).in_(["all", purpose]),
            or_(col(Suppression.user_id).is_not(None), col(Suppression.email_sha256).is_not(None)),
        )
    ).all()
    users = {f"u:{user}" for user, _ in rows if user}
    hashes = {email for _, email in rows if email}
    found = users & set(unit_ids)
    for first in range(0, len(unit_ids) if hashes else 0, CHUNK):
        contacts = read_contacts(session, stores.cipher, project_id, unit_ids[first : first + CHUNK])
        found |= {unit for unit, contact in contacts.items() if contact.email_sha256 in hashes}
    return found
