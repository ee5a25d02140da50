from __future__ import annotations

import pytest

from optimizer.core.stats.words import p_words, signed


@pytest.mark.parametrize(
    ("p_value", "shown"),
    [
        (0.0, "p < .0001"), (5.5e-07, "p < .0001"), (1e-4, "p = .0001"), (0.03149, "p = .031"), (0.5, "p = .5"),
        (1.0, "p = 1"),
    ],
)  # fmt: skip
def test_p_values_are_written_as_people_write_them(p_value: float, shown: str) -> None:
    assert p_words(p_value) == shown


def test_a_minus_is_no_hyphen() -> None:
    assert signed(-0.0312) == "−0.0312"
    assert signed(0.5, "+.1%") == "+50.0%"
    assert signed(1.5e-07) == "+1.5e−07"
