"""Measure whether fits recover the parameters of simulated curves, their theory and their future.

    python -m tests.benchmarks.recovery [PROBLEMS]

100 problems of each theory take one to two hours on one core.  The true parameters lie in the
middle half of their search range.  A curve has 100 samples; the noise is 2 % of its standard
deviation, with a correlation of one half between neighbours.
"""

import sys
from dataclasses import replace

import numpy as np
from scipy.stats import kstest

from coopetition.compare.estimate import fit
from coopetition.compare.forecast import errors_at
from coopetition.compare.intervals import profiled
from coopetition.compare.posterior import sample_posterior
from coopetition.compare.recovery import LENGTH, MIDDLE, random_values, recover, simulate
from coopetition.compare.selection import compare_theories
from coopetition.compare.theory import TOY, Theory, theory_of

THEORIES = (TOY, "logistic_race", "bayesian_mixture", "subcircuits", "spline")
MARGIN = 1.5  # a run is known until this multiple of the time of emergence


def told_coverage(name: str, n_problems: int) -> tuple[float, int]:
    """Return the coverage of the intervals of identifiable parameters, and their number."""
    found = recover(name, n_problems=n_problems, n_screened=1024, n_starts=16)
    covered = [
        estimate.low <= truth[parameter] <= estimate.high
        for each, truth in zip(found.fits, found.truths, strict=True)
        for parameter, estimate in profiled(each)[0].parameters.items()
        if estimate.status == "identifiable"
    ]
    return float(np.mean(covered)), len(covered)


def share_named(name: str, n_problems: int) -> float:
    """Return how often the theory that made the curves has the lowest BIC of `THEORIES`."""
    right = 0
    for k in range(n_problems):
        values = random_values(theory_of(name), np.random.default_rng([1, k]))
        curves = simulate(name, values, seed=k)
        found = compare_theories(curves, THEORIES, n_screened=512, n_starts=8, seed=k)
        right += found.fits[0].theory == name
    return right / n_problems


def with_true_prior(theory: Theory, known: float) -> Theory:
    """Return the theory with the search ranges from which `random_values` draws.

    known : the known share of the run, in which the theory measures time
    """
    parameters = []
    for each in theory.parameters:
        low, high = (float(each.from_unit(end)) * known**each.per_time for end in MIDDLE)
        parameters.append(replace(each, lower=low, upper=high))
    return replace(theory, parameters=tuple(parameters))


def foreseen_ranks(name: str, n_problems: int) -> list[float]:
    """Return the ranks of ICL's true last values among posterior samples.

    A run is known until `MARGIN` times the time at which ICL's error has fallen halfway.
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
        own = with_true_prior(theory, until / LENGTH)
        fitted = fit(known, own, n_screened=512, n_starts=8, seed=k)
        drawn = sample_posterior(fitted, n=200, seed=k)
        ends = []
        for i, theta in enumerate(drawn.thetas):
            levels = {curve: rows[i] for curve, rows in drawn.levels.items()}
            at = errors_at(drawn.fit.problem, theta, levels, np.array([0.0, LENGTH]))
            ends.append(at["icl"][-1])
        ranks.append(float(np.mean(np.array(ends) < icl[-1])))
    return ranks


def main() -> None:
    """Print coverage, selection rate and calibration."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for name in THEORIES:
        coverage, intervals = told_coverage(name, n)
        print(f"{name}: coverage {coverage:.3f} of {intervals} identifiable", flush=True)
    for name in THEORIES:
        print(f"{name}: chosen by BIC in {share_named(name, n):.2f}", flush=True)
    ranks = foreseen_ranks(TOY, n)
    within = np.mean([0.05 <= rank <= 0.95 for rank in ranks])
    found = kstest(ranks, "uniform")
    print(f"forecasts of the toy: coverage {within:.2f} of 90 % intervals, p {found.pvalue:.2g}")


if __name__ == "__main__":
    main()
