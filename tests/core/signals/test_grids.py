from __future__ import annotations

import pytest

from optimizer.core.signals.grids import activity_level, longest_keeping_half


def test_the_longest_stretch_keeps_half_of_the_converters() -> None:
    assert longest_keeping_half([(1.0, 90), (24.0, 60), (72.0, 40)], 100) == 24.0
    assert longest_keeping_half([(1.0, 10), (24.0, 0)], 100) == 1.0


def test_levels_of_activity_grow_coarser() -> None:
    levels = [activity_level(events) for events in (0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 500)]
    assert levels == [0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    with pytest.raises(ValueError, match="negative"):
        activity_level(-1)
