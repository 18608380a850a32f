"""What the toy says of runs that are not made yet, from those of one level and from ICL alone.

mu1 is ICL's irreducible error.  So between levels of within-class variation it should change as the
error does that ICL is left with where nothing else can be learnt, and nothing else of the toy
should change.  From the fits of the toy to the main runs of the `BASE` level, with mu1 times the
ratio of these errors, follow the other levels' mu1 and their times from ICL's peak to the crossing.

`python -m paper_figures.within_class.predictions` writes `predictions.json` from kept runs.  It was
committed before the main runs of the other levels were made.  As committed, a run in which CIWL
errs less already when ICL is best counted as one that never crosses: docs/comparison.md has the
verdicts of that rule, and of this one, which was mended after the runs.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import fit
from coopetition.compare.forecast import errors_at, find_events
from coopetition.compare.least_squares import to_errors
from coopetition.compare.result import Fit
from coopetition.compare.theory import CURVES
from coopetition.tools.console import ProgressReport
from coopetition.tools.files import write_json
from paper_figures.core.kept_data import DATA
from paper_figures.core.runs import FigureRun, kept_runs
from transformer.experiments.within_class import LEVELS

BASE = 0.67
PATH = DATA / "within_class" / "predictions.json"
METRIC = "in_context_accuracy"
LAST = 5  # samples of which a floor is the median
HORIZON = 9.6e5  # sequences: as far as the runs go
SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Range:
    """A median over seeds, and the lowest and highest; None: not by the horizon."""

    median: float | None
    low: float | None
    high: float | None


def range_of(values: list[float | None]) -> Range:
    """Of some seeds' values, of which one that is not by the horizon counts as the largest."""
    found = np.sort([np.inf if value is None else value for value in values])
    median, low, high = (
        float(x) if np.isfinite(x) else None
        for x in (np.quantile(found, 0.5, method="higher"), found[0], found[-1])
    )
    return Range(median, low, high)


def floor_of(run: FigureRun) -> float:
    """ICL's loss (nats) at the end of a run on data that only ICL solves."""
    curves = run.curves("in_context_loss")
    return float(np.median(curves.values["icl"][-LAST:]))


def floors() -> dict[float, list[float]]:
    """Of every level, a seed each."""
    return {
        level: [floor_of(run) for run in kept_runs(f"within_class/icl_only_{level}")]
        for level in LEVELS
    }


def fit_run(run: FigureRun) -> Fit:
    """The toy fitted to a run's in-context accuracies, from the start."""
    return fit(run.curves(METRIC), "toy")


def gap_of(fitted: Fit, factor: float = 1.0) -> float | None:
    """Sequences from ICL's peak to the crossing by a fitted toy, with mu1 times a factor."""
    k = [free.name for free in fitted.problem.free].index("mu1")
    mu1, theta = fitted.problem.free[k].parameter, fitted.theta.copy()
    theta[k] = mu1.to_unit(factor * float(mu1.from_unit(theta[k])))
    sequences = np.linspace(0, HORIZON, SAMPLES)
    return gap(sequences, errors_at(fitted.problem, theta, fitted.levels, sequences))


def gap(sequences: np.ndarray, errors: dict[str, np.ndarray]) -> float | None:
    """Sequences from ICL's peak to the crossing; 0 if CIWL errs less at the peak already."""
    found = find_events(sequences, errors)
    if found["peak"] is None or found["crossing"] is None:
        return None
    return found["crossing"] - found["peak"]


def measured_errors(curves: Curves) -> dict[str, np.ndarray]:
    """Curves of accuracy as errors."""
    return {name: to_errors(curves.values[name], curves.metric) for name in CURVES}


def measured_gap(run: FigureRun) -> float | None:
    """The same of a run, by its curves of accuracy."""
    curves = run.curves(METRIC)
    return gap(curves.sequences, measured_errors(curves))


def predictions() -> dict[str, Any]:
    """What is said of every level, and what it is said from."""
    left = floors()
    runs = kept_runs(f"within_class/main_{BASE}")
    fits = []
    with ProgressReport("fit", len(runs), "runs") as report:
        for run in runs:
            fits.append(fit_run(run))
            report.advance()
    mu1 = [each.parameters["mu1"].value for each in fits]
    levels = {}
    for level in LEVELS:
        ratios = [own / base for own, base in zip(left[level], left[BASE], strict=True)]
        ratio = float(np.median(ratios))
        levels[f"{level}"] = {
            "icl_only_loss": asdict(range_of([*left[level]])),
            "ratio": asdict(range_of([*ratios])),
            "mu1": asdict(range_of([ratio * each for each in mu1])),
            "peak_to_crossing": asdict(range_of([gap_of(each, ratio) for each in fits])),
        }
    return {
        "base": BASE,
        "base_mu1": {
            run.name: asdict(f.parameters["mu1"]) for run, f in zip(runs, fits, strict=True)
        },
        "base_peak_to_crossing_measured": asdict(range_of([*map(measured_gap, runs)])),
        "levels": levels,
    }


if __name__ == "__main__":
    write_json(PATH, predictions())
    print(f"wrote {PATH}")
