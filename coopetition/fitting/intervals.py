"""Intervals by profile likelihood: how much worse the fit is with one parameter held elsewhere.

All other parameters, and the noise, are fitted again at every point, from the point beside it, by
least squares with an exact Jacobian (`estimate.refine`).  (General minimisers, as iminuit's, stop
early in the long flat valleys of these problems, which looks like a rise.)  The rise is that of the
deviance, -2 log likelihood; the interval is where it stays below a threshold.  This is
`Fit.threshold`, times the variance of the parameter for noise of the largest restricted likelihood,
relative to that for the most likely noise (`restricted`).  If another parameter ends at an end of
its search range, the rise is partly due to this end, and the status of the point is `at limit`.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.fitting.identifiability import (
    AT_LIMIT,
    NEAR_BOUND,
    find_directions,
    standard_deviations,
)
from coopetition.fitting.optimum import refine
from coopetition.fitting.restricted import linearise, whitened_jacobian
from coopetition.fitting.result import Estimate, Fit, origin_line
from coopetition.tools.checks import check_int
from coopetition.tools.console import ProgressReport, add_progress_switch
from coopetition.tools.errors import check_type
from coopetition.tools.files import wrap_text
from coopetition.tools.results import JsonResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

VALID, FAILED = "valid", "failed"  # and AT_LIMIT
FIRST_STEP = 1e-4, 0.05  # of the search: least and largest
GROWTH = 2.0  # of the steps outwards
BETTER = 0.05  # of the threshold: a point as far below the fit is better
CLOSE = 0.1  # relative distance from the threshold at which a side ends
MAX_ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a profile: place of the parameter, rise (NaN if the fit failed), all of theta."""

    x: float
    rise: float
    status: str
    theta: Array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Profile(JsonResult):
    """The rise along one parameter.

    values : (n,) of the parameter, in sequences if its unit has time, rising
    rise : (n,) of the deviance, -2 log likelihood, above that of the fit, with all other parameters
        fitted again; NaN where the minimiser failed
    statuses : of each point: `valid`, `at limit` (another parameter is at an end of its search
        range), `failed`
    threshold : rise at the ends of the 90 % interval
    estimate : the value, and the interval in which the rise is below the threshold
    times_from : the first sample of each run, in sequences, from which its times count
    """

    kind: ClassVar[str] = "a saved profile"
    parameter: str
    values: Array
    rise: Array
    statuses: tuple[str, ...]
    threshold: float
    estimate: Estimate
    times_from: tuple[float, ...]

    def columns(self) -> dict[str, Any]:
        """Return `value`, `rise`, `status`; a row is a point."""
        return {"value": self.values, "rise": self.rise, "status": [*self.statuses]}

    def headline(self) -> str:
        """Return the parameter, its interval and status."""
        e = self.estimate
        return f"of {self.parameter}: {e.low:.4g} to {e.high:.4g}, {e.status}"

    def summary(self) -> str:
        """Return the headline, and where times begin."""
        return f"{wrap_text(self.headline())}\n{origin_line(self.times_from)}"

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> Self:
        """See `JsonResult`."""
        return cls(
            saved["parameter"],
            np.array(saved["values"], float),
            np.array(saved["rise"], float),
            tuple(saved["statuses"]),
            saved["threshold"],
            Estimate(**saved["estimate"]),
            tuple(saved["times_from"]),
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the rise, its threshold, and points at a limit; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_profile

        return plot_profile(self, ax=ax)


@add_progress_switch
def profile(fit: Fit, parameter: str, *, n: int = 6, progress: bool = True) -> Profile:
    """Return the profile of a free parameter, with at most `n` points near each interval end.

    If a point is better than the fit, this was not the best: the status is `not converged`.  So it
    is if no point comes close to the threshold at an end.
    `progress=False` shows no progress.
    """
    check_type(fit, Fit, "a Fit")
    check_int("the number of points", n, 1)
    k = fit.index_of(parameter)
    threshold = fit.threshold * _widening(fit)[k]
    best = Point(float(fit.theta[k]), 0.0, VALID, fit.theta)
    points = [best]
    with ProgressReport(f"profile {parameter}", 2, "sides") as report:
        for last in (0.0, 1.0):
            points += _walk(fit, k, best, last, n, threshold)
            report.advance()
    points.sort(key=lambda point: point.x)
    ends = [_interval_end(points, best.x, side, threshold) for side in (-1, 1)]
    # behind a rise there may be another optimum as good
    accepted = fit.accepted_optima[:, k]
    is_best = np.nanmin([point.rise for point in points]) >= -BETTER * threshold
    is_found = all(_is_end_found(points, best.x, side, threshold) for side in (-1, 1))
    low, high = min(ends[0], accepted.min()), max(ends[1], accepted.max())
    estimate = fit.estimate_between(parameter, low, high, converged=is_best and is_found)
    free = fit.problem.free[k]
    values = [float(fit.problem.value_at(free, point.x)) for point in points]
    order = np.argsort(values)
    return Profile(
        parameter,
        np.array(values)[order],
        np.array([points[i].rise for i in order]),
        tuple(points[i].status for i in order),
        threshold,
        estimate,
        fit.times_from,
    )


@add_progress_switch
def profiled(fit: Fit, *, progress: bool = True) -> tuple[Fit, dict[str, Profile]]:
    """Return the fit with intervals by profiles, and the profiles of its free parameters.

    `progress=False` shows no progress.
    """
    profiles = {free.name: profile(fit, free.name) for free in fit.problem.free}
    estimates = {name: each.estimate for name, each in profiles.items()}
    return replace(fit, parameters=fit.parameters | estimates), profiles


def _widening(fit: Fit) -> Array:
    """Return variances (free,) of the fit relative to those for the most likely noise."""
    names = [free.name for free in fit.problem.free]
    jacobian = whitened_jacobian(linearise(fit.problem, fit.theta), fit.problem.noise.values())
    own, usual = (
        standard_deviations(each, names)
        for each in (fit.directions, find_directions(jacobian, names))
    )
    is_known = np.isfinite(own) & np.isfinite(usual)
    return np.divide(own, usual, out=np.ones(len(names)), where=is_known) ** 2


def _walk(fit: Fit, k: int, best: Point, last: float, n: int, threshold: float) -> list[Point]:
    """Return points from the best to an end of its range: steps that grow, then bisection."""
    points: list[Point] = []
    if abs(last - best.x) < NEAR_BOUND:
        return points
    deviations = standard_deviations(fit.directions, [free.name for free in fit.problem.free])
    step = float(np.clip(min(deviations[k] * threshold**0.5, 1.0), *FIRST_STEP))
    inner = point = best
    while not point.rise > threshold:
        if point.x == last:
            return points
        x = max(best.x - step, last) if last < best.x else min(best.x + step, last)
        point = _fit_others(fit, k, x, point.theta)
        points.append(point)
        if point.rise <= threshold:
            inner = point
        step *= GROWTH
    outer = point
    for _ in range(n):
        x = _crossing(inner, outer, threshold)
        starts = (inner.theta, outer.theta)  # the second is tried if the first fails
        tried = (_fit_others(fit, k, x, start) for start in starts)
        point = next((each for each in tried if each.status != FAILED), None)
        if point is None:
            break
        points.append(point)
        if abs(point.rise / threshold - 1) < CLOSE:
            break
        if point.rise > threshold:
            outer = point
        else:
            inner = point
    return points


def _crossing(inner: Point, outer: Point, threshold: float) -> float:
    """Return where the rise, taken to be quadratic between two points, reaches the threshold."""
    low, high = (max(point.rise, 0.0) ** 0.5 for point in (inner, outer))
    share = (threshold**0.5 - low) / (high - low)
    return inner.x + min(max(share, 0.05), 0.95) * (outer.x - inner.x)


def _fit_others(fit: Fit, k: int, x: float, start: Array) -> Point:
    """Hold the parameter k at a place, and fit the others from a start."""
    theta = start.copy()
    theta[k] = x
    others = np.arange(len(theta)) != k
    if not others.any():
        return Point(x, fit.problem.most_likely_noise(theta)[1] - fit.deviance, VALID, theta)
    found = refine(fit.problem, theta, MAX_ITERATIONS, held=k)
    if not found.converged:
        return Point(x, np.nan, FAILED, found.theta)
    free = found.theta[others]
    is_limited = ((free < NEAR_BOUND) | (free > 1 - NEAR_BOUND)).any()
    return Point(x, found.deviance - fit.deviance, AT_LIMIT if is_limited else VALID, found.theta)


def _is_end_found(points: list[Point], best: float, side: int, threshold: float) -> bool:
    """Return whether a point is close to the threshold on a side, or none is above it."""
    rises = np.array([p.rise for p in points if (p.x - best) * side > 0])
    return not np.any(rises > threshold) or bool(np.any(abs(rises / threshold - 1) < CLOSE))


def _interval_end(points: list[Point], best: float, side: int, threshold: float) -> float:
    """Return where the rise crosses the threshold on a side; the end of the range if it does not.

    points : by rising place
    """
    own = [p for p in points if (p.x - best) * side >= 0 and np.isfinite(p.rise)][::side]
    for inner, outer in pairwise(own):
        if outer.rise > threshold:
            return _crossing(inner, outer, threshold)
    return 0.0 if side < 0 else 1.0
