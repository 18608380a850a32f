"""Fits: the maximum of the likelihood over the curves of one run, or of several at once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from coopetition.fitting.curves import METRICS, Curves, check_rising
from coopetition.fitting.identifiability import (
    FIXED,
    NOT_CONVERGED,
    UNIDENTIFIABLE,
    find_directions,
    standard_deviations,
    status_of,
)
from coopetition.fitting.noise import effective_sample_size
from coopetition.fitting.observation import ACCURACY, Observed, to_errors
from coopetition.fitting.optimum import Optimum, by_deviance, refine, refine_with_gains
from coopetition.fitting.problem import FitProblem
from coopetition.fitting.registry import TOY, theory_of
from coopetition.fitting.restricted import linearise, restricted_noise, whitened_jacobian
from coopetition.fitting.result import (
    CurveFit,
    Estimate,
    Fit,
    make_estimate,
    quantile_and_threshold,
)
from coopetition.fitting.theory import Theory
from coopetition.tools.checks import check_int
from coopetition.tools.console import ProgressReport, add_progress_switch, map_in_processes
from coopetition.tools.errors import UsageError, abbreviate, check_type
from coopetition.tools.versions import package_version

Array = NDArray[np.float64]

MIN_SAMPLES = 8  # of a curve
MAX_SAMPLES = 1000
MAX_LOSS = 1e6
MIN_VARIATION = 1e-9  # of a curve, relative and absolute
READOUT_METRIC = "in_context_accuracy"
UNUSABLE_ERROR = 0.1  # of integration, relative to a curve's range


@add_progress_switch
def fit(
    curves: Curves | Sequence[Curves],
    theory: str | Theory = TOY,
    *,
    shared: str | Sequence[str] = (),
    fixed: Mapping[str, float | str] | None = None,
    seed: int = 0,
    n_screened: int = 2048,
    n_starts: int = 32,
    max_iterations: int = 300,
    n_jobs: int = 1,
    progress: bool = True,
) -> Fit:
    """Fit a theory to the curves `train`, `icl`, `ciwl`, or to those that were measured.

    The fit maximises the likelihood over the theory's parameters and, for each curve, floor, gain,
    standard deviation and correlation of the noise.  A measured curve is floor + gain x the
    theory's error + noise; neither floor nor gain is negative.

    The readout of a theory, as `toy_readout`, is fitted to in-context accuracies, `flip` included.
    It has no floors and gains, and the curves of a run have one noise (`fitting.readout`).

    The likelihood is first evaluated at `n_screened` points of a Latin hypercube over the search
    range of the parameters (screening).  From the best `n_starts` of them, least squares look for
    the nearest maximum, each with at most `max_iterations` evaluations.  If a run has more than
    1,000 samples of a curve, 1,000 are used, evenly spread.

    Times count from a run's first sample.  Intervals are of first order, and extended to the optima
    of all starts that fit as well; docs/comparison.md has their coverage.  `profiled` computes them
    by profile likelihood, and `sample_posterior` from the posterior.

    Parameters
    ----------
    curves : of one run, or of several, which are fitted at once
    shared : parameters that the runs have in common; each run has its own value of the others
    fixed : value of a parameter, or the name of another one that it equals
    n_jobs : processes for the starts; the result does not depend on it
    progress : whether to show progress; see also `show_progress`

    Raises
    ------
    UsageError : none of these curves was measured, or one has too few samples or does not vary
    """
    runs: list[Curves] = [*curves] if isinstance(curves, list | tuple) else [curves]  # pyright: ignore[reportAssignmentType]
    if not runs:
        raise UsageError("no curves are given")
    for run in runs:
        check_type(run, Curves, "Curves (`read_curves` reads a run's or a file's)")
    seed = check_int("seed", seed, 0)
    n_screened = check_int("the number of screened points", n_screened, 1)
    n_starts = check_int("the number of starts", n_starts, 1, most=n_screened)
    max_iterations = check_int("max_iterations", max_iterations, 1)
    n_jobs = check_int("n_jobs", n_jobs, 1)
    theory = theory_of(theory)
    _check_different(runs)
    used = [check_and_thin(run, theory) for run in runs]
    problem = FitProblem(used, theory, shared=shared, fixed=fixed)
    _check_enough(problem)
    starts = _screen(problem, n_screened, seed)[:n_starts]
    optima = _refine_all(problem, starts, max_iterations, n_jobs)
    optima, n_left_out = _leave_out_unusable(problem, optima)
    provenance = {
        "seed": seed,
        "n_screened": n_screened,
        "n_starts": n_starts,
        "max_iterations": max_iterations,
        "shared": [*problem.shared],
        "fixed": problem.fixed,
        "search": {each.name: asdict(each) for each in theory.parameters},
        "sources": [run.source for run in runs],
        "times_from": list(problem.times_from),
        "n_given": {
            label + name: int(np.isfinite(run.values[name]).sum())
            for label, run, own in zip(problem.labels, runs, used, strict=True)
            for name in own.values
        },
        "n_left_out": n_left_out,
        "unused": [[n for n in run.values if n not in theory.fitted_curves] for run in runs],
        "versions": {name: package_version(name) for name in ("coopetition", "numpy", "scipy")},
    }
    best = optima[0]
    # to the last digits, if the iterations suffice
    polished = refine(
        problem.with_noise(best.noise), best.theta, max_iterations, small=1e-6, tolerance=1e-9
    )
    if polished.deviance <= best.deviance:
        optima[0] = replace(polished, converged=best.converged)
    return _build_fit(problem.with_noise(optima[0].noise), optima, provenance)


def _check_different(runs: Sequence[Curves]) -> None:
    """Raise `UsageError` if two runs have the same curves: they would count as two."""
    for k, run in enumerate(runs):
        for other in runs[:k]:
            same = run.values.keys() == other.values.keys() and all(
                np.array_equal(run.values[n], other.values[n], equal_nan=True) for n in run.values
            )
            if same and np.array_equal(run.sequences, other.sequences):
                raise UsageError(f"{other.source} and {run.source} are the same curves; give one")


def check_and_thin(curves: Curves, theory: Theory) -> Curves:
    """Return the curves to fit, thinned; `UsageError` if one cannot be fitted."""
    check_rising(curves)
    names = tuple(name for name in theory.fitted_curves if name in curves.values)
    if not names:
        raise UsageError(
            f"{curves.source} has the curves {abbreviate([*curves.values], 5) or 'none'}; expected "
            f"some of {', '.join(theory.fitted_curves)}"
        )
    if curves.metric not in METRICS:
        raise UsageError(
            f"{curves.source}: metric {curves.metric!r:.40} is none of {', '.join(METRICS)}; name "
            "the one that was measured"
        )
    is_accuracy = ACCURACY in curves.metric
    if not theory.has_levels and curves.metric != READOUT_METRIC:
        raise UsageError(
            f"{curves.source} has the metric {curves.metric}; a readout describes accuracies among "
            f"two labels: give --metric {READOUT_METRIC} (Python: metric), or fit the theory "
            "without readout"
        )
    shares, losses = "shares from 0 to 1: divide percentages by 100", "losses, which are 0 or more"
    expected = f"give {shares if is_accuracy else losses}"
    used = curves.select(names).thinned(MAX_SAMPLES)
    for name, values in used.values.items():
        where = f"{curves.source}: curve {name}"
        known = values[np.isfinite(values)]
        if len(known) < MIN_SAMPLES:
            raise UsageError(
                f"{where} has {len(known)} samples here; expected at least {MIN_SAMPLES}: fit a "
                "longer part, or measure more often"
            )
        lowest, highest = float(known.min()), float(known.max())
        if lowest < 0:
            raise UsageError(f"{where} has values below 0; {expected}")
        if highest > MAX_LOSS:
            raise UsageError(f"{where} goes up to {highest:.3g}, too large to be a loss")
        if highest - lowest < MIN_VARIATION * max(highest, MIN_VARIATION):
            raise UsageError(
                f"{where} is constant ({lowest:g}) here; fit a longer part, or leave out its column"
            )
        if is_accuracy and highest > 1:
            raise UsageError(f"{where} has accuracies above 1; {expected}")
        if name in used.std:
            std = used.std[name][np.isfinite(values)]
            if not (np.isfinite(std) & (std > 0)).all():
                raise UsageError(
                    f"{where} has standard deviations that are not finite numbers above 0; give "
                    "one for each measured sample"
                )
    return used


def _check_enough(problem: FitProblem) -> None:
    """Raise `UsageError` unless there are more samples than numbers to fit."""
    n, n_curves = sum(map(len, problem.errors.values())), len(problem.errors)
    n_fitted = len(problem.free) + 2 * n_curves * problem.theory.has_levels
    if n <= n_fitted:
        levels = f", floor and gain of {n_curves} curves" if problem.theory.has_levels else ""
        raise UsageError(
            f"{n} samples are too few for {n_fitted} numbers ({len(problem.free)} parameters"
            f"{levels}); fit a longer part, or fix parameters"
        )


def _screen(problem: FitProblem, n: int, seed: int) -> Array:
    """Return thetas (n, free) spread over the search range, the best first."""
    hypercube = qmc.LatinHypercube(len(problem.free), rng=np.random.default_rng(seed))
    thetas, deviances = hypercube.random(n), np.empty(n)
    with ProgressReport("screen", n, "points") as report:
        for k, theta in enumerate(thetas):
            deviances[k] = problem.most_likely_noise(theta)[1]
            report.advance()
    return thetas[np.argsort(deviances)]


def _refine_all(
    problem: FitProblem, thetas: Array, max_iterations: int, n_jobs: int
) -> list[Optimum]:
    """Return the optimum from each theta, the best first."""
    work = partial(refine_with_gains, problem, max_iterations=max_iterations)
    optima: list[Optimum] = []
    with ProgressReport("fit", len(thetas), "starts") as report:
        for optimum in map_in_processes(work, thetas, n_jobs):
            optima.append(optimum)
            report.advance(note=f"best deviance {min(each.deviance for each in optima):.6g}")
    return sorted(optima, key=by_deviance)


def _leave_out_unusable(problem: FitProblem, optima: list[Optimum]) -> tuple[list[Optimum], int]:
    """Leave out optima at which errors of integration make the theory's curves.

    Return the others, or all if there are no others, and how many that are better are left out.
    """
    errors = (_integration_error(problem, each.theta) for each in optima)
    usable = [o for o, e in zip(optima, errors, strict=True) if e <= UNUSABLE_ERROR]
    if not usable:
        return optima, 0
    return usable, sum(each.deviance < usable[0].deviance for each in optima)


def _build_fit(problem: FitProblem, optima: Sequence[Optimum], provenance: dict[str, Any]) -> Fit:
    """Return the fit at the first of the optima, whose noise the problem has."""
    theta, starts = optima[0].theta, tuple(each.deviance for each in optima)
    names = [free.name for free in problem.free]
    observed = problem.observe(theta)
    linear = linearise(problem, theta)
    jacobian = whitened_jacobian(linear, restricted_noise(problem, linear))
    directions = find_directions(jacobian, names)
    n_identifiable = sum(math.isfinite(each.deviation) for each in directions)
    n_fitted = n_identifiable
    if problem.theory.has_levels:
        n_fitted += sum((o.floor > 0) + (o.gain > 0) for o in observed.values())
    outputs = problem.outputs(theta, problem.times)
    curves = {name: _fit_of_curve(problem, name, each, outputs) for name, each in observed.items()}
    quantile, threshold = quantile_and_threshold(
        curves.values(), n_fitted, len(problem.noise_groups)
    )
    every = np.array([each.theta for each in optima])
    accepted = every[np.array(starts) <= starts[0] + threshold]
    reaches = quantile * standard_deviations(directions, names)
    return Fit(
        problem,
        theta,
        _estimate(problem, accepted, reaches, optima[0].converged),
        curves,
        starts,
        optima[0].converged,
        n_fitted,
        directions,
        _integration_error(problem, theta),
        every,
        provenance,
    )


def _fit_of_curve(
    problem: FitProblem, name: str, observed: Observed, outputs: list[Array]
) -> CurveFit:
    k, row = problem.where[name]
    run, known, y = problem.runs[k], problem.known[name], problem.errors[name]
    fitted = observed.floor + observed.gain * outputs[k][row][known]
    squares = float(np.sum((fitted - y) ** 2))
    sigma, rho = problem.noise[name]
    return CurveFit(
        floor=observed.floor,
        gain=observed.gain,
        sigma=sigma,
        rho=rho,
        r2=1 - squares / float(np.sum((y - y.mean()) ** 2)),
        rmse=math.sqrt(squares / len(y)),
        n=len(y),
        n_effective=effective_sample_size(len(y), rho),
        sequences=run.sequences[known],
        measured=to_errors(y, run.metric),
        fitted=to_errors(fitted, run.metric),
    )


def _estimate(
    problem: FitProblem, accepted: Array, reaches: Array, converged: bool
) -> dict[str, Estimate]:
    """Return all parameters, with first-order intervals that include all accepted optima."""
    estimates = {}
    for free, ends, reach in zip(problem.free, accepted.T, reaches, strict=True):
        x = float(ends[0])
        low = max(min(x - reach, ends.min()), 0.0)
        high = min(max(x + reach, ends.max()), 1.0)
        if not converged:
            status = NOT_CONVERGED
        else:
            status = UNIDENTIFIABLE if math.isinf(reach) else status_of(x, low, high)
        estimates[free.name] = make_estimate(problem, free, x, low, high, status)
    for name, value in problem.fixed.items():
        if not isinstance(value, str):
            estimates[name] = Estimate(value, value, value, FIXED)
    return estimates


def _integration_error(problem: FitProblem, theta: Array) -> float:
    """Return the effect of finer steps, relative to a curve's range; 0 if there are no steps."""
    coarse, theory = problem.outputs(theta, problem.times), problem.theory.finer()
    errors = []
    for run, row in problem.where.values():
        finer = theory.curves(problem.values(theta)[run], problem.times[run])[row]
        difference = finer - coarse[run][row]
        # a floor absorbs what is constant
        error = np.ptp(difference) if problem.theory.has_levels else np.abs(difference).max()
        extent = np.ptp(finer)
        errors.append(error / extent if extent > 0 else error)
    return float(np.max(errors))  # NaN if one is
