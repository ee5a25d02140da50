"""The report as a reader has it: one file, opened from a disk in a real Chromium, with all else out of reach."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.server import Server

PHONE = {"width": 390, "height": 844}
SMALLEST_LETTERS = 11  # pixels; what a phone's reader can still make out
A4_WIDTH = 595  # points


@pytest.fixture(scope="module")
def file(finished_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept: Path = tmp_path_factory.mktemp("kept") / "report.html"
    kept.write_bytes(finished_server.get("/v1/experiments/pdp-cta/report").content)
    return kept


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def opened(chromium: Any, file: Path, **context: Any) -> tuple[Any, list[str], list[str]]:
    page = chromium.new_context(**context).new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_load_state("networkidle")
    return page, asked, complaints


def test_no_request_leaves_the_page(chromium: Any, file: Path) -> None:
    page, asked, complaints = opened(chromium, file)
    assert asked == [file.as_uri()]
    assert complaints == []
    assert page.title() == "<i>Button</i> · Ship treatment"
    assert page.locator("h1").inner_text() == "<i>Button</i>"
    assert page.locator("figure svg").count() == 2
    assert page.locator("figure svg").first.bounding_box()["width"] > 600


def test_a_phone_shows_it_all_without_moving_sideways(chromium: Any, file: Path) -> None:
    page, _, _ = opened(chromium, file, viewport=PHONE, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    table = page.locator("table.figures").bounding_box()
    assert table["x"] + table["width"] <= PHONE["width"]
    assert "Relative effect" in page.evaluate(
        "[...document.querySelectorAll('table.figures td')]"
        ".map(cell => getComputedStyle(cell, '::before').content).join()"
    )
    letters = page.evaluate(
        "[...document.querySelectorAll('p, td, th, li, small, svg text')].filter(one => one.textContent.trim())"
        ".map(one => parseFloat(getComputedStyle(one).fontSize)"
        " * (one.closest('svg') ? one.ownerSVGElement.getScreenCTM().a : 1))"
    )
    assert min(letters) >= SMALLEST_LETTERS * 0.8  # the plots' small print, in a plot that is moved by itself
    assert sorted(letters)[len(letters) // 10] >= SMALLEST_LETTERS


def test_it_prints_on_white_paper_and_no_line_is_cut(chromium: Any, file: Path) -> None:
    page, _, _ = opened(chromium, file, color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 687, "height": 1000})  # A4 without its margins
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)" != dark
    assert page.evaluate("document.documentElement.scrollWidth") <= 687
    assert page.evaluate(
        "[...document.querySelectorAll('table')].map(one => one.parentElement)"
        ".every(around => around.scrollWidth <= around.clientWidth)"
    )
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    sheets = re.findall(rb"/MediaBox \[0 0 ([\d.]+)", printed)
    assert 1 <= len(sheets) <= 4
    assert {round(float(width)) for width in sheets} == {A4_WIDTH}


def test_the_forest_plot_is_a_picture_that_a_browser_shows(chromium: Any, finished_server: Server) -> None:
    png = finished_server.get("/v1/experiments/pdp-cta/report?format=png").content
    page = chromium.new_page()
    size = page.evaluate(
        """async data => { const picture = new Image(); picture.src = data; await picture.decode();
        return [picture.naturalWidth, picture.naturalHeight]; }""",
        f"data:image/png;base64,{base64.b64encode(png).decode()}",
    )
    assert size[0] > 1000
    assert size[1] > 200
