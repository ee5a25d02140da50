"""Figures as people read them."""

from __future__ import annotations

import pytest

from optimizer import wording
from optimizer.experiments.answers import MetricResult


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (0.5, "median"), (0.9, "90th percentile"), (0.95, "95th percentile"), (0.99, "99th percentile"),
        (0.51, "51st percentile"), (0.02, "2nd percentile"), (0.13, "13th percentile"), (0.999, "99.9th percentile"),
        (0.911, "91.1th percentile"),
    ],
)  # fmt: skip
def test_a_quantile_is_called_what_people_call_it(level: float, shown: str) -> None:
    metric = MetricResult(
        metric="slow", role="primary", type="quantile", quantile=level, of="ms", variants=[], comparisons=[]
    )
    assert wording.kind(metric) == shown
    assert wording.role(metric) == f"primary, {shown}"
