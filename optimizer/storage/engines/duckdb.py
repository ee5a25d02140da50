"""DuckDB, the embedded event engine: one file, one process, one cursor per thread.

What a commit of its own takes hardly depends on how many rows it has, so rows are made safe in a journal beside the
file and taken in many at once; whoever reads waits until everything that was stored before is in. A second process
cannot open the file; the message then names the first one's process and what to do instead.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from optimizer.errors import BusyError, ConfigurationError, UnknownOutcomeError
from optimizer.storage.events import ID_COLUMN, SCHEMAS, EventStore, StoredIds
from optimizer.storage.filler import MOST_BYTES, Filler
from optimizer.storage.journal import Journal, Record

DELETE_REPLACED_COUNTS = """
DELETE FROM counts USING incoming_rows AS incoming
WHERE counts.project_id = incoming.project_id AND counts.system = incoming.system AND counts.date = incoming.date
  AND counts.name = incoming.name AND counts.dimensions = incoming.dimensions
  AND counts.experiment = incoming.experiment AND counts.variant = incoming.variant
"""
INSERTS = {
    "events": "INSERT INTO events BY NAME SELECT * FROM incoming_rows",
    "exposures": "INSERT INTO exposures BY NAME SELECT * FROM incoming_rows",
    "links": "INSERT INTO links BY NAME SELECT * FROM incoming_rows",
    "recoveries": "INSERT INTO recoveries BY NAME SELECT * FROM incoming_rows",
    "counts": "INSERT INTO counts BY NAME SELECT * FROM incoming_rows",
}
# Merging small row groups when the log is folded in makes every fourth fold five times as long, for every reader that
# waits; what it saves is little, and row groups in which nothing is left go anyway.
CONFIG = {"max_vacuum_tasks": "0"}
FULL = "The disk of the data folder is full: make room, and events are taken again."
UNWRITABLE = "The data folder cannot be written: give the service's user write access, and events are taken again."
NOT_STORED = "Nothing of this batch was stored. Send it again."
ANY = "SELECT 1 FROM {} WHERE project_id = ? LIMIT 1"
ID_HASHES = "SELECT id_hash FROM {}"
LAST = "SELECT max(sequence) FROM {}"
FOUND = "SELECT project_id, id_hash, content_hash, {} AS id FROM {} WHERE id_hash IN (SELECT unnest(?::BIGINT[]))"
TAKEN = "UPDATE journal SET position = ?"
DIRECT_BYTES = 16_000_000  # beyond it a journal would only write the same bytes twice
# What older files lack; each statement changes nothing where it was run before.
UPGRADES = (
    "CREATE TABLE IF NOT EXISTS journal AS SELECT 0::BIGINT AS position",  # of the last record that was taken in
    "ALTER TABLE events ADD COLUMN IF NOT EXISTS bot BOOLEAN",
    "ALTER TABLE events ADD COLUMN IF NOT EXISTS warnings VARCHAR",
    "ALTER TABLE exposures ADD COLUMN IF NOT EXISTS session_id VARCHAR",
)


class DuckDBEventStore(EventStore):
    """Events in one DuckDB file.

    Args:
        path: The file; made when missing. ``:memory:`` keeps everything in memory.
        memory_mb: Memory it may use, in MB; 0 means 80% of the machine.

    Raises:
        ConfigurationError: Another process has the file open, or it cannot be read.
    """

    unreachable: ClassVar[tuple[type[Exception], ...]] = (duckdb.FatalException,)

    def __init__(self, path: str, *, memory_mb: int = 0) -> None:
        self._path = path
        self._memory_mb = memory_mb
        self._connection = _connect(path, memory_mb)
        self._opened = 1  # how often; cursors of an earlier time are of no use
        self._broken = False
        self._local = threading.local()
        self._write_lock = threading.Lock()
        self._writer = self._connection.cursor()  # never Ibis': that one forbids reading a local variable by its name
        self._closed = False
        for name, schema in SCHEMAS.items():
            nothing = schema.empty_table()  # DuckDB reads it by this name
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS FROM nothing")
        del nothing
        for upgrade in UPGRADES:
            self._connection.execute(upgrade)
        self._position = self._last_taken()
        self._filler = Filler(self._take_in)
        self._append_lock = threading.Lock()
        self._journal = None if path == ":memory:" else Journal(Path(path))
        if self._journal is not None:
            self._continue_after(self._journal)

    def append(self, batches: Mapping[str, pa.Table]) -> None:
        """Write rows in one record of the journal, which is synced; DuckDB takes them in behind it."""
        typed = {name: _typed(name, rows) for name, rows in batches.items()}
        with self._append_lock:
            if self._journal is None or sum(rows.nbytes for rows in typed.values()) > DIRECT_BYTES:
                self._filler.settle()
                self._commit(typed)
                return
            try:
                self._filler.admit()
                record = self._journal.append(typed)
            except BusyError as error:
                raise BusyError(f"{error.detail} {NOT_STORED}") from None
            except OSError as error:
                raise BusyError(f"{_os_reason(error)} {NOT_STORED}") from None
            self._filler.add(record)

    def stored_ids(self, table: str) -> StoredIds:
        """Read every id hash of a table."""
        self._filler.settle()
        connection = self._backend().con
        hashes = connection.execute(ID_HASHES.format(table)).to_arrow_table()["id_hash"].combine_chunks()
        [[last]] = connection.execute(LAST.format(table)).fetchall()
        return StoredIds(hashes, int(last or 0))

    def find_by_id_hash(self, table: str, id_hashes: Sequence[int]) -> pa.Table:
        """Read the stored rows that may be meant by these hashes."""
        self._filler.settle()
        wanted = [list(id_hashes)]  # bound as one value: Ibis would make an expression of each
        return self._backend().con.execute(FOUND.format(ID_COLUMN[table], table), wanted).to_arrow_table()

    def table(self, name: str) -> ir.Table:
        """Return a table bound to this thread's cursor, with everything in it that was stored before."""
        with suppress(BusyError):  # what cannot be taken in now is safe, and shown later
            self._filler.settle()
        backend = self._backend()
        if name not in self._local.tables:
            self._local.tables[name] = backend.table(name)
        found: ir.Table = self._local.tables[name]
        return found

    def has_rows(self, name: str, project_id: int) -> bool:
        """Tell whether a project has any row in a table."""
        with suppress(BusyError):
            self._filler.settle()
        return bool(self._backend().con.execute(ANY.format(name), [project_id]).fetchall())

    def close(self) -> None:
        """Take in what waits, write the log into the file and let go of it."""
        if not self._closed:
            self._closed = True
            whole = self._filler.close()
            if self._journal is not None:
                self._journal.release(self._position, all_segments=whole)
                self._journal.close()
            self._connection.close()

    def _continue_after(self, journal: Journal) -> None:
        # What a killed process had made safe and not yet taken in.
        group: list[Record] = []
        try:
            for record in journal.records(after=self._position):
                group.append(record)
                if sum(one.size for one in group) > MOST_BYTES:
                    self._take_in(group)
                    group = []
            if group:
                self._take_in(group)
        except BusyError as error:
            raise ConfigurationError(f"The event store {self._path} cannot be opened. {error.detail}") from None

    def _last_taken(self) -> int:
        [[position]] = self._connection.execute("SELECT position FROM journal").fetchall()
        return int(position)

    def _take_in(self, records: Sequence[Record]) -> None:
        with self._write_lock:
            self._reopen_if_broken()
            fresh = [record for record in records if record.position > self._position]
            if not fresh:  # the commit that failed had happened
                return
            self._transact(partial(_insert_records, self._writer, fresh))
            self._position = fresh[-1].position
        if self._journal is not None:
            self._journal.release(self._position)

    def _commit(self, batches: Mapping[str, pa.Table]) -> None:
        with self._write_lock:
            self._reopen_if_broken()
            try:
                self._transact(partial(_insert_all, self._writer, batches))
            except UnknownOutcomeError as error:
                raise UnknownOutcomeError(f"{error.detail} Send the batch again.") from None
            except BusyError as error:
                raise BusyError(f"{error.detail} {NOT_STORED}") from None

    def _transact(self, write: Callable[[], None]) -> None:
        try:
            self._writer.begin()
            write()
            self._writer.commit()
        except duckdb.FatalException as error:
            self._broken = True
            raise UnknownOutcomeError(_reason(error)) from None
        except BaseException as error:
            _roll_back(self._writer)
            if not isinstance(error, duckdb.Error):
                raise
            raise BusyError(_reason(error)) from None

    def _backend(self) -> ibis.backends.duckdb.Backend:
        if self._broken:
            with self._write_lock:
                self._reopen_if_broken()
        if getattr(self._local, "opened", 0) != self._opened:
            self._local.opened = self._opened
            self._local.backend = ibis.duckdb.from_connection(self._connection.cursor())
            self._local.tables = {}  # what Ibis knows of them, so that it does not ask at every read
        return self._local.backend

    def _reopen_if_broken(self) -> None:
        # After some failures (a log that cannot be removed, say) DuckDB answers nothing until it is opened again.
        if not self._broken:
            return
        with suppress(duckdb.Error):
            self._connection.close()
        try:
            self._connection = _connect(self._path, self._memory_mb)
        except ConfigurationError as error:
            raise BusyError(f"The event store cannot be opened again: {error.detail}") from None
        self._writer = self._connection.cursor()
        self._position = self._last_taken()
        self._opened += 1
        self._broken = False


def _connect(path: str, memory_mb: int) -> duckdb.DuckDBPyConnection:
    config = {**CONFIG, **({"memory_limit": f"{memory_mb}MB"} if memory_mb else {})}
    if path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = duckdb.connect(path, config=config)
    except duckdb.IOException as error:
        holder = re.search(r"PID (\d+)", str(error))
        if "lock" in str(error).lower():
            who = f"process {holder[1]}" if holder else "another process"
            raise ConfigurationError(
                f"The event store {path} is in use by {who}. "
                "Talk to that one over HTTP (--url), stop it, or choose another data folder."
            ) from None
        damaged = re.search(r"Corrupt WAL file: entry at byte position (\d+)", str(error))
        if damaged:
            raise ConfigurationError(
                f"The log {path}.wal is damaged at byte {damaged[1]}; every commit before it is whole and nothing "
                f"was changed. Copy both files away, then keep what is whole: truncate -s {damaged[1]} {path}.wal"
            ) from None
        raise ConfigurationError(f"The event store {path} cannot be opened: {error}") from None
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _insert_all(cursor: duckdb.DuckDBPyConnection, batches: Mapping[str, pa.Table]) -> None:
    for name, rows in batches.items():
        _insert(cursor, name, rows)


def _insert_records(cursor: duckdb.DuckDBPyConnection, records: Sequence[Record]) -> None:
    tables: dict[str, list[pa.Table]] = {}
    for record in records:
        for name, rows in record.batches.items():
            if name == "counts":
                _insert(cursor, name, rows)  # each may replace rows of the one before
            else:
                tables.setdefault(name, []).append(rows)
    _insert_all(cursor, {name: pa.concat_tables(parts).combine_chunks() for name, parts in tables.items()})
    cursor.execute(TAKEN, [records[-1].position])


def _typed(name: str, rows: pa.Table) -> pa.Table:
    return rows if rows.schema.equals(SCHEMAS[name]) else rows.cast(SCHEMAS[name])


def _insert(cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    # DuckDB reads it by this name: half the cost of registering a view. The bare stream is read without the
    # interpreter's lock, for which a reader or a table waits again and again beside busy requests.
    if name == "counts":
        incoming_rows: Any = rows
        cursor.execute(DELETE_REPLACED_COUNTS)
    incoming_rows = rows.__arrow_c_stream__()
    cursor.execute(INSERTS[name])
    del incoming_rows


def _os_reason(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}:
        return FULL
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return UNWRITABLE
    return f"The journal could not be written ({error.strerror})."


def _reason(error: duckdb.Error) -> str:
    said = str(error)
    if "No space left" in said or "File too large" in said:
        return FULL
    if "Permission denied" in said or "Read-only" in said:
        return UNWRITABLE
    return f"The event store could not commit ({type(error).__name__})."


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.rollback()
    except duckdb.Error:
        return  # the failed statement already ended the transaction
