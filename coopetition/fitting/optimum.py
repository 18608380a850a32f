"""Maxima of the likelihood of curves, by least squares and the most likely noise in turn."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares
from threadpoolctl import ThreadpoolController

from coopetition.fitting.noise import Noise
from coopetition.fitting.problem import FitProblem

Array = NDArray[np.float64]

SMALL_GAIN = 0.01  # of the deviance: far less than the effect of noise


@dataclass(frozen=True, slots=True)
class Optimum:
    """A maximum of the likelihood, with its noise; the deviance is -2 log likelihood."""

    theta: Array
    noise: dict[str, Noise]
    deviance: float
    converged: bool


by_deviance = attrgetter("deviance")


def refine_with_gains(problem: FitProblem, theta: Array, *, max_iterations: int) -> Optimum:
    """Refine a theta, also from a lifted problem if a curve ends with a gain of 0."""
    starts = [minimize_in_search(problem.residuals_and_jacobian, theta, max_iterations).x]
    if problem.has_zero_gain(starts[0]):
        lifted = problem.lifted()
        found = minimize_in_search(lifted.residuals_and_jacobian, starts[0], max_iterations)
        starts.append(found.x)
    optima = [
        refine(problem.with_noise(problem.most_likely_noise(x)[0]), x, max_iterations)
        for x in starts
    ]
    return min(optima, key=by_deviance)


def refine(
    problem: FitProblem,
    theta: Array,
    max_iterations: int,
    *,
    small: float = SMALL_GAIN,
    tolerance: float = 1e-5,
    held: int | None = None,
) -> Optimum:
    """Return the nearest maximum of the likelihood.

    The sum of squares is minimised for the noise of the problem, then for the most likely noise at
    the minimum, until the deviance decreases by less than `small`.

    tolerance : of the sum of squares, relative; these problems have long flat valleys
    held : index of a parameter that keeps its place
    """
    free = np.arange(len(theta)) != held

    def complete(places: Array) -> Array:
        whole = theta.copy()
        whole[free] = places
        return whole

    def evaluate(places: Array) -> tuple[Array, Array]:
        residuals, jacobian = own.residuals_and_jacobian(complete(places))
        return residuals, jacobian[:, free]

    own, best, used = problem, None, 0
    while used < max_iterations:
        left = max_iterations - used
        found = minimize_in_search(evaluate, theta[free], left, tolerance=tolerance)
        used += found.nfev
        theta = complete(found.x)
        noise, deviance = problem.most_likely_noise(theta)
        if best is not None and not deviance < best.deviance - small:
            return replace(
                min(best, Optimum(theta, noise, deviance, True), key=by_deviance), converged=True
            )
        best, own = Optimum(theta, noise, deviance, False), problem.with_noise(noise)
    assert best is not None
    return best


def minimize_in_search(
    evaluate: Callable[[Array], tuple[Array, Array]],
    start: Array,
    max_iterations: int,
    *,
    tolerance: float = 1e-5,
) -> OptimizeResult:
    """Minimise the sum of squared residuals between 0 and 1, on one BLAS thread.

    evaluate : returns residuals and their Jacobian; both are computed at once, since nearly all
        steps are accepted, and then need the Jacobian
    """

    @lru_cache(maxsize=1)
    def evaluated(places: bytes) -> tuple[Array, Array]:
        return evaluate(np.frombuffer(places))

    # ten columns: threads would only wait; steps from tiny gradients may divide by 0
    with _libraries().limit(limits=1, user_api="blas"), np.errstate(all="ignore"):
        return least_squares(
            lambda x: evaluated(x.tobytes())[0],
            np.clip(start, 1e-9, 1 - 1e-9),
            lambda x: evaluated(x.tobytes())[1],  # pyright: ignore[reportArgumentType]
            bounds=(0, 1),
            max_nfev=max_iterations,
            ftol=tolerance,
            xtol=tolerance / 10,
            gtol=None,  # far from the data, gradients are tiny  # pyright: ignore[reportArgumentType]
        )


@cache
def _libraries() -> ThreadpoolController:
    """Return the loaded libraries that have threads of their own."""
    return ThreadpoolController()
