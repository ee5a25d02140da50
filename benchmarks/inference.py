"""How long does inference take, once an engine has summed the rows?

50 metrics × 4 arms from ready sums, in one call, each metric with a covariate, adjusted figures beside unadjusted,
relative intervals and Holm over all of them: beside tea-tasting doing as much from the same sums, arm by arm, in the
same run. Prints the best of several rounds and exits with 1 when a method takes 20 ms or more.

Run: python -m benchmarks.inference
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import tea_tasting as tt
from tea_tasting.aggr import Aggregates

from optimizer.core.stats.comparison import Case, Design, compare_cases
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.design import Method
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.multiplicity import holm

METRICS, ARMS, UNITS = 50, "abcd", 20_000
LIMIT_SECONDS = 0.02
METHODS: tuple[Method, ...] = ("fixed", "sequential", "group_sequential", "bayesian")


def sums() -> CrossMoments:
    """Sum up units whose values follow what they did before: half 0/1 metrics, half amounts."""
    rng = np.random.default_rng(71)
    arms = {}
    for arm in ARMS:
        before = rng.gamma(2.0, 5.0, (UNITS, METRICS))
        rates = rng.random((UNITS, METRICS // 2)) < before[:, : METRICS // 2] / 50
        amounts = before[:, METRICS // 2 :] + rng.normal(0, 5, (UNITS, METRICS // 2))
        arms[arm] = np.column_stack([rates, amounts, before])
    return CrossMoments.of_units([*(f"m{i}" for i in range(METRICS)), *(f"b{i}" for i in range(METRICS))], arms)


def cases(row: CrossMoments, method: Method, *, adjusted: bool) -> list[Case]:
    """Make a case of each metric."""
    design = Design(method, 0.05, float(row.n.sum()))
    return [
        Case(
            row,
            Measure(
                "proportion" if place < METRICS // 2 else "mean",
                f"m{place}",
                covariates=(f"b{place}",) if adjusted else (),
            ),
            design,
            dict.fromkeys(ARMS, 1.0),
        )
        for place in range(METRICS)
    ]


def by_tea_tasting(row: CrossMoments) -> None:
    """Compare every arm with the first, adjusted and unadjusted, then adjust the p-values."""
    means, covariances = row.means, row.covariances
    adjusted, plain = [], []
    for place in range(METRICS):
        value, before = f"m{place}", f"b{place}"
        arms = [
            Aggregates(
                int(row.n[arm]),
                {value: float(means[arm, place]), before: float(means[arm, METRICS + place])},
                {
                    value: float(covariances[arm, place, place]),
                    before: float(covariances[arm, METRICS + place, METRICS + place]),
                },
                {(value, before): float(covariances[arm, place, METRICS + place])},
            )
            for arm in range(len(ARMS))
        ]
        for arm in arms[1:]:
            adjusted.append(tt.Mean(value, before).analyze_aggregates(arms[0], arm).pvalue)
            plain.append(tt.Mean(value).analyze_aggregates(arms[0], arm).pvalue)
    holm(adjusted)


def best(of: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the fastest round."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        of()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    row = sums()
    theirs = best(lambda: by_tea_tasting(row), max(2, rounds // 3))
    sys.stdout.write(f"{METRICS} metrics × {len(ARMS)} arms from ready sums; best of {rounds} rounds\n")
    sys.stdout.write(f"{'tea-tasting, Welch, with and without CUPED':52} {theirs * 1e3:8.1f} ms\n")
    slow = []
    for method in METHODS:
        for adjusted in (False, True):
            given = cases(row, method, adjusted=adjusted)
            seconds = best(lambda given=given: compare_cases(given, "a", holm), rounds)  # type: ignore[misc]
            name = f"optimizer, {method}{', with and without CUPED' if adjusted else ''}"
            sys.stdout.write(f"{name:52} {seconds * 1e3:8.1f} ms   ratio {seconds / theirs:.3f}\n")
            if seconds >= LIMIT_SECONDS:
                slow.append(name)
    for name in slow:
        sys.stdout.write(f"too slow: {name} takes {LIMIT_SECONDS * 1e3:g} ms or more\n")
    return min(len(slow), 1)


if __name__ == "__main__":
    sys.exit(main())
