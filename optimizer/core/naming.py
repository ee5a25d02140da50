"""Canonical names: one spelling for one thing, so that `Spring-Sale` and `spring sale` do not split a report."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

MAXIMUM_LENGTH = 200
REFUSED_NAMES = frozenset({"action", "click", "event"})


@lru_cache(maxsize=50_000)  # pure, and a shop's names repeat: a fifth of the cost of ingesting an event without it
def canonical_name(text: str) -> str:
    """Return the canonical form of an event or campaign name.

    Unicode NFKC, case-folded, every run of other than letters and digits becomes one underscore, none at the ends.
    Folding can lengthen a text, so the result is cut at 200 characters. Applying it twice changes nothing.

    Args:
        text: A name as it was sent, for example ``Spring-Sale``.

    Returns:
        The canonical name, for example ``spring_sale``; empty when the text has no letter or digit.
    """
    folded = text
    for _ in range(3):  # folding can make a new compatibility character, normalising a new capital: settle both
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
    words = "".join(letter if letter.isalnum() or unicodedata.combining(letter) else " " for letter in folded).split()
    return "_".join(words)[:MAXIMUM_LENGTH].rstrip("_")
