from __future__ import annotations

import pytest

from optimizer.ingest.attribution import attributed, device_of
from optimizer.ingest.event import Context, Event

PAGE = "https://shop.example.com/p?utm_source=Newsletter&utm_medium=email&utm_campaign=May&gclid=Cj0"


def came(
    page: str | None = None, click_ids: dict[str, str | None] | None = None, **context: str
) -> tuple[str | None, ...]:
    found = attributed(Event("view_item", context=Context(page=page, **context), click_ids=click_ids or {}))
    return found.context.source, found.context.medium, found.context.campaign


def test_what_the_tracker_says_beats_utm_beats_the_click_id() -> None:
    assert came(PAGE, source="google", medium="cpc") == ("google", "cpc", "May")
    assert came(PAGE) == ("Newsletter", "email", "May")
    assert came("https://shop.example.com/?gclid=Cj0") == ("google", "cpc", None)
    assert came(click_ids={"fbclid": "IwAR"}) == ("facebook", "social", None)
    assert came("https://shop.example.com/") == (None, None, None)


@pytest.mark.parametrize(
    "page", ["http://[bad?utm_source=x", "?", "?utm_source=", "?" + "a=1&" * 500, "/p?utm_source=%00"]
)
def test_odd_pages_do_no_harm(page: str) -> None:
    came(page)


def test_click_ids_of_the_page_are_added_and_never_replace_those_sent() -> None:
    event = Event("a", context=Context(page="/?gclid=page&msclkid=m"), click_ids={"gclid": "sent"})
    assert attributed(event).click_ids == {"gclid": "sent", "msclkid": "m"}


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148", "mobile"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/142.0 Mobile Safari/537.36", "mobile"),
        ("Mozilla/5.0 (Linux; Android 15; SM-X910) Chrome/142.0 Safari/537.36", "tablet"),
        ("Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X)", "tablet"),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0 Safari/537.36", "desktop"),
    ],
)
def test_the_device_is_told_from_the_user_agent(agent: str, device: str) -> None:
    assert device_of(agent) == device
