from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import bindparam, func, insert, text, update
from sqlalchemy.exc import OperationalError, StatementError
from sqlmodel import select

from optimizer.catalog.definitions import list_definitions, record_seen
from optimizer.catalog.keys import create_key, open_key, revoke_key
from optimizer.catalog.projects import ProjectRequest, create_project, ensure_default_project
from optimizer.errors import ConfigurationError, ConflictError, UnauthenticatedError
from optimizer.ingest.match_data import (
    LIFETIME,
    Contact,
    Kept,
    MatchData,
    delete_expired,
    read_contacts,
    read_match_data,
    write,
)
from optimizer.jobs.claim import EXPIRES_AFTER, beat, claim, finish
from optimizer.storage.cipher import Cipher, prove_key
from optimizer.storage.control import ControlStore
from optimizer.storage.migrate import alembic_config, upgrade
from optimizer.storage.tables import JobRun, Project
from tests.conftest import NOON, SECRET


def a_project(control: ControlStore) -> int:
    with control.session() as session:
        return ensure_default_project(session).id or 0


def test_migrating_twice_changes_nothing_and_leaves_no_drift(control: ControlStore) -> None:
    upgrade(control)
    command.check(alembic_config(control))


def test_two_processes_that_migrate_at_once_both_succeed(control_url: str) -> None:
    stores = [ControlStore(control_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(upgrade, stores))
    command.check(alembic_config(stores[0]))
    for store in stores:
        store.close()


def test_whoever_opens_a_new_file_at_the_same_moment_waits(tmp_path: Path) -> None:
    def first_words(place: Path, all_there: threading.Barrier) -> None:
        store = ControlStore(f"sqlite:///{place}")
        all_there.wait(10)
        with store.session() as session:
            session.connection().exec_driver_sql("CREATE TABLE IF NOT EXISTS words (word TEXT)")
        store.close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(60):  # without waiting about one time in sixty is refused
            place, all_there = tmp_path / f"{number}.sqlite", threading.Barrier(4)
            list(pool.map(first_words, [place] * 4, [all_there] * 4))


def test_a_failed_block_leaves_nothing_behind(control: ControlStore) -> None:
    def half_way() -> None:
        with control.session() as session:
            session.add(Project(key="half", name="Half"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_way()
    with control.reading() as session:
        assert session.exec(select(func.count()).select_from(Project)).one() == 0


def test_a_failed_write_of_rows_leaves_nothing_behind(control: ControlStore) -> None:
    def half_way() -> None:
        with control.writing() as connection:
            connection.execute(insert(Project).values(key="half", name="Half", created_at=NOON))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_way()
    assert control.query(select(Project.key)).rows({}) == []


def test_a_query_alone_sees_what_was_committed_and_waits_for_no_writer(control: ControlStore) -> None:
    named = control.query(select(Project.key, Project.name).where(Project.key == bindparam("asked")))
    with control.writing() as connection:
        connection.execute(insert(Project).values(key="shop", name="Shop", created_at=NOON))
    with control.writing() as connection:
        connection.execute(update(Project).values(name="Renamed"))
        assert named.rows({"asked": "shop"}) == [("shop", "Shop")]
    assert named.rows({"asked": "shop"}) == [("shop", "Renamed")]
    assert named.rows({"asked": "other"}) == []


def test_a_query_that_cannot_be_answered_fails_as_all_others_do(control: ControlStore) -> None:
    gone = control.query(select(Project.key))
    with control.writing() as connection:
        connection.execute(text("ALTER TABLE project RENAME TO elsewhere"))
    with pytest.raises(OperationalError):
        gone.rows({})
    with control.writing() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO project"))
    assert gone.rows({}) == []


def test_times_come_back_aware_and_naive_ones_are_refused(control: ControlStore) -> None:
    berlin = dt.datetime(2026, 11, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    with control.session() as session:
        session.add(Project(key="a", name="A", created_at=berlin))
    with control.reading() as session:
        assert session.exec(select(Project)).one().created_at == NOON
    with pytest.raises(StatementError, match="aware"), control.session() as session:
        session.add(Project(key="b", name="B", created_at=dt.datetime(2026, 11, 1, 13)))  # noqa: DTZ001 - the point


def test_writers_wait_for_each_other(control: ControlStore) -> None:
    a_project(control)

    def rename(number: int) -> None:
        with control.session() as session:
            row = session.exec(select(Project).with_for_update()).one()
            row.retention_days = (row.retention_days or 0) + number
            session.add(row)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rename, [1] * 40))
    with control.reading() as session:
        assert session.exec(select(Project)).one().retention_days == 40


def test_a_taken_project_key_is_a_conflict(control: ControlStore) -> None:
    with control.session() as session:
        create_project(session, ProjectRequest(key="shop"))
    with pytest.raises(ConflictError), control.session() as session:
        create_project(session, ProjectRequest(key="shop"))


def test_keys_open_until_revoked(control: ControlStore) -> None:
    project = a_project(control)
    with control.session() as session:
        row, key = create_key(session, project, "manage", now=NOON)
    with control.reading() as session:
        assert open_key(session, key).scopes == {"manage", "read"}
    with control.session() as session:
        revoke_key(session, project, row.prefix, now=NOON)
    with pytest.raises(UnauthenticatedError), control.reading() as session:
        open_key(session, key)


def test_seen_names_are_recorded_once_whoever_races(control: ControlStore) -> None:
    project = a_project(control)
    start = threading.Barrier(4)

    def see() -> None:
        start.wait()
        with control.session() as session:
            record_seen(
                session, project, {"add_to_cart": {"Add to cart", "add_to_cart"}, "click": {"click"}}, now=NOON
            )

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(see) for _ in range(4)]:
            done.result()
    with control.reading() as session:
        [definition] = list_definitions(session, project)
    assert (definition.name, definition.spellings, definition.status) == ("add_to_cart", ["Add to cart"], "proposed")


def test_match_data_keeps_the_first_contacts_the_newest_and_both_expire(control: ControlStore) -> None:
    project, cipher = a_project(control), Cipher(SECRET)
    later = NOON + dt.timedelta(hours=1)

    def keep(mail: str, at: dt.datetime) -> None:
        kept = Kept(project, "e1", "u:1", MatchData(email_sha256=mail), Contact(email_sha256=mail), at)
        with control.session() as session:
            write(session, cipher, [kept])

    for mail, at in (("b", later), ("a", NOON), ("c", later + dt.timedelta(hours=1))):
        keep(mail, at)
    with control.reading() as session:
        assert read_match_data(session, cipher, project, ["e1"], now=NOON)["e1"].email_sha256 == "b"
        assert read_contacts(session, cipher, project, ["u:1"])["u:1"].email_sha256 == "c"
        assert not read_match_data(session, cipher, project, ["e1"], now=later + LIFETIME)
    with control.session() as session:
        assert delete_expired(session, now=later + LIFETIME) == 1


def test_of_many_contacts_at_once_each_persons_newest_stays(control: ControlStore) -> None:
    project, cipher = a_project(control), Cipher(SECRET)

    def keep(mail: str, hours: Sequence[int]) -> None:
        kept = [
            Kept(project, f"e{n}", f"u:{n}", None, Contact(email_sha256=mail), NOON + dt.timedelta(hours=hour))
            for n, hour in enumerate(hours)
        ]
        with control.session() as session:
            write(session, cipher, kept)

    keep("first", [1] * 40)
    keep("second", [n % 3 for n in range(40)])  # older, as old and newer
    with control.reading() as session:
        found = read_contacts(session, cipher, project, [f"u:{n}" for n in range(40)])
    assert [found[f"u:{n}"].email_sha256 for n in range(40)] == ["second" if n % 3 else "first" for n in range(40)]


def test_another_secret_key_is_refused(control: ControlStore) -> None:
    prove_key(control, Cipher(SECRET))
    prove_key(control, Cipher(SECRET))
    with pytest.raises(ConfigurationError, match="secret key"):
        prove_key(control, Cipher("another secret key of enough length"))


def test_of_many_that_claim_one_slot_exactly_one_gets_it(control: ControlStore) -> None:
    start = threading.Barrier(6)

    def race() -> int | None:
        start.wait()
        return claim(control, "refresh", NOON, now=NOON)

    with ThreadPoolExecutor(6) as pool:
        won = [run.result() for run in [pool.submit(race) for _ in range(6)]]
    assert sum(run is not None for run in won) == 1


def test_a_claim_lasts_as_long_as_its_heartbeat(control: ControlStore) -> None:
    first = claim(control, "refresh", NOON, now=NOON)
    assert first is not None
    soon = NOON + dt.timedelta(minutes=1)
    beat(control, "refresh", first, now=soon)
    assert claim(control, "refresh", soon, now=soon + EXPIRES_AFTER) is None
    late = soon + EXPIRES_AFTER + dt.timedelta(seconds=1)
    second = claim(control, "refresh", late, now=late)
    assert second is not None
    finish(control, second, "ok", {"rows": 1}, None, now=late)
    assert claim(control, "refresh", late, now=late) is None
    with control.reading() as session:
        assert [run.status for run in session.exec(select(JobRun).order_by(text("id")))] == ["abandoned", "ok"]


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "postgresql://x/y"])
def test_another_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database_url"):
        ControlStore(url)


def test_a_database_that_cannot_be_reached_says_so() -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        upgrade(ControlStore("postgresql+psycopg://nobody@127.0.0.1:1/none"))
