"""Reads the rows of CSV, JSON Lines and Parquet files in pieces of constant size, whatever is in them.

A CSV cell is a text here, so that no type is guessed from the cells above it; `typed` reads one as what it is written
as. A row that does not fit its header, and bytes that are no UTF-8, cost themselves and nothing else.
"""

from __future__ import annotations

import codecs
import csv as header
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from optimizer.errors import InvalidInputError

ROWS = 5_000
BLOCK_BYTES = 8 << 20
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?")  # 007 is none, and neither is a whole one beyond a float's
TRUTH = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
FIRST_OF_TYPED = frozenset("-0123456789tfTF")
Row = dict[str, Any] | bytes
Misfit = Callable[[str], None]
Pieces = Iterator[tuple[list[Row], float]]


def read_csv(path: Path, misfit: Misfit) -> Pieces:
    """Yield rows as column to text, empty cells being None, and the share of the file that was read.

    Args:
        path: The file.
        misfit: Called with the text of each row that does not have the header's columns; it is left out.

    Raises:
        InvalidInputError: There is no header, it names a column twice, or a row never ends.
    """
    names, size = _header(path), path.stat().st_size

    def skip(row: csv.InvalidRow) -> str:
        misfit(row.text)
        return "skip"

    try:
        with (
            path.open("rb") as opened,
            csv.open_csv(
                opened,
                read_options=csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
                parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.binary()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            ) as reader,
        ):
            for block in reader:
                for first in range(0, block.num_rows, ROWS):
                    yield _rows(names, block.slice(first, ROWS)), opened.tell() / size
    except pa.ArrowInvalid as error:
        raise InvalidInputError(f"{path.name} cannot be read as CSV: {error}") from None


def read_parquet(path: Path, misfit: Misfit) -> Pieces:
    """Yield rows as column to value, and the share of the file that was read.

    Raises:
        InvalidInputError: The file is no Parquet, or is damaged.
    """
    del misfit
    try:
        with parquet.ParquetFile(path) as opened:
            read = 0
            for block in opened.iter_batches(ROWS):
                read += block.num_rows
                yield block.to_pylist(), read / opened.metadata.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidInputError(f"{path.name} cannot be read as Parquet: {error}") from None


def read_json_lines(path: Path, misfit: Misfit) -> Pieces:
    """Yield lines as they are, empty ones left out, and the share of the file that was read."""
    del misfit
    rows: list[Row] = []
    read, size = 0, path.stat().st_size
    with path.open("rb") as opened:
        for line in opened:
            read += len(line)
            if line.strip():
                rows.append(line.strip())
            if len(rows) == ROWS:
                yield rows, read / size
                rows = []
    if rows:
        yield rows, 1.0


def typed(text: str | None) -> str | float | bool | None:
    """Read a cell as the number or truth value it is written as, else as a text."""
    if not text or text[0] not in FIRST_OF_TYPED:
        return text
    number = NUMBER.fullmatch(text)
    if number is None:
        return TRUTH.get(text, text)
    return float(text) if number[2] else int(text)


def _header(path: Path) -> list[str]:
    with path.open("rb") as opened:
        lines = codecs.iterdecode(opened, "utf-8-sig", errors="replace")
        names = next(header.reader(lines), [])
    if not names:
        raise InvalidInputError(f"{path.name} is empty: its first line must name the columns.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"{path.name} names the column {twice[0]!r} twice: rename one.")
    return names


def _rows(names: list[str], block: pa.RecordBatch) -> list[Row]:
    columns = [_texts(column) for column in block.columns]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _texts(column: pa.Array) -> list[str | None]:
    try:
        texts: list[str | None] = column.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid:
        return [None if one is None else one.decode(errors="replace") for one in column.to_pylist()]
    return texts


READERS: dict[str, Callable[[Path, Misfit], Pieces]] = {
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
}
