"""What is planted in a simulated shop: which event does what to the purchase, and by how much.

Scoring can only be trusted where the truth is known. Each event here stands for one way in which figures mislead, or
do not; the name says what a real shop would call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["cause", "correlate", "duplicate", "simpson", "artefact", "noise", "funnel_step", "everybody"]
GOAL = "purchase"


@dataclass(frozen=True, slots=True)
class Planted:
    """One event of the shop.

    Attributes:
        name: Canonical name.
        kind: cause: raises the chance of buying at every later visit. correlate: shown by those who have an intent
            that raises it. duplicate: one intent under several names. simpson: a cause that is mostly met by a source
            or device that buys little. artefact: more of it the longer one stays, or after the purchase. noise:
            nothing to do with buying. funnel_step: every buyer passes it. everybody: everyone does it.
        chance: Of doing it at one visit (of those whom it concerns).
        lift: By what it multiplies the chance of buying at each later visit, other things equal; 1 when it does
            nothing, None where the intent behind it does.
        intent: Of correlates and duplicates: which intent is behind it.
        at: Seconds into the visit around which it happens.
    """

    name: str
    kind: Kind
    chance: float
    lift: float | None = 1.0
    intent: int | None = None
    at: float = 200.0


@dataclass(frozen=True, slots=True)
class Intent:
    """Something a visitor wants from the start, seen only through events.

    Attributes:
        share: Of visitors.
        lift: By what it multiplies the chance of buying at each visit.
        unmoved: Chance that one without it does its events all the same.
    """

    share: float
    lift: float
    unmoved: float


INTENTS = (Intent(share=0.25, lift=3.0, unmoved=0.06), Intent(share=0.2, lift=3.0, unmoved=0.0))
NOISE = ("theme_switched", "language_menu", "logo_hover", "cookie_settings", "chat_closed", "footer_link")
TRUTH: tuple[Planted, ...] = (
    Planted("page_view", "everybody", 1.0, at=0.0),
    Planted("view_item", "funnel_step", 0.75, at=60.0),
    Planted("add_to_cart", "funnel_step", 0.10, at=420.0),
    Planted("begin_checkout", "funnel_step", 0.03, at=520.0),
    Planted("demo_video", "cause", 0.12, lift=2.5),
    Planted("store_finder", "cause", 0.08, lift=2.5),
    Planted("review_read", "correlate", 0.5, lift=None, intent=0),
    Planted("size_guide", "duplicate", 0.6, lift=None, intent=1),
    Planted("size_guide_open", "duplicate", 0.6, lift=None, intent=1),
    Planted("fit_help", "duplicate", 0.6, lift=None, intent=1),
    Planted("coupon_page", "simpson", 0.25, lift=2.5),  # met mostly by visitors from `social`
    Planted("app_banner", "simpson", 0.20, lift=2.5),  # met mostly on mobile
    Planted("newsletter_popup", "artefact", 0.35),  # the longer the stay, the more of it
    Planted("deep_scroll", "artefact", 0.08),  # once per page, so the more pages the more of it
    Planted("order_tracking", "artefact", 0.5, at=60.0),  # after the purchase
    *(Planted(name, "noise", 0.05 + 0.03 * place) for place, name in enumerate(NOISE)),
)
SENT_AT_ONCE = 0.97  # of duplicates: each name reaches the collector this often
PASSING_TRADE = {"coupon_page": ("source", "social", 0.1), "app_banner": ("device", "mobile", 0.1)}
