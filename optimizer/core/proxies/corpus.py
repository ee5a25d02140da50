"""Past experiments as effects with their noise: what every estimate of a proxy starts from.

Visitors who happen to be keen do more of everything, in whichever arm they fall. So a proxy's and a goal's measured
effects agree by chance alone, and the within-arm cross-products, which say by how much, are kept with each effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LOST = 1e-12  # of a sum of squares: a smaller variance is what rounding left
ROUNDING = 1e-9  # what sums may lose before they contradict each other


class ArmSums(NamedTuple):
    """One arm of one experiment over p metrics.

    Attributes:
        n: Units.
        sums: Σx per metric, shape (p,).
        products: Σxxᵀ, shape (p, p), symmetric.
    """

    n: int
    sums: np.ndarray
    products: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean per metric, shape (p,)."""
        return self.sums / self.n

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance of one unit's values, shape (p, p); 0 where the variance is lost in rounding."""
        spread = self.products - np.outer(self.sums, self.sums) / self.n
        lost = np.diag(spread) <= LOST * np.diag(self.products)
        spread[lost, :] = spread[:, lost] = 0.0
        return np.asarray(spread / (self.n - 1))


def check_arm(arm: ArmSums) -> str:
    """Say what is impossible about an arm.

    Returns:
        One sentence, or an empty text when some units have these sums and cross-products.
    """
    if arm.n < 2:  # noqa: PLR2004 - a variance needs two
        return "An arm needs two units or more: its noise cannot be known otherwise."
    squares = np.diag(arm.products)
    if (squares < 0).any():
        return "The diagonal of cross_products holds sums of squares, which are not negative."
    limits = np.sqrt(np.outer(squares, squares))
    rules = (
        (np.abs(arm.products - arm.products.T) > ROUNDING * limits, "cross_products must be symmetric: Σxy is Σyx."),
        (
            squares * arm.n < arm.sums**2 * (1 - ROUNDING),
            "No values have this sum and sum of squares over so few units (Cauchy-Schwarz).",
        ),
        (
            np.abs(arm.products) > limits * (1 + ROUNDING),
            "A cross-product is larger than the two sums of squares allow (Cauchy-Schwarz).",
        ),
        (
            _impossible_together(arm, np.sqrt(squares)),
            "No units have these sums and cross-products together: their covariance is not possible.",
        ),
    )
    return next((sentence for broken, sentence in rules if np.any(broken)), "")


def _impossible_together(arm: ArmSums, scale: np.ndarray) -> bool:
    held = scale > 0
    spread = (arm.products - np.outer(arm.sums, arm.sums) / arm.n)[np.ix_(held, held)]
    lowest = np.linalg.eigvalsh(spread / np.outer(scale[held], scale[held])).min(initial=0.0)
    return bool(lowest < -100 * ROUNDING)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Effects of past comparisons (one per treatment arm) and their sampling noise.

    Attributes:
        effects: Treatment minus control, shape (c, p), in each metric's own unit.
        noise: Sampling covariance Ξ of each effect, shape (c, p, p); Ξ = O/w with O the within-arm unit covariance.
        weights: w = 1/(1/n_t + 1/n_c), shape (c,).
        experiments: Which experiment each comparison belongs to, shape (c,).
        shared: Sampling covariance between comparisons of one experiment (their control's), shape (c, p, p).
    """

    effects: np.ndarray
    noise: np.ndarray
    weights: np.ndarray
    experiments: np.ndarray
    shared: np.ndarray

    def __post_init__(self) -> None:
        """Refuse shapes that do not belong together."""
        comparisons, metrics = self.effects.shape
        if self.noise.shape != (comparisons, metrics, metrics) or self.shared.shape != self.noise.shape:
            raise ValueError("noise and shared must have the shape (comparisons, metrics, metrics)")
        if self.weights.shape != (comparisons,) or self.experiments.shape != (comparisons,):
            raise ValueError("weights and experiments must have one entry per comparison")
        if (self.weights <= 0).any():
            raise ValueError("weights must be positive")

    def __len__(self) -> int:
        """Return the number of experiments."""
        return len(np.unique(self.experiments))

    def of_metrics(self, columns: Sequence[int]) -> Corpus:
        """Return the same comparisons on some metrics, in the order given."""
        square = np.ix_(range(len(self.weights)), columns, columns)
        return Corpus(
            self.effects[:, list(columns)],
            self.noise[square],
            self.weights,
            self.experiments,
            self.shared[square],
        )

    def where(self, kept: np.ndarray) -> Corpus:
        """Return some of the comparisons, by a boolean mask."""
        return Corpus(
            self.effects[kept], self.noise[kept], self.weights[kept], self.experiments[kept], self.shared[kept]
        )

    @property
    def unit_covariance(self) -> np.ndarray:
        """Within-arm unit covariance over all comparisons, weighted by their size, shape (p, p)."""
        return np.asarray(np.einsum("c,cij->ij", self.weights**2, self.noise) / self.weights.sum())

    def noise_of(self, units: float) -> np.ndarray:
        """Return Ξ of a new test of `units` in two equal arms, shape (p, p)."""
        return self.unit_covariance * 4 / units


def corpus_of_effects(effects: np.ndarray, noise: np.ndarray, weights: np.ndarray) -> Corpus:
    """Build a corpus of two-arm experiments from their effects, noise and weights (shapes as in `Corpus`)."""
    return Corpus(effects, noise, weights, np.arange(len(weights)), np.zeros_like(noise))


def corpus_of_arms(experiments: Sequence[Sequence[ArmSums]]) -> Corpus:
    """Build a corpus from arms.

    Args:
        experiments: Per experiment its arms on the same p metrics, the control first.

    Raises:
        ValueError: There is none, or one has fewer than two arms or an arm of fewer than two units.
    """
    if not experiments or any(len(arms) < 2 for arms in experiments):  # noqa: PLR2004 - a comparison takes two
        raise ValueError("experiments must each have a control and a treatment")
    if any(arm.n < 2 for arms in experiments for arm in arms):  # noqa: PLR2004 - a variance needs two
        raise ValueError("arms must have two units or more")
    pairs = [(place, arms[0], arm) for place, arms in enumerate(experiments) for arm in arms[1:]]
    shared = [control.covariance / control.n for _, control, _ in pairs]
    return Corpus(
        np.array([treated.mean - control.mean for _, control, treated in pairs]),
        np.array([own + treated.covariance / treated.n for own, (_, _, treated) in zip(shared, pairs, strict=True)]),
        np.array([1 / (1 / treated.n + 1 / control.n) for _, control, treated in pairs]),
        np.array([place for place, _, _ in pairs]),
        np.array(shared),
    )
