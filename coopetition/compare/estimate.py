"""Fitting a theory to measured curves."""

import math
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares
from scipy.stats import qmc

from coopetition.compare.curves import Curves, check_rising
from coopetition.compare.observation import ACCURACY, Seen, errors_of, seen
from coopetition.compare.result import CurveFit, Estimate, Fit
from coopetition.compare.theory import CURVES, OUTPUTS, TOY, Theory, theory_of
from coopetition.model.declaration import check_whole
from coopetition.tools.errors import UsageError, expect
from coopetition.tools.progress import ProgressReport

Array = NDArray[np.float64]

MIN_SAMPLES = 20  # a curve with fewer says little about seven parameters
MAX_SAMPLES = 1000
LARGEST = 1e6  # of a loss
AT_BOUND = 1e-3  # of the width of a search: nearer to its end is at it
WORSE = 3.0  # a residual, in a curve's deviations
TINY = 1e-6  # of the largest size of the slopes: below, a direction is not seen at all
Z90 = 1.645


def fit(
    curves: Curves,
    theory: str | Theory = TOY,
    *,
    seed: int = 0,
    n_screened: int = 2048,
    n_starts: int = 32,
    max_iterations: int = 300,
) -> Fit:
    """A theory fitted to the curves `train`, `icl`, `ciwl`, those that are there.

    `n_screened` points of a Latin hypercube over the parameters' search are tried; the best
    `n_starts` are refined by `scipy.optimize.least_squares` within its bounds, with exact slopes,
    each for at most `max_iterations` evaluations; floor and gain of each curve are solved for at
    every one (`coopetition.compare.observation`).  Each curve counts with its variance as unit.  Of
    more than 1,000 samples, 1,000 are used, evenly spread.

    Times count from the first sample.  Intervals hold 90 % where residuals are a stationary noise
    that each sample shares with its neighbours as the first autocorrelation says, each curve's by
    itself, and the theory is linear about the best point: take them for orders of magnitude.  Where
    an interval reaches a bound of the search, the curves do not tell the parameter.

    Raises
    ------
    UsageError : none of the curves is there, or one has too few samples or does not vary
    """
    expect(curves, Curves, "Curves (`read_curves` reads a run's or a file's)")
    check_whole("seed", seed, 0)
    check_whole("the number of starts", n_starts, 1)
    check_whole(f"n_screened, out of which {n_starts} are refined,", n_screened, n_starts)
    theory = theory_of(theory) if isinstance(theory, str) else theory
    problem = _Problem(_used(curves), theory)
    n = len(theory.parameters)
    places = qmc.LatinHypercube(n, rng=np.random.default_rng(seed)).random(n_screened)
    with ProgressReport("screen", n_screened, "points") as report:
        costs = np.empty(n_screened)
        for k, place in enumerate(places):
            costs[k] = np.mean(problem.residuals(place) ** 2)
            report.advance()
    ends = []
    with ProgressReport("fit", n_starts, "starts") as report:
        for place in places[np.argsort(costs)[:n_starts]]:
            end = least_squares(
                problem.residuals,
                place,
                problem.slopes,  # pyright: ignore[reportArgumentType]
                bounds=(0, 1),
                max_nfev=max_iterations,
            )
            ends.append(end)
            report.advance(note=f"best cost {min(_cost(end) for end in ends):.4g}")
    settings = {
        "seed": seed,
        "n_screened": n_screened,
        "n_starts": n_starts,
        "max_iterations": max_iterations,
        "search": {each.name: asdict(each) for each in theory.parameters},
        "source": curves.source,
        "samples": [len(curves.sequences), len(problem.curves.sequences)],
    }
    return problem.report(sorted(ends, key=_cost), settings)


def _used(curves: Curves) -> Curves:
    """The curves that are fitted, checked and not too dense."""
    check_rising(curves)
    names = tuple(name for name in CURVES if name in curves.values)
    if not names:
        raise UsageError(
            f"there are the curves {', '.join(curves.values) or 'none'}; "
            f"expected some of {', '.join(CURVES)}"
        )
    used = curves.select(names).thinned(MAX_SAMPLES)
    for name, values in used.values.items():
        n = int(np.isfinite(values).sum())
        if n < MIN_SAMPLES:
            raise UsageError(
                f"curve {name} has {n} samples here; expected at least {MIN_SAMPLES}: fit a longer "
                "part, or measure more often"
            )
        if not 0 < np.nanmax(np.abs(values - np.nanmean(values))) < LARGEST:
            raise UsageError(f"curve {name} is constant, or too large to be a loss; leave it out")
        if np.nanmin(values) < 0:
            raise UsageError(f"curve {name} has values below 0; give a loss, or an accuracy")
        if ACCURACY in curves.metric and np.nanmax(values) > 1:
            raise UsageError(f"curve {name} has accuracies above 1; give shares")
    return used


def _cost(end: OptimizeResult) -> float:
    """Mean squared residual."""
    return float(np.mean(end.fun**2))


class _Problem:
    """Residuals of the curves as a function of the parameters' places in their search."""

    def __init__(self, curves: Curves, theory: Theory) -> None:
        self.curves, self.theory = curves, theory
        first, last = curves.sequences[[0, -1]]
        self.length = float(last - first)
        self.times = (curves.sequences - first) / self.length
        self.errors = {n: errors_of(v, curves.metric) for n, v in curves.values.items()}
        self.known = {name: np.isfinite(values) for name, values in self.errors.items()}
        self.units = {n: float(np.std(y[self.known[n]])) for n, y in self.errors.items()}

    def values(self, place: Array) -> Array:
        """The parameters at a place."""
        pairs = zip(self.theory.parameters, place, strict=True)
        return np.array([float(each.from_unit(x)) for each, x in pairs])

    def seen(self, place: Array, *, slopes: bool) -> dict[str, Seen]:
        """Every curve as it is best seen at a place; slopes are by place."""
        values = self.values(place)
        if slopes:
            outputs, by_value = self.theory.curves_and_slopes(values, self.times)
            per_place = [p.slope(v) for p, v in zip(self.theory.parameters, values, strict=True)]
            by_place = by_value * per_place
        else:
            outputs = self.theory.curves(values, self.times)
            by_place = np.zeros((*outputs.shape, 0))
        return {
            name: seen(
                self.errors[name][known],
                outputs[OUTPUTS.index(name)][known],
                by_place[OUTPUTS.index(name)][known],
            )
            for name, known in self.known.items()
        }

    def residuals(self, place: Array) -> Array:
        """Residuals of all curves' samples, in units of each curve's deviation."""
        found = self.seen(place, slopes=False)
        parts = [each.residual / self.units[name] for name, each in found.items()]
        # where the theory cannot be computed it fits worse than a constant
        return np.nan_to_num(np.concatenate(parts), nan=WORSE, posinf=WORSE, neginf=-WORSE)

    def slopes(self, place: Array) -> Array:
        """Their derivatives by place (n, parameters)."""
        found = self.seen(place, slopes=True)
        parts = [each.slopes / self.units[name] for name, each in found.items()]
        return np.nan_to_num(np.concatenate(parts), nan=0.0, posinf=0.0, neginf=0.0)

    def report(self, ends: list[OptimizeResult], settings: dict[str, Any]) -> Fit:
        """The fit at the first of the ends, the best."""
        place = ends[0].x
        outputs = self.theory.curves(self.values(place), self.times)
        curves, predicted, log_likelihood, n_samples = {}, {}, 0.0, 0
        found = self.seen(place, slopes=True)
        for name, best in found.items():
            y, n = self.errors[name][self.known[name]], len(best.residual)
            of_all = best.floor + best.gain * outputs[OUTPUTS.index(name)]
            predicted[name] = errors_of(of_all, self.curves.metric)
            squares = float(best.residual @ best.residual)
            r2 = 1 - squares / float(np.sum((y - y.mean()) ** 2))
            shared = autocorrelation(best.residual)
            curves[name] = CurveFit(best.floor, best.gain, r2, math.sqrt(squares / n), n, shared)
            new = squares / n * (1 - shared**2) / self.units[name] ** 2  # of each sample, by itself
            log_likelihood -= n / 2 * math.log(max(new, 1e-300)) - math.log(1 - shared**2) / 2
            n_samples += n
        k = len(self.theory.parameters) + 2 * len(curves)
        spare = n_samples - k - 1
        aicc = -2 * log_likelihood + 2 * k * (1 + (k + 1) / spare) if spare > 0 else None
        error = self._computing_error(place, outputs)
        return Fit(
            self.theory.name,
            self._estimates(place, found, curves),
            curves,
            tuple(map(_cost, ends)),
            bool(ends[0].status > 0),
            -2 * log_likelihood + k * math.log(n_samples),
            aicc,
            error,
            self.curves.sequences,
            self.curves.values,
            predicted,
            settings
            | {"versions": {name: version(name) for name in ("coopetition", "numpy", "scipy")}},
        )

    def _computing_error(self, place: Array, outputs: Array) -> float:
        """How far finer steps change a curve, relative to its range; 0 where there are no steps."""
        finer = self.theory.finer().curves(self.values(place), self.times)
        rows = [OUTPUTS.index(name) for name in self.errors]
        ranges = np.ptp(finer[rows], axis=1)
        off = np.ptp(finer[rows] - outputs[rows], axis=1)
        return float(np.max(np.divide(off, ranges, out=off.copy(), where=ranges > 0)))

    def _estimates(
        self, place: Array, seen_there: dict[str, Seen], curves: dict[str, CurveFit]
    ) -> dict[str, Estimate]:
        """Values with 90 % intervals, in sequences where time is in a parameter's unit.

        From the slopes of the residuals, each curve's in units of its own residuals' deviation and
        counted as so many samples as are independent.  A direction that the slopes do not see at
        all leaves its parameters open.
        """
        parts = []
        for name, each in seen_there.items():
            shared = curves[name].autocorrelation
            weight = math.sqrt((1 - shared) / (1 + shared)) / max(curves[name].rmse, 1e-12)
            parts.append(each.slopes * weight)
        slopes = np.nan_to_num(np.concatenate(parts))
        sizes, directions = np.linalg.eigh(slopes.T @ slopes)
        told = sizes > TINY**2 * sizes[-1]
        deviation = np.sqrt((directions[:, told] ** 2 / sizes[told]).sum(1))
        deviation[np.abs(directions[:, ~told]).max(1, initial=0.0) > TINY] = np.inf
        found = {}
        for each, x, spread in zip(self.theory.parameters, place, deviation, strict=True):
            low, high = max(x - Z90 * spread, 0.0), min(x + Z90 * spread, 1.0)
            in_sequences = self.length**-each.per_time
            ends = sorted(float(each.from_unit(end)) * in_sequences for end in (low, high))
            status = "ok"
            if low <= 0 or high >= 1:
                status = "open"
            if not AT_BOUND < x < 1 - AT_BOUND:
                status = "at bound"
            value = float(each.from_unit(x)) * in_sequences
            found[each.name] = Estimate(value, ends[0], ends[1], status)
        return found


def autocorrelation(residual: Array) -> float:
    """The share that neighbours share, from 0 to 0.99: the first autocorrelation."""
    centred = residual - residual.mean()
    power = centred @ centred
    if power <= 0:
        return 0.0
    return float(np.clip(centred[1:] @ centred[:-1] / power, 0.0, 0.99))
