"""Standard errors of a fit: its Jacobian, whitened for noise of the largest restricted likelihood.

The maximum of the likelihood underestimates noise and its correlation, because the fit absorbs a
part of both.  The restricted likelihood (Patterson and Thompson 1971) is that of the combinations
of samples that do not depend on what was fitted.  Linearise the fit: X are the derivatives of all
samples by the fitted numbers, r the residuals, V the covariance of the noise.  Then -2 log of it is

    log|V| + log|A| + r^T V^-1 r - b^T A^-1 b,        A = X^T V^-1 X,        b = X^T V^-1 r.

The fitted numbers are the parameters, and floor and gain of every curve.  A floor that is fitted as
0 is among them: the true floor may be above 0, and its uncertainty is also that of the parameters.

For each curve, products of whitened series are polynomials of degree 2 in rho (`likelihood`), and
rho = sin(phi).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.optimize import minimize

from coopetition.fitting.identifiability import ROUNDING
from coopetition.fitting.noise import Noise, whiten
from coopetition.fitting.problem import FitProblem

Array = NDArray[np.float64]

MAX_CHANGE = 3.0  # of log sigma


class Linearised(NamedTuple):
    """A curve of a fit, divided by the units of its samples.

    by_theta : (n, free) derivatives of the fitted curve by the places of the parameters
    by_levels : (n, 2) derivatives by floor and gain; (n, 1) by the floor if the gain is 0; (n, 0)
        if they are known
    residual : (n,)
    """

    by_theta: Array
    by_levels: Array
    residual: Array


def linearise(problem: FitProblem, theta: Array) -> list[Linearised]:
    """Return every curve of a fit, with floor and gain for the noise of the problem."""
    found, observed = [], problem.observe(theta)
    outputs, jacobians = problem.outputs_and_jacobians(theta)
    for name, (k, row) in problem.where.items():
        known, unit = problem.known[name], problem.units[name][:, None]
        error, (floor, gain) = outputs[k][row][known], (observed[name].floor, observed[name].gain)
        n_levels = (1 + (gain > 0)) if problem.theory.has_levels else 0
        by_levels = np.stack([np.ones(len(error)), error], 1)[:, :n_levels]
        residual = floor + gain * error - problem.errors[name]
        by_theta = gain * jacobians[k][row][known]
        parts = (by_theta / unit, by_levels / unit, residual / unit[:, 0])
        found.append(Linearised(*map(np.nan_to_num, parts)))
    return found


def whitened_jacobian(curves: Sequence[Linearised], noise: Iterable[Noise]) -> Array:
    """Return the derivatives of all residuals (n, free), of variance 1, floors and gains fitted."""
    parts = []
    for curve, (sigma, rho) in zip(curves, noise, strict=True):
        scale = sigma * math.sqrt(1 - rho**2)
        by_theta, by_levels = (whiten(each / scale, rho) for each in curve[:2])
        basis = np.linalg.qr(by_levels)[0]
        parts.append(by_theta - basis @ (basis.T @ by_theta))
    return np.concatenate(parts)


def restricted_noise(problem: FitProblem, curves: Sequence[Linearised]) -> list[Noise]:
    """Return the noise of every curve that maximises the restricted likelihood."""
    groups = problem.noise_groups
    first = np.cumsum([0, *map(len, groups)])[:-1]
    every = np.array([len(curve.residual) for curve in curves])
    products, n = (np.add.reduceat(each, first) for each in (products_of(curves), every))
    noise = (problem.noise[group[0]] for group in groups)
    start = np.array([(math.log(sigma), math.asin(rho)) for sigma, rho in noise])
    lowest, highest = start - MAX_CHANGE, start + MAX_CHANGE
    shortest = np.minimum.reduceat(every, first)
    lowest[:, 1], highest[:, 1] = 0.0, [math.asin(problem.largest_rho(size)) for size in shortest]
    bounds = [*zip(lowest.ravel(), highest.ravel(), strict=True)]
    given = (products, n, np.array([*map(len, groups)]))
    found = minimize(restricted_deviance, start.ravel(), given, "L-BFGS-B", jac=True, bounds=bounds)
    own = [Noise(math.exp(a), math.sin(phi)) for a, phi in found.x.reshape(-1, 2)]
    return [each for each, group in zip(own, groups, strict=True) for _ in group]


def products_of(curves: Sequence[Linearised]) -> Array:
    """Return (curves, 3, k + 1, k + 1): powers of rho, and products of X's columns and r.

    The columns are an orthonormal basis of what the fitted numbers can change.
    """
    by_levels: Any = block_diag(*(curve.by_levels for curve in curves))
    every = np.hstack([np.concatenate([curve.by_theta for curve in curves]), by_levels])
    size = np.linalg.norm(every, axis=0)
    basis, singular, _ = np.linalg.svd(every / np.where(size > 0, size, 1), full_matrices=False)
    basis = basis[:, singular > ROUNDING * singular[0]]
    ends = np.cumsum([len(curve.residual) for curve in curves])[:-1]
    products = []
    for part, curve in zip(np.split(basis, ends), curves, strict=True):
        series = np.column_stack([part, curve.residual])
        neighbours = series[1:].T @ series[:-1]
        inner = series[1:-1].T @ series[1:-1]
        products.append([series.T @ series, -neighbours - neighbours.T, inner])
    return np.array(products)


def restricted_deviance(
    x: Array, products: Array, n: Array, n_curves: Array
) -> tuple[float, Array]:
    """Return -2 log restricted likelihood, and its derivatives.

    x : log sigma and phi of each group of curves with one noise
    products, n : sums over the curves of a group
    """
    log_sigma, phi = x.reshape(-1, 2).T
    rho, rest = np.sin(phi), np.cos(phi) ** 2
    powers = rho[:, None] ** np.arange(3)
    weight = (np.exp(-2 * log_sigma) / rest)[:, None, None]
    own = weight * np.einsum("cp,cpij->cij", powers, products)
    slopes = weight * (products[:, 1] + 2 * rho[:, None, None] * products[:, 2])
    slopes += own * (2 * rho / rest)[:, None, None]
    whole = own.sum(0)
    inverse = np.linalg.inv(whole[:-1, :-1])
    change = np.append(-inverse @ whole[:-1, -1], 1.0)
    deviance = (
        2 * n @ log_sigma
        + (n - n_curves) @ np.log(rest)
        - np.linalg.slogdet(inverse)[1]
        + whole[-1] @ change
    )
    inverse = np.pad(inverse, (0, 1)) + np.outer(change, change)
    by_sigma = 2 * n - 2 * np.einsum("ij,cij->c", inverse, own)
    by_rho = np.einsum("ij,cij->c", inverse, slopes) - 2 * (n - n_curves) * rho / rest
    return float(deviance), np.stack([by_sigma, by_rho * np.cos(phi)], 1).ravel()
