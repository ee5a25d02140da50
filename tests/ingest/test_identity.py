from __future__ import annotations

import datetime as dt

from sqlmodel import select

from optimizer.ingest.identity import CookielessIdentity, delete_old_salts
from optimizer.storage.stores import Stores
from optimizer.storage.tables import CookielessSalt
from tests.conftest import NOON

DAY = dt.timedelta(days=1)


def identity(stores: Stores) -> CookielessIdentity:
    return CookielessIdentity(stores.control, stores.cipher)


def days(stores: Stores) -> list[dt.date]:
    with stores.control.reading() as session:
        return sorted(row.day for row in session.exec(select(CookielessSalt)))


def test_a_visitor_is_the_same_all_day_in_every_process_and_another_on_every_other_account(stores: Stores) -> None:
    own, other = identity(stores), identity(stores)
    unit = own.unit(1, "203.0.113.7", "Firefox", now=NOON)
    assert unit == own.unit(1, "203.0.113.7", "Firefox", now=NOON + dt.timedelta(hours=11))
    assert unit == other.unit(1, "203.0.113.7", "Firefox", now=NOON)
    others = [(2, "203.0.113.7", "Firefox"), (1, "203.0.113.8", "Firefox"), (1, "203.0.113.7", "Safari")]
    assert unit not in {own.unit(*one, now=NOON) for one in others}
    assert unit != own.unit(1, "203.0.113.7", "Firefox", now=NOON + DAY)


def test_salts_are_gone_48_hours_after_their_day_began(stores: Stores) -> None:
    own = identity(stores)
    own.unit(1, "203.0.113.7", "Firefox", now=NOON)
    assert days(stores) == [NOON.date() - DAY, NOON.date()]
    own.unit(1, "203.0.113.7", "Firefox", now=NOON + DAY)
    assert days(stores) == [NOON.date(), NOON.date() + DAY]


def test_without_traffic_the_hourly_job_deletes_them(stores: Stores) -> None:
    identity(stores).unit(1, "203.0.113.7", "Firefox", now=NOON)
    with stores.control.session() as session:
        assert delete_old_salts(session, today=NOON.date() + DAY) == 1
        assert delete_old_salts(session, today=NOON.date() + 2 * DAY) == 1
    assert days(stores) == []


def test_salts_are_random_and_not_stored_in_clear(stores: Stores) -> None:
    identity(stores).unit(1, "203.0.113.7", "Firefox", now=NOON)
    with stores.control.reading() as session:
        rows = session.exec(select(CookielessSalt)).all()
    clear = {stores.cipher.decrypt(row.ciphertext) for row in rows}
    assert len(clear) == 2
    assert all(len(salt) == 32 and salt not in row.ciphertext for salt in clear for row in rows)
