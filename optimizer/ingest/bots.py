"""Whether a user agent names itself a robot: those events are set aside, countable and recoverable, never dropped."""

from __future__ import annotations

from functools import lru_cache

from crawleruseragents import is_crawler


@lru_cache(maxsize=20_000)
def is_bot(user_agent: str) -> bool:
    """Judge a user agent by the public list of crawlers; the list costs a millisecond, hence the cache."""
    return bool(is_crawler(user_agent))
