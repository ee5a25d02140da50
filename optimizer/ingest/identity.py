"""Who an event belongs to: a known user, an anonymous visitor, or a cookieless one.

A cookieless visitor is a keyed hash of project, IP address and user agent under a random salt that changes every UTC
day. A visit that goes on over midnight keeps the id it began with: the previous day's salt is tried too. A salt is
deleted when the day after its own ends, so none is older than 48 hours; with it goes every way back to the visitor.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import threading

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, delete

from optimizer.storage.cipher import Cipher
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import CookielessSalt

DAY = dt.timedelta(days=1)
VISIT_ENDS_AFTER = dt.timedelta(minutes=30)
REMEMBERED_VISITS = 200_000


def unit_of(user_id: str | None, anonymous_id: str | None) -> str:
    """Name the unit of analysis: the user if known, else the anonymous visitor, else nobody."""
    if user_id:
        return f"u:{user_id}"
    return f"a:{anonymous_id}" if anonymous_id else ""


class CookielessIdentity:
    """Makes cookieless visitor ids.

    Args:
        control: Where the salts are kept.
        cipher: Encrypts them at rest.
    """

    def __init__(self, control: ControlStore, cipher: Cipher) -> None:
        self._control = control
        self._cipher = cipher
        self._salts: dict[dt.date, bytes] = {}
        self._last_seen: dict[str, dt.datetime] = {}
        self._lock = threading.Lock()

    def unit(self, project_id: int, ip: str, user_agent: str, *, now: dt.datetime) -> str:
        """Return the unit id of a visitor on the day of `now`, or that of the visit that began the day before."""
        visitor = f"{project_id}\0{ip}\0{user_agent}".encode()
        day = now.astimezone(dt.UTC).date()
        with self._lock:
            self._renew(day)
            today, before = (_hashed(visitor, self._salts[one]) for one in (day, day - DAY))
            goes_on = not self._is_visiting(today, now) and self._is_visiting(before, now)
            unit = before if goes_on else today
            self._remember(unit, now)
        return unit

    def _is_visiting(self, unit: str, now: dt.datetime) -> bool:
        seen = self._last_seen.get(unit)
        return seen is not None and now - seen < VISIT_ENDS_AFTER

    def _remember(self, unit: str, now: dt.datetime) -> None:
        if len(self._last_seen) >= REMEMBERED_VISITS:
            ended = now - VISIT_ENDS_AFTER
            self._last_seen = {one: seen for one, seen in self._last_seen.items() if seen > ended}
            if len(self._last_seen) >= REMEMBERED_VISITS:
                self._last_seen.clear()
        self._last_seen[unit] = now

    def _renew(self, day: dt.date) -> None:
        if day in self._salts and day - DAY in self._salts:
            return
        with self._control.session() as session:
            delete_old_salts(session, today=day)
            self._salts = {one: self._stored_salt(session, one) for one in (day - DAY, day)}

    def _stored_salt(self, session: Session, day: dt.date) -> bytes:
        if (
            session.get(CookielessSalt, day) is None
        ):  # another process may make it at the same moment: one of them wins
            insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
            made = {"day": day, "ciphertext": self._cipher.encrypt(secrets.token_bytes(32))}
            session.execute(insert(CookielessSalt).on_conflict_do_nothing(), made)
        return self._cipher.decrypt(session.get_one(CookielessSalt, day).ciphertext)


def delete_old_salts(session: Session, *, today: dt.date) -> int:
    """Delete the salts of days before yesterday (UTC) and return how many; called daily, also without any traffic."""
    return session.exec(delete(CookielessSalt).where(col(CookielessSalt.day) < today - DAY)).rowcount


def _hashed(visitor: bytes, salt: bytes) -> str:
    return "c:" + hashlib.blake2b(visitor, key=salt, digest_size=16).hexdigest()
