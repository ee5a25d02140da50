"""Everything that past experiments say about one candidate proxy, or why they say nothing yet.

The order is the rule: can anything be estimated, does the proxy move at all, is it the goal itself, is the slope's
interval narrow enough. Figures that were computed stand also where the answer is "not enough evidence", so that a
person sees how far it is from enough; nothing downstream uses them then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from optimizer.core.proxies.corpus import Corpus
from optimizer.core.proxies.covariance import by_experiment, clip, jive, mean_from, total_covariance, totalled
from optimizer.core.proxies.decisions import DecisionValue, modelled_share, naive_value, thinned_value
from optimizer.core.proxies.prediction import GoalForecast, forecast_goal
from optimizer.core.proxies.quality import correlation, quality
from optimizer.core.proxies.signs import naive_sign_agreement, opposite_sign_risk, sign_agreement
from optimizer.core.proxies.slope import WIDEST, Slope, naive_slope, slope, slope_from

Status = Literal["ok", "not_enough_evidence", "no_variation", "equals_goal"]
LEAST_EXPERIMENTS = 3  # below that there is no jackknife; it is the interval that decides from there on
SAME = 1 - 1e-9
SIGN_RISK = 0.2


@dataclass(frozen=True, slots=True)
class Naive:
    """What a plot of measured effects shows; shared noise makes it too rosy."""

    correlation: float | None = None
    slope: float | None = None
    sign_agreement: float | None = None
    decision_value: float | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """One candidate proxy against the goal. Figures are None where they cannot be told.

    Attributes:
        status: ok, not_enough_evidence, no_variation (of the proxy beyond its noise), equals_goal.
        detail: One sentence on the status with its numbers.
        experiments: Past experiments used.
        comparisons: Treatment arms in them.
        correlation: Noise-corrected, of true effects.
        slope: Goal effect per unit of proxy effect.
        width: Of the standardised slope's interval; None when infinite.
        quality: Q of the proxy alone at the new test's size.
        clipped: Whether negative eigenvalues were set to 0 for the figures that need it (never for the slope).
        sign_agreement: Chance that true effects have one sign.
        opposite_sign_risk: Chance that the goal gets worse although the proxy's z exceeds the threshold.
        decision: By thinning.
        decision_share_at_size: Share of the perfect gain at the new test's size, for normal true effects.
        just_significant: The smallest proxy effect that passes the threshold at the new size.
        forecast: Of the goal after that effect.
        jive_correlation: By the second estimator, beside.
        jive_slope: Same.
        covariance: Λ of (proxy, goal), as estimated.
        mean: Mean true effects of (proxy, goal).
        naive: Beside, never used.
    """

    status: Status
    detail: str
    experiments: int
    comparisons: int
    correlation: float | None = None
    slope: Slope | None = None
    width: float | None = None
    quality: float | None = None
    clipped: bool = False
    sign_agreement: float | None = None
    opposite_sign_risk: float | None = None
    decision: DecisionValue | None = None
    decision_share_at_size: float | None = None
    just_significant: float | None = None
    forecast: GoalForecast | None = None
    jive_correlation: float | None = None
    jive_slope: float | None = None
    covariance: np.ndarray | None = None
    mean: np.ndarray | None = None
    naive: Naive = Naive()


def assess(corpus: Corpus, units: float, rng: np.random.Generator, *, threshold: float = 1.96) -> Assessment:
    """Assess one proxy.

    Args:
        corpus: Past comparisons on (proxy, goal), without the test at hand.
        units: Size of the new test, over two equal arms.
        rng: Source of randomness for thinning.
        threshold: Ship when the proxy's z exceeds it.

    Raises:
        ValueError: corpus does not hold exactly two metrics, or units is not positive.
    """
    if corpus.effects.shape[1] != 2:  # noqa: PLR2004 - the proxy and the goal
        raise ValueError("corpus must hold exactly the proxy and the goal")
    if not (math.isfinite(units) and units > 0):
        raise ValueError("units must be a finite number above 0")
    count, comparisons = len(corpus), len(corpus.weights)
    if _is_goal(corpus):
        detail = "It is the goal itself, unit by unit: nothing would be gained by it."
        return Assessment("equals_goal", detail, count, comparisons)
    noiseless = (corpus.noise[:, [0, 1], [0, 1]] <= 0).any()
    if count < LEAST_EXPERIMENTS or noiseless:
        detail = (
            f"{count} past experiment(s): how far they agree with each other cannot be told below "
            f"{LEAST_EXPERIMENTS}."
            if count < LEAST_EXPERIMENTS
            else "In a past experiment every unit has the same value of the proxy or of the goal: no noise is known."
        )
        return Assessment("not_enough_evidence", detail, count, comparisons, naive=_naive_beside(corpus))
    return _judged(corpus, units, rng, threshold)


class Pinned(NamedTuple):
    """How far the slope alone is pinned down; for parts of the past, where nothing else is asked.

    Attributes:
        status: As in `Assessment`.
        slope: Goal effect per unit of proxy effect.
        correlation: Noise-corrected, of true effects.
    """

    status: Status
    slope: Slope | None = None
    correlation: float | None = None


def pin_down(corpus: Corpus) -> Pinned:
    """Judge the slope of a part of the past."""
    noiseless = (corpus.noise[:, [0, 1], [0, 1]] <= 0).any()
    if len(corpus) < LEAST_EXPERIMENTS or noiseless:
        return Pinned("not_enough_evidence")
    raw, found = total_covariance(corpus), slope(corpus)
    status, _ = _verdict(found, len(corpus), raw)
    return Pinned(status, _finite(found), correlation(raw)[0])


def _finite(found: Slope | None) -> Slope | None:
    return found if found is not None and math.isfinite(found.standard_error[0]) else None


def _judged(corpus: Corpus, units: float, rng: np.random.Generator, threshold: float) -> Assessment:
    raw, found, second = total_covariance(corpus), slope(corpus), jive(corpus)
    mean = mean_from(totalled(by_experiment(corpus)))
    covariance, clipped = clip(raw)
    noise = corpus.noise_of(units)
    proxy_noise = float(noise[0, 0])
    related, _ = correlation(raw)
    second_slope = slope_from(second)
    naive = naive_slope(corpus)
    beside = naive_value(corpus, covariance, mean, threshold)
    status, detail = _verdict(found, len(corpus), raw)
    effect = threshold * math.sqrt(proxy_noise)
    width = found.width if found is not None and math.isfinite(found.width) else None
    return Assessment(
        status=status,
        detail=detail,
        experiments=len(corpus),
        comparisons=len(corpus.weights),
        correlation=related,
        slope=_finite(found),
        width=width,
        quality=quality(covariance, noise[:1, :1], np.ones(1)),
        clipped=clipped,
        sign_agreement=sign_agreement(covariance, mean),
        opposite_sign_risk=opposite_sign_risk(covariance, mean, proxy_noise, threshold),
        decision=thinned_value(corpus, covariance, mean, threshold, rng),
        decision_share_at_size=modelled_share(covariance, mean, proxy_noise, threshold),
        just_significant=effect,
        forecast=forecast_goal(corpus, effect, proxy_noise),
        jive_correlation=correlation(second)[0],
        jive_slope=None if second_slope is None else float(second_slope[0]),
        covariance=raw,
        mean=mean,
        naive=Naive(
            naive[1] if naive else None, naive[0] if naive else None, naive_sign_agreement(corpus), beside.share
        ),
    )


def _verdict(found: Slope | None, count: int, raw: np.ndarray) -> tuple[Status, str]:
    if found is None:
        return "no_variation", (
            f"Over {count} past experiments the proxy's effects vary no more than their noise: whether the goal "
            "follows it cannot be seen."
        )
    if not math.isfinite(found.width):
        what = "the goal's effects vary no more than their noise" if raw[1, 1] <= 0 else "leaving one out changes all"
        return "not_enough_evidence", f"Not enough evidence: over {count} past experiments {what}."
    low, high = found.interval
    shown = f"slope {found.estimate[0]:.3g}, 95% interval {low:.3g} to {high:.3g}"
    if not found.pinned_down:
        return "not_enough_evidence", (
            f"Not enough evidence: {shown}; standardised its width is {found.width:.2f}, and {WIDEST:g} is the most "
            "that says anything."
        )
    return "ok", f"From {count} past experiments: {shown} (standardised width {found.width:.2f})."


def _naive_beside(corpus: Corpus) -> Naive:
    found = naive_slope(corpus) if len(corpus.weights) > 1 else None
    return Naive(
        correlation=found[1] if found else None,
        slope=found[0] if found else None,
        sign_agreement=naive_sign_agreement(corpus),
    )


def _is_goal(corpus: Corpus) -> bool:
    noise = corpus.noise
    size = np.sqrt(noise[:, 0, 0] * noise[:, 1, 1])
    varied = size > 0
    alike = noise[varied, 0, 1] >= SAME * size[varied]
    scales = np.ptp(np.sqrt(noise[varied, 1, 1] / noise[varied, 0, 0])) if varied.any() else math.inf
    return bool(varied.any() and alike.all() and scales < 1e-6 and _proportional(corpus.effects[varied]))  # noqa: PLR2004 - rounding


def _proportional(effects: np.ndarray) -> bool:
    across = effects[:, 0] * np.linalg.norm(effects[:, 1]) - effects[:, 1] * np.linalg.norm(effects[:, 0])
    return bool(np.abs(across).max() <= 1e-9 * max(1e-300, float(np.prod(np.linalg.norm(effects, axis=0)))))
