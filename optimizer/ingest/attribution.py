"""Where a visitor came from and on what device, read from what the event already carries.

What the tracker says wins; then UTM parameters of the page; then a click id, which names its platform. The device is
told from the user agent, whose text itself is not stored.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

import msgspec

from optimizer.ingest.event import Event

# Click id to the source and medium it stands for; ids of paid clicks first.
CLICK_IDS: dict[str, tuple[str, str]] = {
    "gclid": ("google", "cpc"),
    "gbraid": ("google", "cpc"),
    "wbraid": ("google", "cpc"),
    "msclkid": ("bing", "cpc"),
    "ttclid": ("tiktok", "paid_social"),
    "li_fat_id": ("linkedin", "paid_social"),
    "fbclid": ("facebook", "social"),  # also on links that nobody paid for
}
LONGEST = 200


def attributed(event: Event) -> Event:
    """Fill in source, medium, campaign, device and click ids where the event does not say them."""
    context, click_ids = event.context, event.click_ids
    if context.page is None and not click_ids and (context.device or context.user_agent is None):
        return event  # nothing to read anything from
    asked = _parameters(context.page)
    if asked:
        click_ids = {**{name: asked[name] for name in CLICK_IDS if name in asked}, **click_ids}
    source, medium, campaign = context.source, context.medium, context.campaign
    if source is None and medium is None and (asked or click_ids):
        named = next((CLICK_IDS[name] for name in CLICK_IDS if click_ids.get(name)), (None, None))
        source, medium = asked.get("utm_source", named[0]), asked.get("utm_medium", named[1])
    campaign = campaign or asked.get("utm_campaign")
    device = context.device or (device_of(context.user_agent) if context.user_agent else None)
    same = (source, medium, campaign, device) == (context.source, context.medium, context.campaign, context.device)
    if same and click_ids == event.click_ids:
        return event
    filled = msgspec.structs.replace(context, source=source, medium=medium, campaign=campaign, device=device)
    return msgspec.structs.replace(event, context=filled, click_ids=click_ids)


@lru_cache(maxsize=20_000)
def device_of(user_agent: str) -> str:
    """Tell mobile, tablet or desktop from a user agent (tablets leave out "Mobi", or say what they are)."""
    if "iPad" in user_agent or "Tablet" in user_agent or ("Android" in user_agent and "Mobi" not in user_agent):
        return "tablet"
    return "mobile" if "Mobi" in user_agent or "iPhone" in user_agent else "desktop"


def _parameters(page: str | None) -> dict[str, str]:
    if not page or "?" not in page:
        return {}
    try:
        asked = parse_qs(urlsplit(page).query, max_num_fields=100)
    except ValueError:
        return {}
    return {name: values[0] for name, values in asked.items() if 0 < len(values[0]) <= LONGEST}
