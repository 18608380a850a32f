"""Do fits find what made curves?  Coverage, selection and foreseen values over many problems.

    python -m tests.benchmarks.recovery [PROBLEMS]

100 problems of each theory take about an hour of one core.  What is made: `random_values` from the
middle half of the search, 100 samples, noise of 2 % of a curve's deviation, of which neighbours
share one half.
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
MARGIN = 1.5  # of the time of emergence, until which a run is known


def told_coverage(name: str, n_problems: int) -> tuple[float, int]:
    """Coverage by profiles of what is called identifiable, over all parameters, and how many."""
    found = recover(name, n_problems=n_problems, n_screened=1024, n_starts=16)
    held = [
        told.low <= truth[parameter] <= told.high
        for each, truth in zip(found.fits, found.truths, strict=True)
        for parameter, told in profiled(each)[0].parameters.items()
        if told.status == "identifiable"
    ]
    return float(np.mean(held)), len(held)


def share_named(name: str, n_problems: int) -> float:
    """How often the theory that made the curves has the lowest BIC of `THEORIES`."""
    right = 0
    for k in range(n_problems):
        values = random_values(theory_of(name), np.random.default_rng([1, k]))
        made = simulate(name, values, seed=k)
        found = compare_theories(made, THEORIES, n_screened=512, n_starts=8, seed=k)
        right += found.fits[0].theory == name
    return right / n_problems


def narrowed(theory: Theory, stretch: float) -> Theory:
    """The theory searched only where `random_values` draws from; so its prior is what made curves.

    stretch : the part of the run that is known, in which times of its search are then told
    """
    parameters = []
    for each in theory.parameters:
        low, high = (float(each.from_unit(end)) * stretch**each.per_time for end in MIDDLE)
        parameters.append(replace(each, lower=low, upper=high))
    return replace(theory, parameters=tuple(parameters))


def foreseen_ranks(name: str, n_problems: int) -> list[float]:
    """Where the truth of ICL's last value ranks among draws that know of its emergence.

    Known is the run until `MARGIN` times the time at which ICL's error has fallen half its way.
    """
    theory, ranks, k = theory_of(name), [], 0
    while len(ranks) < n_problems:
        k += 1
        values = random_values(theory, np.random.default_rng([2, k]))
        truth = simulate(theory, values, noise=1e-12)
        icl = truth.values["icl"]
        until = MARGIN * truth.sequences[np.argmax(icl < (icl[0] + icl.min()) / 2)]
        if not 0.1 * LENGTH < until < 0.8 * LENGTH:
            continue  # too little is known, or nothing is left to be foreseen
        known = simulate(theory, values, n=200, seed=k).between(last=until)
        own = narrowed(theory, until / LENGTH)
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
        coverage, intervals = told_coverage(name, n)
        print(f"{name}: coverage {coverage:.3f} of {intervals} identifiable", flush=True)
    for name in THEORIES:
        print(f"{name}: named in {share_named(name, n):.2f}", flush=True)
    ranks = foreseen_ranks(TOY, n)
    within = np.mean([0.05 <= rank <= 0.95 for rank in ranks])
    found = kstest(ranks, "uniform")
    print(f"foreseen by the toy: within nine in ten {within:.2f}, uniform p {found.pvalue:.2g}")


if __name__ == "__main__":
    main()
