"""Unmodified browser trackers in a real Chromium, on a page of another origin, without a key."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.server import Server

HERE = Path(__file__).parent / "js"
PHONE = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36"


class Files(SimpleHTTPRequestHandler):
    """Serves the page and its modules, which import each other without an ending."""

    def translate_path(self, path: str) -> str:
        found = super().translate_path(path)
        return found if Path(found).is_file() else f"{found}.js"

    def log_message(self, *args: Any) -> None:
        del args


@pytest.fixture
def shop() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(HERE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def visit(shop: str, api: str) -> tuple[str, list[str]]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            # Trackers send nothing from a browser that says it is remote-controlled.
            args=["--no-sandbox", "--disable-gpu", "--disable-blink-features=AutomationControlled"],
        )
        page = chromium.new_context(user_agent=PHONE).new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"{shop}/page.html?api={api}&utm_source=Spring-Mail")
        page.wait_for_function("/^(sent|refused)/.test(document.title)", timeout=20_000)
        title = page.title()
        chromium.close()
    return title, said


def test_plausible_and_swetrix_deliver_from_an_allowed_origin(start_server: Callable[..., Server], shop: str) -> None:
    server = start_server()
    allowed = server.patch("/v1/project", {"allowed_origins": [shop]})
    assert allowed.ok
    title, said = visit(shop, server.url)
    assert title == "sent", said
    rows: list[dict[str, Any]] = server.get("/v1/events").json()["data"]
    names = sorted(row["name"] for row in rows)
    assert names == ["add_to_cart", "begin_checkout", "page_view", "page_view"]
    assert len({row["unit"] for row in rows}) == 1  # both trackers saw the same cookieless visitor
    assert rows[0]["unit"].startswith("c:")
    assert {row["device"] for row in rows} == {"mobile"}
    assert "spring_mail" in {row["source"] for row in rows}
    checkout = next(row for row in rows if row["name"] == "begin_checkout")
    assert (checkout["value"], checkout["currency"]) == (19.9, "EUR")


def test_nothing_arrives_from_an_origin_that_is_not_allowed(start_server: Callable[..., Server], shop: str) -> None:
    server = start_server()
    assert server.patch("/v1/project", {"allowed_origins": ["https://shop.example.com"]}).ok
    title, _ = visit(shop, server.url)
    assert title.startswith("refused: TypeError: Failed to fetch")  # by the browser, before it is sent
    assert server.get("/v1/events").json()["data"] == []
