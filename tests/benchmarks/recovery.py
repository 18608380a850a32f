"""Measure how well posteriors, intervals and BIC recover what made simulated curves.

    python -m tests.benchmarks.recovery --theory toy --problems 0 200 --folder recovery

appends a row for each problem to `recovery/parameters_toy.csv`: the rank of every true parameter
among the posterior samples (the share of samples below it), and whether the posterior converged.
Problems that are in the file already are left out, so the same command goes on after a stop; then
the coverage of all rows is printed.  A problem of the toy takes ten seconds to a minute of one
core.  With `--forecasts`, the ranks are those of ICL's last value in curves that are known only in
part, in `forecasts_toy.csv`.

The parameters are `random_values` from the middle half of the search, which is also the prior.  A
curve has 100 samples; the noise is 2 % of the curve's standard deviation, with a correlation of one
half between neighbours.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from coopetition.fitting.curves import FITTED_CURVES
from coopetition.fitting.estimate import fit
from coopetition.fitting.posterior import Posterior, sample_posterior
from coopetition.fitting.registry import TOY, theory_of
from coopetition.fitting.result import Fit
from coopetition.fitting.selection import compare
from coopetition.fitting.simulation import FLOOR, GAIN, LENGTH, simulate
from coopetition.fitting.theory import OUTPUTS, Theory
from paper_figures.studies.comparison.figure_3_calibration import (
    RANK,
    converged_rows,
    coverage,
)

COMPARED = (TOY, "logistic_race", "bayesian_mixture", "subcircuits", "spline")
THEORIES = (*COMPARED, "logistic_race_readout")
MIDDLE = (0.25, 0.75)  # part of a search from which parameters are drawn
MIN_RANGE = 0.1  # of a curve of error
MARGIN = 1.5  # times the time at which ICL's error has fallen halfway: end of the known part

Row = dict[str, Any]


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


def measure_coverage(problems: Iterable[tuple[dict[str, float], Fit]]) -> tuple[float, int]:
    """Return the coverage of identifiable parameters' intervals, and their number."""
    covered = [
        each.low <= truth[parameter] <= each.high
        for truth, found in problems
        for parameter, each in found.parameters.items()
        if each.status == "identifiable"
    ]
    return float(np.mean(covered)), len(covered)


def share_chosen(name: str, n_problems: int) -> float:
    """Return how often the theory that made the curves has the lowest BIC of `COMPARED`."""
    right = 0
    for k in range(n_problems):
        values = random_values(theory_of(name), np.random.default_rng([1, k]))
        made = simulate(name, values, seed=k)
        found = compare(made, COMPARED, n_screened=512, n_starts=8, seed=k)
        right += found.fits[0].theory == name
    return right / n_problems


def narrow_search(theory: Theory, stretch: float = 1.0) -> Theory:
    """Return the theory with the range of `random_values` as search: its prior is then the truth's.

    stretch : the known part of the run, the unit of times in its search
    """
    parameters = []
    for each in theory.parameters:
        low, high = (float(each.from_unit(end)) * stretch**each.per_time for end in MIDDLE)
        parameters.append(replace(each, lower=low, upper=high))
    return replace(theory, parameters=tuple(parameters))


def rank_parameters(name: str, k: int) -> Row:
    """Return the ranks of the true parameters of problem k among posterior samples."""
    theory, rng = theory_of(name), np.random.default_rng([0, k])
    truth = random_values(theory, rng)
    curves = simulate(name, truth, seed=int(rng.integers(2**32)))
    sampled = sample_posterior(fit(curves, narrow_search(theory), seed=k), seed=k)
    ranks = {}
    for free, places in zip(sampled.fit.problem.free, sampled.thetas.T, strict=True):
        values = sampled.fit.problem.value_at(free, places)
        ranks[f"{RANK}{free.name}"] = float(np.mean(values < truth[free.name]))
    return _describe(sampled) | ranks


def rank_forecast(name: str, k: int) -> Row | None:
    """Return the rank of ICL's true last value among posterior samples, for problem k.

    The run is known until `MARGIN` times the time at which ICL's error has fallen halfway.  None if
    too little is known, or nothing is left to forecast.
    """
    theory = theory_of(name)
    values = random_values(theory, np.random.default_rng([2, k]))
    truth = simulate(theory, values, noise=1e-12)
    icl = truth.values["icl"]
    until = MARGIN * truth.sequences[np.argmax(icl < (icl[0] + icl.min()) / 2)]
    if not 0.1 * LENGTH < until < 0.8 * LENGTH:
        return None
    known = simulate(theory, values, n=200, seed=k).between(last=until)
    sampled = sample_posterior(fit(known, narrow_search(theory, until / LENGTH), seed=k), seed=k)
    problem, row = sampled.fit.problem, OUTPUTS.index("icl")
    times = [problem.time(0, np.array([0.0, LENGTH]))]
    errors = np.array([problem.outputs(theta, times)[0][row, -1] for theta in sampled.thetas])
    floor, gain = sampled.levels["icl"].T
    return _describe(sampled) | {f"{RANK}icl": float(np.mean(floor + gain * errors < icl[-1]))}


def _describe(sampled: Posterior) -> Row:
    return {
        "converged": sampled.converged,
        "r_hat": sampled.r_hat,
        "effective_sample_size": sampled.effective_sample_size,
        "log_evidence": sampled.log_evidence,
    }


def extend(path: Path, problems: range, measure: Callable[[int], Row | None]) -> list[Row]:
    """Append a row for each problem that the file lacks, as it is done; return all its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {int(row["problem"]) for row in _read(path)}
    for k in problems:
        if k in done:
            continue
        started = time.process_time()
        row = measure(k)
        if row is None:
            continue
        row = {"problem": k, "cpu_s": time.process_time() - started} | row
        row = {n: f"{x:.6g}" if isinstance(x, float) else x for n, x in row.items()}
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if is_new:
                writer.writeheader()
            writer.writerow(row)
    return _read(path)


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def summarise(rows: list[Row]) -> str:
    """Return the coverage of 90 % intervals, of all posteriors and of those that converged."""
    return "\n".join(
        f"{kind}: {len(own)} problems, coverage {coverage(own):.3f}"
        for kind, own in (("all", rows), ("converged", converged_rows(rows)))
    )


def main() -> None:
    """Run the command of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--theory", choices=THEORIES, default=TOY)
    parser.add_argument("--problems", type=int, nargs=2, default=(0, 200), metavar=("A", "B"))
    parser.add_argument("--forecasts", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("recovery"))
    flags = parser.parse_args()
    kind = "forecasts" if flags.forecasts else "parameters"
    measure = rank_forecast if flags.forecasts else rank_parameters
    path = flags.folder / f"{kind}_{flags.theory}.csv"
    print(summarise(extend(path, range(*flags.problems), partial(measure, flags.theory))))


if __name__ == "__main__":
    main()
