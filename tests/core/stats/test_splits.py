from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from optimizer.core.stats.splits import alarm_rate, second_arms


def test_every_split_is_the_parity_of_some_bits_of_each_unit() -> None:
    rng = np.random.default_rng(1)
    buckets, values = rng.integers(0, 16, 500), rng.normal(size=(500, 3))
    sums = np.zeros((16, 3))
    np.add.at(sums, buckets, values)
    found = second_arms(sums)
    assert found.shape == (15, 3)
    for split in range(1, 16):
        second = np.array([(int(bucket) & split).bit_count() % 2 == 1 for bucket in buckets])
        np.testing.assert_allclose(found[split - 1], values[second].sum(0), atol=1e-12)


def test_any_two_splits_are_independent_and_fair() -> None:
    arms = np.array(second_arms(np.eye(64)))  # one unit a bucket: whose sum it is in
    assert set(arms.ravel()) == {0.0, 1.0}
    signs = 2 * arms - 1
    np.testing.assert_array_equal(signs @ signs.T, 64 * np.eye(63))
    np.testing.assert_array_equal(signs.sum(1), 0)


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_buckets_that_bits_cannot_number_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        second_arms(np.zeros((count, 2)))


def test_z_tests_of_one_population_under_many_splits_reject_as_promised() -> None:
    rng = np.random.default_rng(2)
    values, buckets = rng.exponential(size=4000), rng.integers(0, 1024, 4000)
    sums = np.zeros((1024, 3))
    np.add.at(sums, buckets, np.column_stack([np.ones(4000), values, values**2]))
    second = second_arms(sums)
    first = sums.sum(0) - second
    means = [arm[:, 1] / arm[:, 0] for arm in (first, second)]
    errors = [(arm[:, 2] / arm[:, 0] - mean**2) / arm[:, 0] for arm, mean in zip((first, second), means, strict=True)]
    z = (means[1] - means[0]) / np.sqrt(sum(errors))
    assert stats.kstest(z, "norm").pvalue > 0.01
    assert alarm_rate(int((abs(z) > 1.96).sum()), len(z), 0.05).p_value > 0.01


def test_a_rate_has_the_exact_binomial_interval_and_tail() -> None:
    found = alarm_rate(40, 511, 0.05)
    assert found.rate == 40 / 511
    assert found.interval == pytest.approx((stats.beta.ppf(0.025, 40, 472), stats.beta.ppf(0.975, 41, 471)))
    assert found.p_value == pytest.approx(stats.binom.sf(39, 511, 0.05))
    assert alarm_rate(0, 10, 0.05).interval[0] == 0.0
    for alarms, splits in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="alarms"):
            alarm_rate(alarms, splits, 0.05)
