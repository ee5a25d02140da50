from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from optimizer.cli.main import group
from optimizer.ingest.files import EventFile, presets
from optimizer.storage.open import open_event_store

GA4 = {
    "event_timestamp": "1764151200123456", "event_name": "add_to_cart", "user_pseudo_id": "1.2", "user_id": None,
    "event_params": [
        {"key": "page_location", "value": {"string_value": "https://shop.example.com/p/1"}},
        {"key": "ga_session_id", "value": {"int_value": "1764151100"}},
        {"key": "value", "value": {"double_value": 19.9}},
        {"key": "currency", "value": {"string_value": "EUR"}},
    ],
    "device": {"category": "mobile"}, "geo": {"country": "Germany"},
    "traffic_source": {"source": "google", "medium": "cpc", "name": "Spring-Sale"},
    "privacy_info": {"analytics_storage": "Yes"},
}  # fmt: skip
GA4_PURCHASE = {**GA4, "event_name": "purchase", "ecommerce": {"transaction_id": "T1", "purchase_revenue": 49.0}}
MATOMO = {
    "idVisit": 7, "visitorId": "a1b2", "userId": "ann", "deviceType": "Smartphone", "countryCode": "de",
    "referrerType": "campaign", "referrerName": "Spring-Sale",
    "campaignSource": "newsletter", "campaignMedium": "email",
    "actionDetails": [
        {"type": "action", "url": "https://shop.example.com/", "timestamp": 1764151200, "pageTitle": "Home"},
        {"type": "event", "eventAction": "Video start", "eventCategory": "media", "timestamp": "1764151260"},
        {"type": "ecommerceOrder", "revenue": "49.00", "orderId": "T1", "timestamp": 1764151300},
    ],
}  # fmt: skip
SWETRIX = [
    {"type": "custom_event", "pid": "STEzHcB1rALV", "psid": "1234567890123456789", "event_name": "add_to_cart",
     "pg": "/p/1", "dv": "mobile", "so": "google", "cc": "DE", "meta.key": ["item_id"], "meta.value": ["sku-1"],
     "created": "2026-10-01 10:00:00"},
    {"type": "pageview", "pid": "STEzHcB1rALV", "psid": 5, "profileId": "anon_1", "pg": "/",
     "created": "2026-10-01 10:00:01"},
    {"type": "error", "pid": "STEzHcB1rALV", "error_message": "x", "created": "2026-10-01 10:00:02"},
    {"pid": "STEzHcB1rALV", "ev": "signup", "created": "2026-10-01 10:00:03"},
]  # fmt: skip


def imported(file: Path, preset: str, data: Path) -> Any:
    ran = CliRunner().invoke(group, ["import", str(file), "--preset", preset, "--data-dir", str(data)])
    assert ran.exit_code == 0, ran.output
    return ran.stderr


def stored(data: Path, table: str = "events") -> list[dict[str, Any]]:
    store = open_event_store(f"duckdb:///{data / 'events.duckdb'}")
    rows: list[dict[str, Any]] = store.table(table).order_by("sequence").to_pyarrow().to_pylist()
    store.close()
    return rows


def lines(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


def test_every_preset_is_offered() -> None:
    assert sorted(presets()) == ["ga4", "matomo", "plausible", "swetrix"]


def test_ga4_rows_become_events_with_their_parameters(tmp_path: Path) -> None:
    file = lines(tmp_path / "ga4.jsonl", GA4, GA4_PURCHASE, {"event_name": "x", "event_params": 7}, GA4_PURCHASE)
    told = imported(file, "ga4", tmp_path / "data")
    assert "Imported 2 events, 1 were there already, rejected 1" in told
    cart, purchase = stored(tmp_path / "data")
    assert (cart["name"], cart["value"], cart["unit_id"], cart["session_id"]) == (
        "add_to_cart", 19.9, "a:1.2", "1764151100",
    )  # fmt: skip
    assert (cart["source"], cart["medium"], cart["campaign"], cart["device"]) == (
        "google", "cpc", "spring_sale", "mobile",
    )  # fmt: skip
    assert cart["timestamp"].isoformat() == "2025-11-26T10:00:00.123456"
    assert cart["consent_analytics"] is True
    assert (purchase["event_id"], purchase["value"]) == ("ga4-purchase-T1", 49.0)


def test_ga4_rows_come_from_parquet_too(tmp_path: Path) -> None:
    file = tmp_path / "ga4.parquet"
    parquet.write_table(pa.Table.from_pylist([GA4]), file)
    imported(file, "ga4", tmp_path / "data")
    assert [row["name"] for row in stored(tmp_path / "data")] == ["add_to_cart"]


def test_a_matomo_visit_becomes_its_actions(tmp_path: Path) -> None:
    imported(lines(tmp_path / "visits.jsonl", MATOMO), "matomo", tmp_path / "data")
    view, video, order = stored(tmp_path / "data")
    assert [row["name"] for row in (view, video, order)] == ["page_view", "video_start", "purchase"]
    assert {row["unit_id"] for row in (view, video, order)} == {"u:ann"}
    assert (order["value"], order["event_id"], order["source"], order["campaign"]) == (
        49.0, "matomo-7-2", "newsletter", "spring_sale",
    )  # fmt: skip
    assert json.loads(video["properties"]) == {"eventCategory": "media"}


def test_swetrix_rows_become_events_and_what_decides_nothing_is_left_out(tmp_path: Path) -> None:
    file = lines(tmp_path / "swetrix.jsonl", *SWETRIX)
    for accepted, there in ((3, 0), (0, 3)):
        assert f"Imported {accepted} events, {there} were there" in imported(file, "swetrix", tmp_path / "data")
    cart, view, signup = stored(tmp_path / "data")
    assert [row["name"] for row in (cart, view, signup)] == ["add_to_cart", "page_view", "signup"]
    assert (cart["unit_id"], cart["session_id"], cart["device"], cart["country"]) == (
        "a:swetrix-1234567890123456789", "1234567890123456789", "mobile", "DE",
    )  # fmt: skip
    assert json.loads(cart["properties"]) == {"item_id": "sku-1"}
    assert view["unit_id"] == "a:anon_1"


def test_plausible_totals_become_daily_counts(tmp_path: Path) -> None:
    visitors, goals = tmp_path / "imported_visitors.csv", tmp_path / "imported_custom_events.csv"
    visitors.write_text("date,visitors,pageviews,bounces,visits,visit_duration\n2026-10-01,1000,3000,400,1200,9\n")
    goals.write_text(
        "date,name,link_url,path,visitors,events\n2026-10-01,Add to cart,,,310,420\n2026-10-01,404,,,1,1\n"
    )
    assert "Imported 1 daily counts" in imported(visitors, "plausible", tmp_path / "data")
    assert "Imported 2 daily counts" in imported(goals, "plausible", tmp_path / "data")
    found = stored(tmp_path / "data", "counts")
    assert [(row["name"], row["visitors"], row["occurrences"]) for row in found] == [
        ("visit", 1000, 1200), ("add_to_cart", 310, 420), ("404", 1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("preset", ["ga4", "matomo", "plausible", "swetrix"])
def test_a_row_of_another_tool_is_put_aside_not_a_crash(preset: str, tmp_path: Path) -> None:
    wrong = [{}, {"event_params": [[]]}, {"actionDetails": [1], "idVisit": {}}, {"created": "soon"}, {"date": 1}]
    file = EventFile.of(lines(tmp_path / "wrong.jsonl", *wrong, [1], "x", None), {}, preset)
    for piece in file.batches():
        for item in piece.items:
            msgspec.json.decode(item)
    imported(file.path, preset, tmp_path / "data")
