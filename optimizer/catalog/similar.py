"""Finds names that mean one thing but were typed as two, so that a report is not split by a plural or a slip.

Only what a slip of the hand or of grammar explains is a near-duplicate: the same words in another order, without the
little words, in the plural, run together, or one letter apart. Likeness as such is not enough: `sign_in` and
`sign_up` are alike and opposite, `checkout_step_1` and `checkout_step_2` differ by what matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from rapidfuzz.distance import OSA

Why = Literal["same_words", "run_together", "one_letter"]
FILLERS = frozenset({"a", "an", "at", "for", "from", "in", "of", "on", "the", "to", "with"})
# Longest first. A word keeps at least three letters, so `bring` and `used` stay what they are.
ENDINGS = ("ing", "ed", "s")
SHORTEST_STEM = 3
SHORTEST_FOR_SLIPS = 6
TURNED = frozenset({"off", "out", "up", "down"})  # little words that turn the meaning round are never dropped


@dataclass(frozen=True, slots=True)
class Pair:
    """Two names that look like one.

    Attributes:
        names: In alphabetical order.
        why: ``same_words`` (order, little words and endings aside), ``run_together`` (but for underscores) or
            ``one_letter`` (one letter more, less, other, or two swapped).
        edits: Optimal string alignment distance: letters inserted, dropped, replaced, or neighbours swapped.
    """

    names: tuple[str, str]
    why: Why
    edits: int


def near_duplicates(names: Iterable[str]) -> list[Pair]:
    """Find pairs of canonical names that look like one.

    Names are compared only where they share a key (their words, their letters, or their letters without one), so
    thousands of names cost thousands of steps, not millions.

    Args:
        names: Canonical names.

    Returns:
        Pairs in alphabetical order, each with the strongest reason.
    """
    found: dict[tuple[str, str], Why] = {}
    known = sorted(set(names))
    reasons: tuple[tuple[Why, Callable[[str], Iterator[str]]], ...] = (
        ("same_words", _words),
        ("run_together", _letters),
        ("one_letter", _deletions),
    )
    for why, keys in reasons:
        groups: dict[str, list[str]] = {}
        for name in known:
            for key in keys(name):
                groups.setdefault(key, []).append(name)
        for group in groups.values():
            for one, other in combinations(group, 2):
                if why != "one_letter" or _is_slip(one, other):
                    found.setdefault((one, other), why)
    return [Pair(names, found[names], OSA.distance(*names)) for names in sorted(found)]


def _words(name: str) -> Iterator[str]:
    words = [_stem(word) for word in name.split("_") if word not in FILLERS]
    if words:
        yield " ".join(sorted(words))


def _letters(name: str) -> Iterator[str]:
    yield name.replace("_", "")


def _deletions(name: str) -> Iterator[str]:
    # Two names are one edit apart only if they share one of these keys (the symmetric-delete idea).
    if len(name) >= SHORTEST_FOR_SLIPS:
        yield name
        yield from {name[:place] + name[place + 1 :] for place in range(len(name))}


def _is_slip(one: str, other: str) -> bool:
    letters, digits = str.maketrans("", "", "0123456789"), [[c for c in n if c.isdigit()] for n in (one, other)]
    same_numbers = digits[0] == digits[1] and one.translate(letters) != other.translate(letters)
    turned = TURNED & (set(one.split("_")) ^ set(other.split("_")))
    return same_numbers and not turned and OSA.distance(one, other, score_cutoff=1) == 1


def _stem(word: str) -> str:
    for ending in ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= SHORTEST_STEM and not (ending == "s" and stem.endswith("s")):
            return stem.removesuffix("e") if len(stem) > SHORTEST_STEM else stem
    return word.removesuffix("e") if len(word) > SHORTEST_STEM + 1 else word
