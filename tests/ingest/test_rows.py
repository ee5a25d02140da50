"""Rows become the same table however many come together."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.ingest.rows import FEW, numbered
from optimizer.storage.events import SCHEMAS

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZONES = [dt.UTC, dt.timezone(dt.timedelta(hours=-9, minutes=30))]
MOMENTS = st.builds(
    lambda since, zone: (EPOCH + since).astimezone(zone),
    st.timedeltas(dt.timedelta(0), dt.timedelta(days=80_000)),
    st.sampled_from(ZONES),
)
OF_TYPE: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int32(): st.integers(0, 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(dt.date(1970, 1, 1)),
    pa.timestamp("us"): MOMENTS,
}


@pytest.mark.parametrize("table", SCHEMAS)
@given(data=st.data())
@settings(max_examples=10)
def test_few_rows_are_laid_out_as_many_are(table: str, data: st.DataObject) -> None:
    first, *others = (OF_TYPE[field.type] for field in SCHEMAS[table] if field.name != "sequence")
    row = st.tuples(first, *(kind if kind is MOMENTS else kind | st.none() for kind in others))
    columns = list(zip(*data.draw(st.lists(row, min_size=1, max_size=3)), strict=True))
    many = numbered(table, [column * FEW * 2 for column in columns], range(7, 7 + 64 * len(columns[0]) * FEW * 2, 64))
    few = numbered(table, columns, range(7, 7 + 64 * len(columns[0]), 64))
    assert few.equals(many.slice(0, few.num_rows))
