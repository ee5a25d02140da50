"""A log of batches on disk, for engines that take rows best in large commits.

A batch is safe once its record is written and synced, which takes a fraction of what a columnar engine's own commit
does. The engine takes the records in later, many at once, and remembers the position of the last: after a crash the
ones beyond it are read again. Records stand in segments beside the engine's file, which are removed when everything
in them was taken in.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa

from optimizer.errors import ConfigurationError

SEGMENT_BYTES = 32_000_000  # a new segment begins beyond it
_HEADER = struct.Struct("<4sIIQ")  # mark, length and CRC-32 of what follows, position
_MARK = b"OJ01"
# What is written is synced by the same call: after each call the writer waits for the interpreter's lock.
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_DSYNC


@dataclass(frozen=True, slots=True)
class Record:
    """Batches that become visible together.

    Attributes:
        position: Its number; each is one more than the one before.
        batches: Table name to rows.
        size: Bytes of its rows, which take about as many in memory.
    """

    position: int
    batches: Mapping[str, pa.Table]
    size: int


class Journal:
    """The segments beside one file; one thread may release what another's records made superfluous.

    Args:
        path: Of the engine's file; segments are named after it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._ends: dict[Path, int] = {}  # position of the last record of each segment
        self._segment = path
        self._file = -1
        self._size = 0
        self._torn = False  # whether half a record stands at the end
        self._lock = threading.Lock()

    def records(self, *, after: int) -> Iterator[Record]:
        """Read what an earlier process left, beyond a position, in order; and continue after it.

        An end that was not wholly written was not acknowledged, and is passed over.

        Raises:
            ConfigurationError: A record is damaged; says how to keep the others. Nothing was changed.
        """
        self._position = after
        for segment in sorted(self._path.parent.glob(f"{self._path.name}.*.journal")):
            self._ends[segment] = 0
            for record in _read(segment):
                self._ends[segment] = record.position
                if record.position > self._position:
                    self._position = record.position
                    yield record

    def append(self, batches: Mapping[str, pa.Table]) -> Record:
        """Write a record; on return it survives a power cut.

        Raises:
            OSError: It could not be written; what was there before still is.
        """
        content = msgspec.msgpack.encode({name: _stream(rows) for name, rows in batches.items()})
        with self._lock:
            position = self._position + 1
            self._write(_HEADER.pack(_MARK, len(content), zlib.crc32(content), position) + content)
            self._position = self._ends[self._segment] = position
        return Record(position, batches, len(content))

    def release(self, position: int, *, all_segments: bool = False) -> None:
        """Remove the segments that hold nothing beyond a position, but for the one that is written to.

        Args:
            position: Up to where the engine has taken records in.
            all_segments: That one too.
        """
        with self._lock:
            if all_segments:
                self._close()
            for segment, last in list(self._ends.items()):
                if last <= position and (self._file < 0 or segment != self._segment):
                    segment.unlink(missing_ok=True)
                    del self._ends[segment]

    def close(self) -> None:
        """Let go of the segment that is written to."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, content: bytes) -> None:
        if self._torn:
            self._cut()
        if self._file < 0 or self._size > SEGMENT_BYTES:
            self._begin()
        self._torn = True
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                self._cut()
            raise
        self._torn = False
        self._size += len(content)

    def _cut(self) -> None:
        # Nothing is written behind half a record, nor behind a whole one that nobody was told of.
        os.ftruncate(self._file, self._size)
        os.lseek(self._file, self._size, os.SEEK_SET)
        self._torn = False

    def _begin(self) -> None:
        self._close()
        segment = self._path.with_name(f"{self._path.name}.{self._position + 1:016d}.journal")
        self._file = os.open(segment, _FLAGS, 0o600)
        self._segment, self._size = segment, 0
        self._ends[segment] = 0
        try:
            _sync_folder(self._path.parent)
        except OSError:
            self._close()  # a file whose name may be lost is not written to
            raise


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _stream(rows: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return memoryview(sink.getvalue())


def _read(segment: Path) -> Iterator[Record]:
    content = memoryview(segment.read_bytes())
    place = 0
    while len(content) - place >= _HEADER.size:
        mark, length, check, position = _HEADER.unpack_from(content, place)
        begins = place + _HEADER.size
        body = content[begins : begins + length]
        if mark == _MARK and len(body) < length:
            return  # not wholly written
        if mark != _MARK or zlib.crc32(body) != check:
            if not any(content[place:]):
                return  # the size was written, the content was not
            raise ConfigurationError(
                f"The log {segment} is damaged at byte {place}; every commit before it is whole and nothing was "
                f"changed. Copy it away, then keep what is whole: truncate -s {place} {segment}"
            )
        tables = msgspec.msgpack.decode(body, type=dict[str, bytes])
        batches = {name: pa.ipc.open_stream(rows).read_all() for name, rows in tables.items()}
        yield Record(position, batches, length)
        place = begins + length
