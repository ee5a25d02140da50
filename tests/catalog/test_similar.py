"""A slip is found, a difference that means something is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from optimizer.catalog.similar import near_duplicates

SLIPS = [
    ("add_to_cart", "cart_add", "same_words"),
    ("video_start", "video_started", "same_words"),
    ("page_view", "page_views", "same_words"),
    ("share", "shared", "same_words"),
    ("add_to_cart", "addtocart", "run_together"),
    ("add_to_cart", "add_to_crat", "one_letter"),
    ("begin_checkout", "begin_chekout", "one_letter"),
    ("newsletter_signup", "newsleter_signup", "one_letter"),
]
DIFFERENT = [
    ("sign_in", "sign_up"),
    ("log_in", "log_out"),
    ("video_start", "video_stop"),
    ("checkout_step_1", "checkout_step_2"),
    ("step_1", "step_11"),
    ("add_to_cart", "remove_from_cart"),
    ("open", "close"),
    ("cart", "card"),
    ("export_pdf", "export_png"),
    ("turn_up", "turn_on"),
]


@pytest.mark.parametrize(("one", "other", "why"), SLIPS)
def test_a_slip_of_hand_or_grammar_is_found(one: str, other: str, why: str) -> None:
    [pair] = near_duplicates([one, other, "purchase", "size_guide"])
    assert set(pair.names) == {one, other}
    assert pair.why == why


@pytest.mark.parametrize("names", DIFFERENT)
def test_what_differs_in_meaning_is_left_alone(names: tuple[str, str]) -> None:
    assert near_duplicates(names) == []


@given(st.lists(st.text("abcd_", min_size=6, max_size=9), max_size=12))
def test_every_pair_one_edit_apart_is_found_however_the_names_are_grouped(names: list[str]) -> None:
    found = {pair.names for pair in near_duplicates(names)}
    known = sorted(set(names))
    near = {(a, b) for a in known for b in known if a < b and OSA.distance(a, b) == 1}
    assert near <= found
