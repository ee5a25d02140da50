"""Guardrails: their error rates at the margin, their power where nothing is lost, and what they say."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from optimizer.core.stats.comparison import Case, Design
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.guardrails import Guardrail, Margin, guard, guarded_power, harm_p_value

RATE = Measure("proportion", "x")
EQUAL = {"a": 1.0, "b": 1.0}


def rail(
    a: int, b: int, method: str = "fixed", n: int = 20_000, margin: float = 0.05, *, up: bool = True
) -> Guardrail:
    row = CrossMoments.of_sums("ab", ["x"], [n, n], [[a], [b]], {("x", "x"): [a, b]})
    case = Case(row, RATE, Design(method, 0.05, 2 * n), EQUAL)  # type: ignore[arg-type]
    return guard("speed", case, "a", "b", Margin(margin, increase_is_good=up))


@pytest.mark.parametrize(("method", "band"), [("fixed", (0.01, 0.045)), ("sequential", (0.0, 0.01))])
def test_at_the_margin_it_errs_at_its_rate(method: str, band: tuple[float, float]) -> None:
    rng = np.random.default_rng(11)
    counts = zip(rng.binomial(20_000, 0.3, 600), rng.binomial(20_000, 0.3 * 0.95, 600), strict=True)
    found = [rail(int(a), int(b), method) for a, b in counts]
    assert band[0] <= np.mean([bool(one.non_inferior) for one in found]) <= band[1]
    assert np.mean([one.harmful for one in found]) <= 0.01


def test_at_the_size_it_asks_for_it_has_its_power() -> None:
    small = rail(1_200, 1_200, n=4_000)
    assert not small.non_inferior
    n = 4_000 + small.missing // 2
    rng = np.random.default_rng(12)
    counts = zip(rng.binomial(n, 0.3, 600), rng.binomial(n, 0.3, 600), strict=True)
    assert np.mean([bool(rail(int(a), int(b), n=n).non_inferior) for a, b in counts]) == pytest.approx(0.8, abs=0.05)


def test_the_bound_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(13)
    a, b = rng.gamma(2, 5, 3_000), rng.gamma(2, 5, 2_800)
    row = CrossMoments.of_units(["x"], {"a": a[:, None], "b": b[:, None]})
    case = Case(row, Measure("mean", "x"), Design("fixed", 0.05, None), EQUAL)
    found = guard("spend", case, "a", "b", Margin(0.04))
    lower = CompareMeans(DescrStatsW(b), DescrStatsW(0.96 * a)).zconfint_diff(
        alpha=0.025, alternative="larger", usevar="unequal"
    )[0]
    side = "inside" if lower > 0 else "beyond"
    assert f"the bound {abs(lower) / a.mean():.2%} {side} it" in found.detail
    assert found.non_inferior == (lower > 0)


def test_harm_is_a_loss_beyond_the_margin_and_has_a_direction() -> None:
    assert rail(6_000, 5_200).harmful
    assert not rail(6_000, 5_900).harmful
    assert rail(6_000, 6_800, up=False).harmful
    assert rail(6_000, 5_200, up=False).non_inferior
    assert "exceed" in rail(6_000, 5_200).detail


def test_what_cannot_be_judged_yet_says_so() -> None:
    early = rail(10, 12, "sequential", n=500)
    assert early.non_inferior is None
    assert "Too early" in early.detail
    with pytest.raises(ValueError, match="margin"):
        rail(10, 20, margin=1.0)


def test_each_of_several_guardrails_needs_more_power() -> None:
    assert guarded_power(0.8, 0) == pytest.approx(0.8)
    assert guarded_power(0.8, 3) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="power"):
        guarded_power(1.0, 1)


def test_harm_to_the_primary_keeps_its_error_rate_under_monitoring() -> None:
    rng = np.random.default_rng(14)
    looks = np.arange(1, 101) * 100
    runs = rng.normal(0, 10, (2_000, 100)).cumsum(1) / looks  # a mean of a difference with deviation 1 a unit
    alarmed = [
        any(harm_p_value(d, n**-0.5, n, 10_000, 0.01) < 0.01 for d, n in zip(run, looks.tolist(), strict=True))
        for run in runs.tolist()
    ]
    assert 0.0005 <= np.mean(alarmed) <= 0.01
