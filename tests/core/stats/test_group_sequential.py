"""Group sequential boundaries against published tables, and p-values against the intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from optimizer.core.stats.group_sequential import boundaries, crossing, judge_group_sequentially, spent
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.pairs import pair_of


def equally(looks: int) -> tuple[float, ...]:
    return tuple((place + 1) / looks for place in range(looks))


@pytest.mark.parametrize(
    ("spending", "published"),
    [  # two-sided .05, five equal looks: Reboussin, DeMets, Kim, Lan (2000), and gsDesign's sfLDOF and sfLDPocock
        ("obrien_fleming", (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)),
        ("pocock", (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_boundaries_are_the_published_ones(spending: str, published: tuple[float, ...]) -> None:
    found = boundaries(equally(5), np.array([0.05]), spending)[:, 0]  # type: ignore[arg-type]
    assert found == pytest.approx(published, abs=2e-4)


@pytest.mark.parametrize(
    ("looks", "pocock", "obrien_fleming"),  # Jennison and Turnbull (2000), tables 2.1 and 2.3, two-sided .05
    [(2, 2.178, 1.977), (3, 2.289, 2.004), (4, 2.361, 2.024), (5, 2.413, 2.040), (10, 2.555, 2.087)],
)
def test_the_classical_constants_cross_with_five_percent(looks: int, pocock: float, obrien_fleming: float) -> None:
    for bounds in (np.full(looks, pocock), obrien_fleming / np.sqrt(equally(looks))):
        found = crossing(equally(looks), bounds, 0.0)
        assert (found.upper + found.lower).sum() == pytest.approx(0.05, abs=1.5e-4)
        assert found.upper == pytest.approx(found.lower)


def test_the_classical_designs_keep_their_power() -> None:
    # Jennison and Turnbull (2000), table 2.4: O'Brien and Fleming, 5 looks, power .9 at 1.026 times the fixed size.
    drift = (stats.norm.isf(0.025) + stats.norm.isf(0.1)) * np.sqrt(1.026)
    found = crossing(equally(5), 2.040 / np.sqrt(equally(5)), float(drift))
    assert (found.upper + found.lower).sum() == pytest.approx(0.9, abs=1e-3)


@given(st.lists(st.floats(0.02, 1.0), min_size=1, max_size=6, unique=True), st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=20)
def test_whatever_the_looks_what_is_spent_is_what_is_crossed(drawn: list[float], alpha: float) -> None:
    fractions = tuple(sorted(round(fraction, 2) for fraction in {*drawn, 1.0}))
    fractions = tuple(dict.fromkeys(fractions))
    for spending in ("obrien_fleming", "pocock"):
        found = crossing(fractions, boundaries(fractions, np.array([alpha]), spending)[:, 0], 0.0)
        used = spent(np.array(fractions), np.array(alpha), spending)
        assert (found.upper + found.lower).cumsum() == pytest.approx(used, abs=1e-6)


@given(st.integers(300, 500), st.integers(300, 500), st.sampled_from(["obrien_fleming", "pocock"]))
@settings(max_examples=20)
def test_the_interval_excludes_zero_exactly_when_p_is_below_alpha(a: int, b: int, spending: str) -> None:
    pair = pair_of(Moments.of_conversions(4_000, a), Moments.of_conversions(4_000, b), "proportion")
    found = judge_group_sequentially(pair, np.array([0.05]), equally(5)[:4], spending)  # type: ignore[arg-type]
    if abs(found.p_value[0] - 0.05) > 1e-4:
        assert (found.p_value[0] < 0.05) == (found.lower[0] > 0 or found.upper[0] < 0)


def test_beyond_the_plan_there_is_nothing_left_to_spend() -> None:
    assert boundaries((0.5, 1.0, 1.0), np.array([0.05]), "pocock")[:, 0] == pytest.approx(
        (2.1570, 2.2010, 37), abs=1e-4
    )
    assert boundaries((0.5, 1.2), np.array([0.05]), "pocock")[:, 0] == pytest.approx((2.1570, 2.2010), abs=1e-4)
    pair = pair_of(Moments.of_conversions(4_000, 300), Moments.of_conversions(4_000, 900), "proportion")
    assert judge_group_sequentially(pair, np.array([0.05]), (1.0, 1.0), "pocock").p_value[0] == 1.0


def test_looks_that_go_back_are_refused() -> None:
    with pytest.raises(ValueError, match="fractions"):
        boundaries((0.5, 0.4), np.array([0.05]), "pocock")
    with pytest.raises(ValueError, match="fractions"):
        boundaries((), np.array([0.05]), "pocock")


def test_a_look_with_next_to_no_information_shows_nothing() -> None:
    pair = pair_of(Moments.of_conversions(4_000, 400), Moments.of_conversions(4_000, 520), "proportion")
    found = judge_group_sequentially(pair, np.array([0.05]), (0.002,), "obrien_fleming")
    assert found.p_value[0] == 1.0
    assert found.lower[0] < 0 < found.upper[0]
