"""Rank true values among posterior draws and forecast paths, on simulated curves.

    python -m tests.benchmarks.ranks [PROBLEMS] [THEORY ...]

The ranks are uniform if posteriors and forecasts are calibrated; `python -m paper_figures
comparison 3` draws them with simultaneous bands.  The default is 200 problems of each theory of
`recovery`.  A problem is written when it is done, and skipped if it is in the table: to continue
after an interruption, run the same command again.

The true parameters are drawn from the search of the fit (`narrow_search`), the middle half of the
usual one.  A run has 100 samples, and is known until `MARGIN` times the time at which ICL's error
has fallen halfway.  Ranked are the parameters, the times of events among those of the paths, and
ICL's true error at the end.  Ranks of equal values are drawn at random.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from coopetition.compare.estimate import fit
from coopetition.compare.forecast import errors_at, forecast
from coopetition.compare.posterior import sample_posterior
from coopetition.compare.simulation import LENGTH, simulate
from coopetition.compare.theory import Theory, theory_of
from coopetition.dynamics.events import FORECAST_EVENTS, find_forecast_events
from coopetition.tools.console import ProgressReport, print_written
from coopetition.tools.files import to_csv, write_text
from paper_figures.core.kept_data import read_rows
from paper_figures.studies.comparison.figure_3_calibration import RANKS
from tests.benchmarks.recovery import MARGIN, THEORIES, narrow_search, random_values

N_PROBLEMS = 200
KNOWN = (0.1, 0.8)  # part of the run: too little is known, or nothing is left to forecast


def draw_problem(theory: Theory, k: int) -> tuple[dict[str, float], float]:
    """Return true parameters, and the end of the known part, of the k-th problem."""
    rng = np.random.default_rng([2, k])
    while True:
        values = random_values(theory, rng)
        truth = simulate(theory, values, noise=1e-12)
        icl = truth.values["icl"]
        until = MARGIN * float(truth.sequences[np.argmax(icl < (icl[0] + icl.min()) / 2)])
        if KNOWN[0] * LENGTH < until < KNOWN[1] * LENGTH:
            return values, until


def rank(sample: Any, value: float, rng: np.random.Generator) -> float:
    """Return the share of a sample below a value, with ties broken at random."""
    sample = np.asarray(sample)
    return float(np.mean(sample < value) + rng.random() * np.mean(sample == value))


def ranks_of(theory: Theory, k: int) -> Iterator[tuple[str, float]]:
    """Yield the ranks of the k-th problem by quantity."""
    rng = np.random.default_rng([3, k])
    values, until = draw_problem(theory, k)
    run = simulate(theory, values, seed=k)
    own = narrow_search(theory, until / LENGTH)
    posterior = sample_posterior(fit(run.between(last=until), own, seed=k), seed=k)
    problem = posterior.fit.problem
    for free, draws in zip(problem.free, posterior.thetas.T, strict=True):
        true = values[free.name] / problem.in_sequences(free.parameter)
        yield free.name, rank(draws, free.parameter.to_unit(true), rng)
    found = forecast(posterior, LENGTH, future=run.sequences, seed=k)
    by_length = np.array([values[p.name] * LENGTH**p.per_time for p in theory.parameters])
    preference = theory.curves(by_length, run.sequences / LENGTH)[-1]
    measured = find_forecast_events(run.sequences, run.values | {"preference": preference})
    for event in FORECAST_EVENTS:
        time = measured[event]
        yield event, rank(found.times[event], np.inf if time is None else time, rng)
    ends = np.array([0.0, LENGTH])
    icl = [
        errors_at(problem, theta, {n: rows[i] for n, rows in posterior.levels.items()}, ends)["icl"]
        for i, theta in enumerate(posterior.thetas)
    ]
    truth = simulate(theory, values, noise=1e-12).values["icl"][-1]
    yield "icl at the end", rank([each[-1] for each in icl], truth, rng)


def main(arguments: list[str]) -> None:
    """Complete the table of ranks."""
    n = int(arguments[0]) if arguments else N_PROBLEMS
    problems = [(name, str(k)) for k in range(n) for name in arguments[1:] or THEORIES]
    with ProgressReport("rank", len(problems), "problems") as report:
        for name, k in problems:
            known = read_rows(RANKS, needed="rank") if RANKS.exists() else []
            if not any((row["theory"], row["problem"]) == (name, k) for row in known):
                rows = [
                    {"theory": name, "problem": k, "quantity": quantity, "rank": f"{each:.4f}"}
                    for quantity, each in ranks_of(theory_of(name), int(k))
                ]
                write_text(RANKS, to_csv([*known, *rows]))
            report.advance(note=f"{name} {k}")
    print_written(RANKS)


if __name__ == "__main__":
    main(sys.argv[1:])
