"""Winners of monitored tests are too good to be true, and the shrunk estimate is right on average."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.stats.sequential import critical_values, rho_squared
from optimizer.core.stats.shrinkage import kept_share, kept_share_by_history


def test_shrunk_effects_of_early_winners_are_right_on_average() -> None:
    rng, planned = np.random.default_rng(21), 10_000.0
    rho2, looks = rho_squared(0.05, planned), np.arange(100.0, 10_001.0, 100.0)
    truth = rng.normal(0, rho2**0.5, 20_000)  # deviation 1 a unit: SE² = 1/n, so the plan implies N(0, ρ²)
    paths = (truth[:, None] * 100 + rng.normal(0, 10, (20_000, 100))).cumsum(1) / looks
    crossed = paths > critical_values(looks, np.array(0.05), np.array(rho2)) / np.sqrt(looks)
    won = crossed.any(1)
    at = crossed[won].argmax(1)
    seen, n = paths[won, at], looks[at]
    raw, shrunk = seen - truth[won], kept_share(n, np.array(rho2)) * seen - truth[won]
    assert raw.mean() / truth[won].mean() > 0.1
    assert abs(shrunk.mean() / truth[won].mean()) < 0.02
    early = n < 2_000
    assert abs(shrunk[early].mean() / truth[won][early].mean()) < 0.05


def test_the_earlier_the_more_is_taken_away() -> None:
    shares = kept_share(np.array([500.0, 5_000.0, 50_000.0]), np.array(rho_squared(0.05, 5_000)))
    assert shares == pytest.approx([0.4425, 0.8881, 0.9876], abs=1e-4)
    assert kept_share_by_history(np.array([0.01]), 0.01) == pytest.approx([0.5])
    with pytest.raises(ValueError, match="effect_deviation"):
        kept_share_by_history(np.array([0.01]), 0)
