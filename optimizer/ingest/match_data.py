"""What may be kept to recognise a consenting person: match data per event, contacts per unit, both encrypted.

They live in the control plane, apart from the event store, and are written before the event's own commit: after a
crash between the two there may be match data without an event (it expires), never an acknowledged event without.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, delete, select

from optimizer.storage.cipher import Cipher
from optimizer.storage.tables import ContactRecord, MatchDataRecord

LIFETIME = dt.timedelta(days=90)


class MatchData(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hashes, click ids and browser data of one event whose person granted `ad_user_data`."""

    email_sha256: str | None = None
    email_google_sha256: str | None = None
    phone_e164_sha256: str | None = None
    phone_digits_sha256: str | None = None
    click_ids: dict[str, str] = {}
    ip: str | None = None
    user_agent: str | None = None
    page: str | None = None

    def __repr__(self) -> str:
        return "MatchData(…)"


class Contact(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest contact of one unit; `email` and `phone` only with the project's `contact_storage`."""

    email_sha256: str | None = None
    email: str | None = None
    phone: str | None = None

    def __repr__(self) -> str:
        return "Contact(…)"


@dataclass(frozen=True, slots=True)
class Kept:
    """Match data and contact of one event, on their way into the control plane."""

    project_id: int
    event_id: str
    unit_id: str
    match: MatchData | None
    contact: Contact | None
    received_at: dt.datetime


def write(session: Session, cipher: Cipher, kept: Iterable[Kept]) -> None:
    """Store match data (the first of an event id stays) and contacts (the newest of a unit stays)."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    matches, contacts = [], {}
    for item in kept:
        if item.match is not None:
            matches.append(
                {
                    "project_id": item.project_id,
                    "event_id": item.event_id,
                    "unit_id": item.unit_id,
                    "ciphertext": cipher.encrypt(msgspec.json.encode(item.match)),
                    "expires_at": item.received_at + LIFETIME,
                }
            )
        if item.contact is not None and item.unit_id:
            contacts[item.project_id, item.unit_id] = {
                "project_id": item.project_id,
                "unit_id": item.unit_id,
                "ciphertext": cipher.encrypt(msgspec.json.encode(item.contact)),
                "updated_at": item.received_at,
            }
    if matches:
        session.execute(insert(MatchDataRecord).on_conflict_do_nothing(), matches)
    if contacts:
        statement = insert(ContactRecord)
        newer = statement.excluded
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["project_id", "unit_id"],
                set_={"ciphertext": newer.ciphertext, "updated_at": newer.updated_at},
                where=col(ContactRecord.updated_at) <= newer.updated_at,
            ),
            [
                contacts[key] for key in sorted(contacts)
            ],  # so that two writers wait for each other and never in a circle
        )


def read_match_data(
    session: Session, cipher: Cipher, project_id: int, event_ids: Sequence[str], *, now: dt.datetime
) -> dict[str, MatchData]:
    """Read the match data of events that has not expired, by event id."""
    rows = session.exec(
        select(MatchDataRecord).where(
            MatchDataRecord.project_id == project_id,
            col(MatchDataRecord.event_id).in_(event_ids),
            MatchDataRecord.expires_at > now,
        )
    )
    return {row.event_id: msgspec.json.decode(cipher.decrypt(row.ciphertext), type=MatchData) for row in rows}


def read_contacts(session: Session, cipher: Cipher, project_id: int, unit_ids: Sequence[str]) -> dict[str, Contact]:
    """Read the contacts of units, by unit id."""
    rows = session.exec(
        select(ContactRecord).where(ContactRecord.project_id == project_id, col(ContactRecord.unit_id).in_(unit_ids))
    )
    return {row.unit_id: msgspec.json.decode(cipher.decrypt(row.ciphertext), type=Contact) for row in rows}


def delete_expired(session: Session, *, now: dt.datetime) -> int:
    """Delete match data past its 90 days and return how many rows went."""
    gone = session.exec(delete(MatchDataRecord).where(col(MatchDataRecord.expires_at) <= now))
    return int(gone.rowcount)
