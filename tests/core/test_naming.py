from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.naming import canonical_name


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("Spring-Sale", "spring_sale"),
        ("spring sale", "spring_sale"),
        ("  Add   To\tCart! ", "add_to_cart"),
        ("STRASSE straße", "strasse_strasse"),
        ("\uff46\uff55\uff4c\uff4c width", "full_width"),
        ("$$$", ""),
        ("Öffnen", "öffnen"),
    ],
)
def test_spellings_become_one(sent: str, stored: str) -> None:
    assert canonical_name(sent) == stored


@given(st.text())
def test_the_canonical_form_of_a_canonical_form_is_itself(text: str) -> None:
    once = canonical_name(text)
    assert canonical_name(once) == once


@given(st.text())
def test_a_canonical_name_has_no_doubled_or_outer_underscores(text: str) -> None:
    name = canonical_name(text)
    assert "__" not in name
    assert name == name.strip("_")
