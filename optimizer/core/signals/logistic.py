"""Pooled logistic regression from aggregated counts: the adjusted figure beside Mantel and Haenszel's.

Person-periods of one kind are one weighted row, so millions of them cost as much as a few thousand.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from optimizer.core.signals.strata import LogRatio, Strata

MAXIMUM_STEPS = 50
TOLERANCE = 1e-9
SEPARATED = 15.0  # a coefficient beyond this is running away: some kind of row always, or never, converts
STRONGEST = 30.0
SINGULAR = 1e12
RIDGE_STEPS, RIDGE_TOLERANCE, LARGEST_STEP = 30, 1e-6, 4.0
Array = NDArray[np.float64]


class Coefficients(NamedTuple):
    """A fitted model.

    Attributes:
        estimates: One per column of the design.
        covariance: From the Fisher information; shape (columns, columns).
    """

    estimates: Array
    covariance: Array


def fit_logistic(design: Array, units: Array, converted: Array) -> Coefficients | None:
    """Fit a logistic model by maximum likelihood (iteratively reweighted least squares).

    Args:
        design: One row per kind of unit, one column per term; shape (rows, columns).
        units: How many units a row stands for.
        converted: How many of those converted.

    Returns:
        The fit; None where no finite one exists (columns that say the same, groups that always or never convert).

    Raises:
        ValueError: The lengths differ, or converted is not between 0 and units.
    """
    if not (design.ndim == 2 and len(design) == len(units) == len(converted)):  # noqa: PLR2004 - rows and columns
        raise ValueError("design, units and converted must have as many rows as each other")
    if (converted < 0).any() or (converted > units).any():
        raise ValueError("converted must lie between 0 and units")
    estimates = np.zeros(design.shape[1])
    for _ in range(MAXIMUM_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ estimates, -STRONGEST, STRONGEST)))
        information = design.T @ (design * (units * chance * (1 - chance))[:, None])
        try:
            step = np.linalg.solve(information, design.T @ (converted - units * chance))
        except np.linalg.LinAlgError:
            return None
        estimates = estimates + step
        if not np.isfinite(estimates).all():
            return None
        if float(np.abs(step).max()) < TOLERANCE:
            return _checked(estimates, information)
    return None


def fit_ridge(design: sparse.csr_array, units: Array, converted: Array, penalty: float) -> Array:
    """Fit a logistic model with a ridge penalty on all terms but the first, which is the intercept.

    Sparse on purpose: a row has a handful of ones, and no linear algebra library starts threads for it.

    Args:
        design: Intercept first; shape (rows, columns).
        units: How many units a row stands for.
        converted: How many of those converted.
        penalty: Half of it times the squared coefficients is added to the negative log-likelihood; above 0.

    Returns:
        The coefficients; shape (columns,). They are always finite.
    """
    total, bought = float(units.sum()), float(converted.sum())
    shrink = np.full(design.shape[1], penalty)
    shrink[0] = penalty * 1e-6  # only so that it stays finite where all or none convert
    estimates = np.zeros(design.shape[1])
    estimates[0] = math.log((bought + 0.5) / (total - bought + 0.5))
    flipped = design.T.tocsr()
    for _ in range(RIDGE_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ estimates, -STRONGEST, STRONGEST)))
        weights = units * chance * (1 - chance)
        weighted = sparse.csr_array(
            (flipped.data * weights[flipped.indices], flipped.indices, flipped.indptr), shape=flipped.shape
        )
        information = (weighted @ design).toarray() + np.diag(shrink)
        step = np.linalg.solve(information, flipped @ (converted - units * chance) - shrink * estimates)
        estimates = estimates + np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        if float(np.abs(step).max()) < RIDGE_TOLERANCE:
            break
    return estimates


def adjusted_odds_ratio(strata: Strata, *factors: NDArray[np.int64]) -> LogRatio | None:
    """Return the event's odds ratio with each factor held, their effects adding up on the log-odds scale.

    Args:
        strata: The tables.
        factors: Per factor, the level that each stratum has; each of shape (strata,).

    Returns:
        None where no finite estimate exists.
    """
    done = np.repeat([1.0, 0.0], len(strata.units_with))
    units = np.concatenate([strata.units_with, strata.units_without])
    converted = np.concatenate([strata.converted_with, strata.converted_without])
    levels = [np.concatenate([factor, factor]) for factor in factors]
    kept = _informative_rows(units, converted, levels)
    if not kept.any() or len(np.unique(done[kept])) == 1:
        return None
    design = np.column_stack([one_hot(*(factor[kept] for factor in levels)), done[kept]])
    fit = fit_logistic(design, units[kept], converted[kept])
    if fit is None:
        return None
    return LogRatio(float(fit.estimates[-1]), math.sqrt(float(fit.covariance[-1, -1])))


def one_hot(*levels: NDArray[np.int64]) -> Array:
    """Return an intercept and, for each factor, one column per level but its most frequent one.

    Args:
        levels: One array of levels per factor, each of shape (rows,).
    """
    columns = [np.ones(len(levels[0]))]
    for factor in levels:
        names, counts = np.unique(factor, return_counts=True)
        columns += [(factor == name).astype(float) for name in names[np.arange(len(names)) != counts.argmax()]]
    return np.column_stack(columns)


def _informative_rows(units: Array, converted: Array, levels: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    # A level in which nobody, or everybody, converts says nothing of the event, and its own coefficient is infinite.
    kept = units > 0
    while True:
        further = kept.copy()
        for factor in levels:
            _, place = np.unique(factor, return_inverse=True)
            inside, bought = (np.bincount(place, np.where(kept, part, 0)) for part in (units, converted))
            further &= ((bought > 0) & (bought < inside))[place]
        if (further == kept).all():
            return kept
        kept = further


def _checked(estimates: Array, information: Array) -> Coefficients | None:
    if float(np.abs(estimates).max()) > SEPARATED or np.linalg.cond(information) > SINGULAR:
        return None
    covariance = np.linalg.inv(information)
    return (
        Coefficients(estimates, np.asarray(covariance, np.float64))
        if math.isfinite(float(covariance.max()))
        else None
    )
