"""How much of a winner's effect to believe: tests that stop because an effect looks large overstate it.

A confidence sequence is a mixture over effects N(0, ρ²·n·SE²): the belief about effects that the plan implies. Its
posterior mean is d·nρ²/(1 + nρ²). A posterior does not depend on the rule by which one stopped, so if effects are as
the plan implies, the shrunk estimate is right on average among winners, however early they won; the earlier, the more
is taken away. A deviation of effects measured from past experiments may stand in for the plan's.

Sources: Deng, Lu, Chen, "Continuous monitoring of A/B tests without pain: optional stopping in Bayesian testing"
(2016); for the bias, Lee and Shen, "Winner's curse: bias estimation for total effects of features in online
controlled experiments" (2018).
"""

from __future__ import annotations

import numpy as np

from optimizer.core.stats.effects import Floats


def kept_share(n: Floats, rho2: Floats) -> Floats:
    """Return the share of an estimated effect that remains, in (0, 1).

    Args:
        n: Units of the pair.
        rho2: ρ² of the plan (`sequential.tuned`).
    """
    share: Floats = n * rho2 / (1 + n * rho2)
    return share


def kept_share_by_history(standard_error: Floats, effect_deviation: float) -> Floats:
    """Return the share that remains under effects N(0, effect_deviation²), as measured from past experiments.

    Raises:
        ValueError: effect_deviation is not positive.
    """
    if effect_deviation <= 0:
        raise ValueError("effect_deviation must be positive")
    return 1 / (1 + np.square(standard_error / effect_deviation))
