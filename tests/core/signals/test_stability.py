from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.meta_analysis import combine_effects

from optimizer.core.signals.stability import drift, reversal, slices
from optimizer.core.signals.strata import Strata, log_risk_ratio


def week(lift: float, size: int = 4_000, base: float = 0.05) -> Strata:
    one = np.array([float(size)])
    return Strata(one, np.round(one * base * lift), one, np.round(one * base))


def joined(*parts: Strata) -> Strata:
    names = ("units_with", "converted_with", "units_without", "converted_without")
    return Strata(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def test_trend_and_heterogeneity_are_statsmodels() -> None:
    weeks = [week(lift) for lift in (2.0, 1.7, 1.9, 1.4, 1.3)]
    found = drift(weeks)
    ratios = [log_risk_ratio(one) for one in weeks]
    lifts = np.array([ratio.estimate for ratio in ratios if ratio])
    variances = np.array([ratio.standard_error**2 for ratio in ratios if ratio])
    line = sm.WLS(lifts, sm.add_constant(np.arange(5.0)), weights=1 / variances).fit()
    known = line.params[1] / math.sqrt(line.normalized_cov_params[1, 1])
    assert found.change == pytest.approx(math.exp(4 * line.params[1]))
    assert found.p_value == pytest.approx(2 * (1 - _normal(abs(known))), rel=1e-6)
    pooled = combine_effects(lifts, variances)
    assert found.i_squared == pytest.approx(max(0.0, pooled.i2))
    assert found.heterogeneity_p_value == pytest.approx(pooled.test_homogeneity().pvalue)


def _normal(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2


def test_a_decline_and_a_jump_are_flagged_and_steadiness_is_not() -> None:
    assert drift([week(lift) for lift in (3.0, 2.6, 2.2, 1.8, 1.4)]).flagged
    assert drift([week(lift) for lift in (2.0, 2.0, 2.0, 4.0, 2.0)]).flagged
    assert not drift([week(2.0) for _ in range(6)]).flagged
    assert drift([week(2.0)]).p_value is None
    two = drift([week(2.0), week(2.1)])
    assert (two.change, two.flagged) == (None, False)
    assert two.heterogeneity_p_value is not None


def test_steady_lifts_are_flagged_no_more_often_than_promised() -> None:
    rng, flagged = np.random.default_rng(2), 0
    for _ in range(1_000):
        weeks = [
            Strata(np.array([900.0]), rng.binomial(900, 0.1, 1).astype(float),
                   np.array([2_000.0]), rng.binomial(2_000, 0.05, 1).astype(float))
            for _ in range(6)
        ]  # fmt: skip
        flagged += drift(weeks).flagged
    assert flagged <= 30  # two tests at 1%, and a change that matters


@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        # Lift 2 in both, mostly met where little is bought: over everybody below 1.
        ({"social": (2_000, 0.02, 2.0, 200), "mail": (200, 0.20, 2.0, 2_000)}, "reversed"),
        # No lift in either, mostly met where much is bought.
        ({"social": (200, 0.02, 1.0, 2_000), "mail": (2_000, 0.10, 1.0, 200)}, "explained"),
        ({"social": (4_000, 0.05, 2.0, 4_000), "mail": (4_000, 0.05, 0.5, 4_000)}, "opposed"),
        ({"social": (4_000, 0.05, 2.0, 4_000), "mail": (4_000, 0.10, 2.0, 4_000)}, None),
    ],
)
def test_turns_are_told_apart(groups: dict[str, tuple[int, float, float, int]], kind: str | None) -> None:
    parts = {
        name: Strata(
            np.array([float(done)]), np.array([done * base * lift]), np.array([float(not_)]), np.array([not_ * base])
        )
        for name, (done, base, lift, not_) in groups.items()
    }
    within = joined(*parts.values())
    crude = within.crude()
    overall = Strata(*(np.array([float(n)]) for n in (
        crude.units_with, crude.converted_with, crude.units_without, crude.converted_without)))  # fmt: skip
    found = reversal("source", overall, within, parts)
    assert (found.kind if found else None) == kind
    if found and kind == "reversed":
        assert found.overall < 1 < found.within


def test_a_hidden_lift_is_told() -> None:
    parts = {"a": (2_000, 0.02, 2.5, 400), "b": (400, 0.09, 2.5, 2_000)}
    strata = {
        name: Strata(np.array([float(n1)]), np.array([n1 * p * lift]), np.array([float(n0)]), np.array([n0 * p]))
        for name, (n1, p, lift, n0) in parts.items()
    }
    within = joined(*strata.values())
    overall = Strata(np.array([2_400.0]), np.array([216.0]), np.array([2_400.0]), np.array([180.0]))
    found = reversal("device", overall, within, strata)
    assert found is not None
    assert found.kind == "hidden"


def test_small_slices_say_how_few_rather_than_a_lift() -> None:
    [few, many] = slices({"few": week(2.0, size=40), "many": week(2.0)})
    assert (few.lift, few.lift_interval, few.converted) == (None, None, 6)
    assert many.lift == pytest.approx(2.0)
