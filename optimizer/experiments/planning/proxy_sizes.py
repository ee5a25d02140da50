"""What a goal's effect needs on a proxy, by what past experiments say of the two."""

from __future__ import annotations

import math

from scipy import special

from optimizer.core.proxies.assessment import Assessment
from optimizer.core.proxies.covariance import clip
from optimizer.core.proxies.translation import proxy_effect_of, standard_error_for
from optimizer.core.stats.sequential import critical_value, rho_squared
from optimizer.core.stats.targets import mean_target
from optimizer.experiments.planning.sizing import Level, Plan


def visitors_for_goal_effect(
    found: Assessment, goal_effect: float, proxy: Level, plan: Plan, power: float
) -> float | None:
    """Return the total at which a test on the proxy has the power, averaged over what the proxy might do.

    Args:
        found: What past experiments say, status ok.
        goal_effect: In the goal's own unit.
        proxy: Where the proxy stands.
        plan: How the test is read; group sequential and Bayesian plans are sized as one look.
        power: Wanted; below one half it is taken as one half.

    Returns:
        The total over all arms; None when no size reaches the power.
    """
    if found.covariance is None:
        return None
    covariance, _ = clip(found.covariance)
    translated = proxy_effect_of(covariance, goal_effect)
    if translated is None or translated.expected == 0:
        return None
    critical = float(-special.ndtri(plan.alpha / 2))
    if plan.method == "sequential":  # at its planned size the width does not depend on the size
        critical = critical_value(1.0, plan.alpha, rho_squared(plan.alpha, 1.0))
    error = standard_error_for(translated, critical, max(0.5, power))
    if error is None:
        return None
    variance = mean_target(proxy.variance, 1.0, plan.split).variance
    return variance / error**2 if math.isfinite(error) and error > 0 else None
