"""Who an event belongs to: a known user, an anonymous visitor, or a cookieless one.

A cookieless visitor is a keyed hash of project, IP address and user agent under a random salt that changes every UTC
day. Salts are deleted after 48 hours; with the salt goes every way back from the hash to the visitor.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import threading

from sqlmodel import col, delete

from optimizer.storage.cipher import Cipher
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import CookielessSalt

SALT_LIFETIME = dt.timedelta(hours=48)


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
        self._lock = threading.Lock()

    def unit(self, project_id: int, ip: str, user_agent: str, *, now: dt.datetime) -> str:
        """Return the unit id of a visitor on the day of `now`."""
        salt = self._salt(now)
        message = f"{project_id}\0{ip}\0{user_agent}".encode()
        return "c:" + hashlib.blake2b(message, key=salt, digest_size=16).hexdigest()

    def _salt(self, now: dt.datetime) -> bytes:
        day = now.astimezone(dt.UTC).date()
        with self._lock:
            if day not in self._salts:
                self._salts = {day: self._stored_salt(day, now)}
            return self._salts[day]

    def _stored_salt(self, day: dt.date, now: dt.datetime) -> bytes:
        with self._control.session() as session:
            expired = (now - SALT_LIFETIME).astimezone(dt.UTC).date()
            session.exec(delete(CookielessSalt).where(col(CookielessSalt.day) < expired))
            row = session.get(CookielessSalt, day)
            if row is None:
                row = CookielessSalt(day=day, ciphertext=self._cipher.encrypt(secrets.token_bytes(32)))
                session.add(row)
            return self._cipher.decrypt(row.ciphertext)
