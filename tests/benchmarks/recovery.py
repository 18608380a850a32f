"""Do fits find what made curves?  Coverage, selection and foreseen values over many problems.

    python -m tests.benchmarks.recovery [PROBLEMS]

100 problems of each theory take about an hour of one core.  What is made: `drawn_values` from the
middle half of the search, 100 samples, noise of 2 % of a curve's deviation, of which neighbours
share one half.
"""

import sys

import numpy as np
from scipy.stats import kstest

from coopetition.compare.draws import draws
from coopetition.compare.estimate import fit
from coopetition.compare.forecast import errors_at
from coopetition.compare.profile import profiled
from coopetition.compare.recovery import LENGTH, drawn_values, recover, simulate
from coopetition.compare.selection import compare
from coopetition.compare.theory import TOY, theory_of

THEORIES = (TOY, "logistic_race", "bayesian_mixture", "subcircuits", "spline")
KNOWN = 0.6  # of a run, of which the rest is foreseen


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
        values = drawn_values(theory_of(name), np.random.default_rng([1, k]))
        made = simulate(name, values, seed=k)
        found = compare(made, THEORIES, n_screened=512, n_starts=8, seed=k)
        right += found.fits[0].theory == name
    return right / n_problems


def foreseen_ranks(name: str, n_problems: int) -> list[float]:
    """Where the truth of ICL's last value ranks among draws that know a part of the run."""
    ranks = []
    for k in range(n_problems):
        values = drawn_values(theory_of(name), np.random.default_rng([2, k]))
        truth = simulate(name, values, noise=1e-12).values["icl"][-1]
        known = simulate(name, values, seed=k).between(last=KNOWN * LENGTH)
        drawn = draws(fit(known, name, n_screened=512, n_starts=8, seed=k), n=50, seed=k)
        ends = []
        for i, place in enumerate(drawn.places):
            levels = {curve: rows[i] for curve, rows in drawn.levels.items()}
            at = errors_at(drawn.fit.problem, place, levels, np.array([0.0, LENGTH]))
            ends.append(at["icl"][-1])
        ranks.append(float(np.mean(np.array(ends) < truth)))
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
