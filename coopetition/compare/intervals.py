"""How surely curves are measured: from the size of an evaluation, from seeds, or from a figure.

What a fit makes of it: samples that are known badly count less (`problem`).

How much worse the fit gets as one parameter is held elsewhere, or two: profiles and contours.

All others are fitted anew at every point, from the point beside it, by least squares with exact
slopes.  (General minimisers, as iminuit's, stop early in the long flat valleys of these problems,
and what looks like a rise is then theirs.)  Told is the rise

    (N - k) (cost / least cost - 1)

with N the samples that count and k the numbers chosen; where it stays below the square of
Student's t for N - k, the curves allow the value.  The others may end at an end of their search:
then the rise is that of the search, and the point's status is `at limit`, even if all else is well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import least_squares_in_search
from coopetition.compare.identifiability import deviations
from coopetition.compare.least_squares import ACCURACY, Free
from coopetition.compare.result import UNFINISHED, Estimate, Fit, estimate_of, told_by
from coopetition.tools.checks import check_int, check_number
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import to_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


def with_binomial_errors(curves: Curves, n_sequences: int) -> Curves:
    """Accuracies with the deviation of a share of so many sequences, p (1 - p) / n.

    p is (right + 1/2) / (n + 1), so that no share is known without error.  Sequences are taken to
    be drawn anew for each evaluation; where they are the same ones, as in the trainer, a curve is
    shifted as a whole by some of this, which floor and gain take up.
    """
    check_int("the sequences of an evaluation", n_sequences, 1)
    if ACCURACY not in curves.metric:
        raise UsageError(
            f"errors by sequences are of accuracies; the curves are of {curves.metric}"
        )
    errors = {}
    for name, values in curves.values.items():
        p = (values * n_sequences + 0.5) / (n_sequences + 1)
        errors[name] = np.sqrt(p * (1 - p) / n_sequences)
    return replace(curves, errors=errors)


def with_reading_error(curves: Curves, deviation: float) -> Curves:
    """Curves read off a figure, each sample with one deviation, in the curve's unit."""
    check_number("the reading error", deviation, positive=True)
    errors = {name: np.full(len(v), float(deviation)) for name, v in curves.values.items()}
    return replace(curves, errors=errors)


def mean_of_seeds(runs: Sequence[Curves]) -> Curves:
    """The mean of runs that were measured at the same sequences, with its standard error.

    Of seeds whose events come at different times the mean is washed out: then fit the runs, with
    some parameters shared.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run is given; a mean over seeds wants two or more")
    first = runs[0]
    for run in runs[1:]:
        if not np.array_equal(run.sequences, first.sequences) or run.metric != first.metric:
            raise UsageError(
                f"{run.source} was not measured at the same sequences as {first.source}"
            )
    names = [name for name in first.values if all(name in run.values for run in runs)]
    every = {name: np.stack([run.values[name] for run in runs]) for name in names}
    return Curves(
        first.sequences,
        {name: rows.mean(0) for name, rows in every.items()},
        f"mean of {len(runs)} runs, {first.metric}",
        first.metric,
        {name: rows.std(0, ddof=1) / np.sqrt(len(runs)) for name, rows in every.items()},
    )


Array = NDArray[np.float64]

VALID, AT_LIMIT, FAILED = "valid", "at limit", "failed"
BEYOND = 2.5  # of the first-order interval's half width: how far a contour looks
NEAR = 1e-3  # of the search: nearer to an end is at it
LEAST_REACH = 0.02  # of the search, of a contour
STEPS = 1e-4, 0.05  # of the search: the first step of a profile, at least and at most
GROWTH = 2.0  # of the steps outwards
BETTER = 0.05  # of the threshold: as far below the fit, a point is better
CLOSE = 0.1  # to the threshold, relative: there a side ends
MAX_ITERATIONS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The rise along one parameter.

    values : (n,) of the parameter, in sequences where its unit has time, rising
    rise : (n,) see the module; NaN where the minimiser failed
    statuses : of each point: `valid`, `at limit`, `failed`
    threshold : the rise at which 9 of 10 are left
    estimate : value, and the interval where the rise is below the threshold
    """

    parameter: str
    values: Array
    rise: Array
    statuses: tuple[str, ...]
    threshold: float
    estimate: Estimate

    def to_frame(self) -> "DataFrame":
        """A row a point: `value`, `rise`, `status`."""
        return to_frame({"value": self.values, "rise": self.rise, "status": [*self.statuses]})

    def __repr__(self) -> str:
        e = self.estimate
        return f"<Profile of {self.parameter}: {e.low:.4g} to {e.high:.4g}, {e.status}>"

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The rise, its threshold, and points at a limit; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_profile

        return plot_profile(self, ax=ax)


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """The rise along two parameters.

    values : of each parameter (n,), by name
    rise : (n, n), rows along the first; NaN where the minimiser failed
    at_limit : (n, n) whether another parameter was at an end of its search
    """

    values: dict[str, Array]
    rise: Array
    at_limit: NDArray[np.bool_]
    threshold: float

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Lines of equal rise; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_contour

        return plot_contour(self, ax=ax)


def profile(fit: Fit, parameter: str, *, n: int = 6) -> Profile:
    """The profile of a free parameter, with at most `n` points to close in on each end of 9 in 10.

    If a point is better than the fit, this was not the best: the status is `not converged`.
    """
    check_int("the number of points", n, 1)
    k, free = _index(fit, parameter)
    x, threshold = float(fit.place[k]), fit.threshold
    with ProgressReport(f"profile {parameter}", 2, "sides") as report:
        points: list[tuple[float, float, str]] = [(x, 0.0, VALID)]
        for side in (-1, 1):
            points += _side(fit, k, side, n, threshold)
            report.advance()
    points.sort()
    places, rise, statuses = zip(*points, strict=True)
    places, rise = np.array(places), np.array(rise)
    low, high = _interval(places, rise, x, threshold)
    # beyond a rise there may be another valley, as low
    low, high = min(low, fit.valleys[:, k].min()), max(high, fit.valleys[:, k].max())
    better = rise[np.isfinite(rise)].min() < -BETTER * threshold
    told = UNFINISHED if better else told_by(fit, parameter, low, high)
    values = np.asarray(free.parameter.from_unit(places)) * fit.problem.in_sequences(free.parameter)
    order = np.argsort(values)
    return Profile(
        parameter,
        values[order],
        rise[order],
        tuple(statuses[i] for i in order),
        threshold,
        estimate_of(fit.problem, parameter, x, low, high, told),
    )


def profiled(fit: Fit) -> tuple[Fit, dict[str, Profile]]:
    """The fit with the intervals of profiles in place of those to first order, and the profiles."""
    profiles = {free.name: profile(fit, free.name) for free in fit.problem.free}
    found = {name: each.estimate for name, each in profiles.items()}
    return replace(fit, parameters=fit.parameters | found), profiles


def contour(fit: Fit, first: str, second: str, *, n: int = 15) -> Contour:
    """The rise at n x n points of two free parameters, over their first-order intervals."""
    check_int("the number of points", n, 3)
    if first == second:
        raise UsageError(f"a contour is of two parameters; both are {first}")
    chosen = [_index(fit, name) for name in (first, second)]
    places, values = [], {}
    for k, free in chosen:
        reach = BEYOND * max(_first_order_reach(fit, k), LEAST_REACH)
        x = float(fit.place[k])
        places.append(np.linspace(max(x - reach, 0.0), min(x + reach, 1.0), n))
        own = np.asarray(free.parameter.from_unit(places[-1]))
        values[free.name] = own * fit.problem.in_sequences(free.parameter)
    rise, at_limit = np.empty((n, n)), np.empty((n, n), bool)
    with ProgressReport("contour", n * n, "points") as report:
        for i, x in enumerate(places[0]):
            start = fit.place
            # to and fro, so that every point is beside the one before
            for j in range(n) if i % 2 == 0 else range(n)[::-1]:
                held = {chosen[0][0]: x, chosen[1][0]: places[1][j]}
                rise[i, j], found, start = _held(fit, held, start)
                at_limit[i, j] = found == AT_LIMIT
                report.advance()
    return Contour(values, rise, at_limit, fit.threshold)


def _index(fit: Fit, parameter: str) -> tuple[int, Free]:
    names = [free.name for free in fit.problem.free]
    if parameter not in names:
        raise UsageError(f"{parameter!r} is not free in this fit; choose one of {', '.join(names)}")
    k = names.index(parameter)
    return k, fit.problem.free[k]


def _first_order_reach(fit: Fit, k: int) -> float:
    spread = deviations(fit.directions, [free.name for free in fit.problem.free])
    return min(float(spread[k]) * fit.threshold**0.5, 1.0)


def _side(fit: Fit, k: int, side: int, n: int, threshold: float) -> list[tuple[float, float, str]]:
    """Points on one side of the best fit: outwards in steps that grow, then about the crossing."""
    best, last = float(fit.place[k]), 0.0 if side < 0 else 1.0
    found: list[tuple[float, float, str]] = []
    if abs(last - best) < NEAR:
        return found
    step = float(np.clip(_first_order_reach(fit, k), *STEPS))
    inner, start = (best, 0.0, fit.place), fit.place
    while True:
        x = max(best - step, last) if side < 0 else min(best + step, last)
        rise, told, place = _held(fit, {k: x}, start)
        found.append((x, rise, told))
        if rise > threshold:
            break
        if told != FAILED:
            inner = x, max(rise, 0.0), place
        start, step = place, GROWTH * step
        if x == last:
            return found
    outer = x, rise
    for _ in range(n):
        # a rise is quadratic in the parameter, near enough
        x = _crossing(inner[:2], outer, threshold)
        rise, told, place = _held(fit, {k: x}, inner[2])
        found.append((x, rise, told))
        if told == FAILED or abs(rise / threshold - 1) < CLOSE:
            break
        if rise > threshold:
            outer = x, rise
        else:
            inner = x, max(rise, 0.0), place
    return found


def _crossing(inner: tuple[float, float], outer: tuple[float, float], threshold: float) -> float:
    """Where the root of the rise, linear between two points, is that of the threshold."""
    (x, low), (y, high) = inner, outer
    share = (threshold**0.5 - low**0.5) / (high**0.5 - low**0.5)
    return x + min(max(share, 0.05), 0.95) * (y - x)


def _held(fit: Fit, held: Mapping[int, float], start: Array) -> tuple[float, str, Array]:
    """Rise, status and place with some parameters held, the others fitted from a start."""
    problem, least = fit.problem, max(fit.problem.cost(fit.place), 1e-30)
    place = start.copy()
    place[[*held]] = [*held.values()]
    others = np.setdiff1d(np.arange(len(place)), [*held])

    def whole(x: Array) -> Array:
        moved = place.copy()
        moved[others] = x
        return moved

    def jacobian(x: Array) -> Array:
        return problem.slopes(whole(x))[:, others]

    found = VALID
    if len(others):
        end = least_squares_in_search(
            lambda x: problem.residuals(whole(x)),
            jacobian,
            np.clip(place[others], 1e-9, 1 - 1e-9),
            MAX_ITERATIONS,
        )
        place = whole(end.x)
        if end.status <= 0:
            return np.nan, FAILED, place
        elif ((end.x < NEAR) | (end.x > 1 - NEAR)).any():
            found = AT_LIMIT
    return fit.freedom * (problem.cost(place) / least - 1), found, place


def _interval(places: Array, rise: Array, best: float, threshold: float) -> tuple[float, float]:
    """Where the rise crosses the threshold on both sides; an end of the search if it does not."""
    ends = []
    for side in (-1, 1):
        own = ((places - best) * side >= 0) & np.isfinite(rise)
        x, y = places[own][::side], np.maximum(rise[own][::side], 0)
        above = np.flatnonzero(y > threshold)
        if len(above):
            inner, outer = ((float(x[k]), float(y[k])) for k in (above[0] - 1, above[0]))
            ends.append(_crossing(inner, outer, threshold))
        else:
            ends.append(0.0 if side < 0 else 1.0)
    return ends[0], ends[1]
