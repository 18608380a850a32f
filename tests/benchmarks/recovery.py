"""Test fits on curves with known parameters: coverage, choice by BIC, calibration of forecasts.

    python -m tests.benchmarks.recovery [PROBLEMS]

100 problems of each theory take about an hour of one core.  The parameters are `random_values` from
the middle half of the search.  A curve has 100 samples; the noise is 2 % of the curve's standard
deviation, with a correlation of one half between neighbours.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import kstest

from coopetition.compare.curves import FITTED_CURVES
from coopetition.compare.estimate import fit
from coopetition.compare.forecast import errors_at
from coopetition.compare.intervals import profiled
from coopetition.compare.posterior import sample_posterior
from coopetition.compare.result import Fit
from coopetition.compare.selection import compare_theories
from coopetition.compare.simulation import FLOOR, GAIN, LENGTH, simulate
from coopetition.compare.theory import TOY, Theory, theory_of

THEORIES = (TOY, "logistic_race", "bayesian_mixture", "subcircuits", "spline")
MIDDLE = (0.25, 0.75)  # part of a search from which parameters are drawn
MIN_RANGE = 0.1  # of a curve of error
MARGIN = 1.5  # times the time at which ICL's error has fallen halfway: end of the known part


def random_values(theory: Theory, rng: np.random.Generator) -> dict[str, float]:
    """Return parameters from the middle of their search, in sequences, whose curves all vary."""
    times = np.linspace(0, 1, 50)
    for _ in range(1000):
        x = rng.uniform(*MIDDLE, len(theory.parameters))
        values = [float(p.from_unit(each)) for p, each in zip(theory.parameters, x, strict=True)]
        rows = theory.curves(np.array(values), times)[: len(FITTED_CURVES)]
        varies = np.isfinite(rows).all() and (np.ptp(rows, axis=1) > MIN_RANGE).all()
        if varies and FLOOR + GAIN * rows.min() > 0:  # no curve is cut off at 0
            pairs = zip(theory.parameters, values, strict=True)
            return {p.name: value * LENGTH**-p.per_time for p, value in pairs}
    raise ValueError(
        f"no parameters of {theory.name} in the middle of their search vary its curves"
    )


def recover(name: str, n_problems: int, **settings: Any) -> Iterator[tuple[dict[str, float], Fit]]:
    """Yield the true parameters and the fit of each problem; settings are those of `fit`."""
    for k in range(n_problems):
        rng = np.random.default_rng([0, k])
        truth = random_values(theory_of(name), rng)
        curves = simulate(name, truth, seed=int(rng.integers(2**32)))
        yield truth, fit(curves, name, seed=k, **settings)


def measure_coverage(name: str, n_problems: int) -> tuple[float, int]:
    """Return the coverage of identifiable parameters' profile intervals, and their number."""
    covered = [
        each.low <= truth[parameter] <= each.high
        for truth, found in recover(name, n_problems, n_screened=1024, n_starts=16)
        for parameter, each in profiled(found)[0].parameters.items()
        if each.status == "identifiable"
    ]
    return float(np.mean(covered)), len(covered)


def share_chosen(name: str, n_problems: int) -> float:
    """Return how often the theory that made the curves has the lowest BIC of `THEORIES`."""
    right = 0
    for k in range(n_problems):
        values = random_values(theory_of(name), np.random.default_rng([1, k]))
        made = simulate(name, values, seed=k)
        found = compare_theories(made, THEORIES, n_screened=512, n_starts=8, seed=k)
        right += found.fits[0].theory == name
    return right / n_problems


def narrow_search(theory: Theory, stretch: float) -> Theory:
    """Return the theory with the range of `random_values` as search: its prior is then the truth's.

    stretch : the known part of the run, the unit of times in its search
    """
    parameters = []
    for each in theory.parameters:
        low, high = (float(each.from_unit(end)) * stretch**each.per_time for end in MIDDLE)
        parameters.append(replace(each, lower=low, upper=high))
    return replace(theory, parameters=tuple(parameters))


def rank_forecasts(name: str, n_problems: int) -> list[float]:
    """Return the rank of ICL's true last value among posterior samples, for each problem.

    The run is known until `MARGIN` times the time at which ICL's error has fallen halfway.
    """
    theory, ranks, k = theory_of(name), [], 0
    while len(ranks) < n_problems:
        k += 1
        values = random_values(theory, np.random.default_rng([2, k]))
        truth = simulate(theory, values, noise=1e-12)
        icl = truth.values["icl"]
        until = MARGIN * truth.sequences[np.argmax(icl < (icl[0] + icl.min()) / 2)]
        if not 0.1 * LENGTH < until < 0.8 * LENGTH:
            continue  # too little is known, or nothing is left to forecast
        known = simulate(theory, values, n=200, seed=k).between(last=until)
        own = narrow_search(theory, until / LENGTH)
        drawn = sample_posterior(fit(known, own, n_screened=512, n_starts=8, seed=k), n=200, seed=k)
        ends = []
        for i, place in enumerate(drawn.thetas):
            levels = {curve: rows[i] for curve, rows in drawn.levels.items()}
            at = errors_at(drawn.fit.problem, place, levels, np.array([0.0, LENGTH]))
            ends.append(at["icl"][-1])
        ranks.append(float(np.mean(np.array(ends) < icl[-1])))
    return ranks


def main() -> None:
    """Print all three."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for name in THEORIES:
        coverage, n_intervals = measure_coverage(name, n)
        print(f"{name}: coverage {coverage:.3f} of {n_intervals} identifiable", flush=True)
    for name in THEORIES:
        print(f"{name}: chosen by BIC in {share_chosen(name, n):.2f}", flush=True)
    ranks = rank_forecasts(TOY, n)
    coverage = np.mean([0.05 <= rank <= 0.95 for rank in ranks])
    found = kstest(ranks, "uniform")
    print(f"forecasts of the toy: coverage {coverage:.2f}, uniform ranks p {found.pvalue:.2g}")


if __name__ == "__main__":
    main()
