"""ClickHouse's tables: for one node, and for a named cluster.

A row's key is its id, so that a repeat ends up beside the first and the replacing merge keeps one of them: the first
for events, exposures and links (a version that falls with the time of arrival), the last for counts. Every read is
`FINAL`, so what is not merged yet is not counted twice either. On a cluster the id also chooses the shard, which is
what makes that hold there.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from optimizer.storage.events import SCHEMAS

SCHEMA_VERSION = 1
STAMP = "optimizer_schema"
VERSION = "replaces_below"  # of a row: the merge keeps the highest
KEYS = {
    "events": ("project_id", "id_hash", "event_id"),
    "exposures": ("project_id", "id_hash", "exposure_id"),
    "links": ("project_id", "id_hash", "from_unit"),
    "recoveries": ("project_id", "id_hash", "event_id"),
    "counts": ("project_id", "system", "date", "name", "dimensions", "experiment", "variant"),
}
ALWAYS_THERE = {
    "events": {"sequence", "content_hash", "name", "timestamp", "received_at", "unit_id", "properties"},
    "exposures": {"sequence", "content_hash", "experiment", "variant", "unit_id", "timestamp", "received_at"},
    "links": {"sequence", "content_hash", "to_unit", "timestamp", "received_at"},
    "recoveries": {"sequence", "content_hash", "received_at"},
    "counts": {"sequence", "received_at"},
}
TYPES = {
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.float64(): "Float64",
    pa.string(): "String",
    pa.bool_(): "Bool",
    pa.date32(): "Date32",
    pa.timestamp("us"): "DateTime64(6)",
}
# Columns that older tables lack.
ADDED = {"exposures": ("session_id",)}
# An insert is answered when it is on disk, as everywhere else in this service.
DURABLE = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"


def statements(cluster: str | None = None) -> Iterator[str]:
    """Yield the DDL, in order; each statement changes nothing where it was run before.

    Args:
        cluster: Name of a cluster in the server's configuration; None for one node.
    """
    on = f" ON CLUSTER `{cluster}`" if cluster else ""
    for name in SCHEMAS:
        columns = ", ".join([*_columns(name), f"`{VERSION}` UInt64"])
        key = ", ".join(KEYS[name])
        if cluster:
            path = f"'/clickhouse/tables/{{shard}}/{{database}}/{name}', '{{replica}}'"
            engine = f"ReplicatedReplacingMergeTree({path}, `{VERSION}`)"
            made = f"CREATE TABLE IF NOT EXISTS `{name}_local`{on} ({columns})"
            yield f"{made} ENGINE = {engine} ORDER BY ({key}) {DURABLE}"
            shard = "id_hash" if name != "counts" else f"cityHash64({key})"
            spread = f"Distributed(`{cluster}`, currentDatabase(), `{name}_local`, {shard})"
            yield f"CREATE TABLE IF NOT EXISTS `{name}`{on} ({columns}) ENGINE = {spread}"
        else:
            engine = f"ReplacingMergeTree(`{VERSION}`)"
            yield f"CREATE TABLE IF NOT EXISTS `{name}` ({columns}) ENGINE = {engine} ORDER BY ({key}) {DURABLE}"
    for name, added in ADDED.items():
        for column in added:
            new = f"ADD COLUMN IF NOT EXISTS `{column}` Nullable({TYPES[SCHEMAS[name].field(column).type]})"
            for table in (f"{name}_local", name) if cluster else (name,):
                yield f"ALTER TABLE `{table}`{on} {new}"
    kind = (
        "ReplicatedMergeTree('/clickhouse/tables/{database}/stamp', '{shard}-{replica}')" if cluster else "MergeTree"
    )
    yield f"CREATE TABLE IF NOT EXISTS `{STAMP}`{on} (version UInt32, at DateTime) ENGINE = {kind} ORDER BY version"


def _columns(table: str) -> Iterator[str]:
    for field in SCHEMAS[table]:
        kind = TYPES[field.type]
        there = field.name in ALWAYS_THERE[table] or field.name in KEYS[table]
        yield f"`{field.name}` {kind if there else f'Nullable({kind})'}"
