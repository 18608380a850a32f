"""Predictions of the toy for runs that are not made yet, from those of one level and ICL alone.

mu1 is ICL's irreducible error.  Between levels of within-class variation it should change as does
the error of ICL where nothing else can be learnt, and nothing else of the toy should change.  The
toy is fitted to the main runs of the `BASE` level.  mu1 times the ratio of these errors predicts
the other levels' mu1, and their times from ICL's peak to the crossing.

`python -m paper_figures.studies.within_class.predictions` writes `predictions.json` from kept runs.
It was committed before the main runs of the other levels were made.  As committed, a run in which
CIWL errs less already at ICL's peak counts as one that never crosses: docs/comparison.md has the
verdicts of that rule, and of this one, which was corrected after the runs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.tools.files import write_json
from paper_figures.core.kept_data import DATA
from paper_figures.core.runs import Array, FigureRun, by_number, kept_runs

if TYPE_CHECKING:
    from coopetition.compare.curves import Curves
    from coopetition.compare.result import Fit

BASE = 0.67
PATH = DATA / "within_class" / "predictions.json"
LAST = 5  # samples whose median is a floor
HORIZON = 9.6e5  # sequences: the length of the runs
SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Range:
    """The median, lowest and highest over seeds; None for an event not by the horizon."""

    median: float | None
    low: float | None
    high: float | None


def range_of(values: Sequence[float | None]) -> Range:
    """Return the range over seeds; a value not by the horizon counts as the largest."""
    ordered = np.sort([np.inf if value is None else value for value in values])
    median = np.quantile(ordered, 0.5, method="higher")
    return Range(*(float(x) if np.isfinite(x) else None for x in (median, ordered[0], ordered[-1])))


def floor_of(run: FigureRun) -> float:
    """Return ICL's loss (nats) at the end of a run on data that only ICL solves."""
    return float(np.median(run.curves("in_context_loss").values["icl"][-LAST:]))


def fit_runs(runs: Sequence[FigureRun]) -> list["Fit"]:
    """Fit the toy to in-context accuracies of runs, from the start."""
    from coopetition.compare.estimate import fit
    from coopetition.tools.console import ProgressReport

    fits = []
    with ProgressReport("fit", len(runs), "runs") as report:
        for run in runs:
            fits.append(fit(run.curves(), "toy"))
            report.advance()
    return fits


def gap_of(fitted: "Fit", factor: float = 1.0) -> float | None:
    """Return a fitted toy's sequences from ICL's peak to the crossing, with mu1 times a factor."""
    from coopetition.compare.forecast import errors_at

    k = [free.name for free in fitted.problem.free].index("mu1")
    mu1, theta = fitted.problem.free[k].parameter, fitted.theta.copy()
    theta[k] = mu1.to_unit(factor * float(mu1.from_unit(theta[k])))
    sequences = np.linspace(0, HORIZON, SAMPLES)
    return gap(sequences, errors_at(fitted.problem, theta, fitted.levels, sequences))


def gap(sequences: Array, errors: dict[str, Array]) -> float | None:
    """Return sequences from ICL's peak to the crossing; 0 if CIWL errs less at the peak already."""
    from coopetition.dynamics.events import find_forecast_events

    times = find_forecast_events(sequences, errors)
    if times["peak"] is None or times["crossing"] is None:
        return None
    return times["crossing"] - times["peak"]


def measured_errors(curves: "Curves") -> dict[str, Array]:
    """Return curves of accuracy as errors."""
    from coopetition.compare.curves import FITTED_CURVES
    from coopetition.compare.least_squares import to_errors

    return {name: to_errors(curves.values[name], curves.metric) for name in FITTED_CURVES}


def measured_gap(run: FigureRun) -> float | None:
    """Return a run's sequences from ICL's peak to the crossing, by its curves of accuracy."""
    curves = run.curves()
    return gap(curves.sequences, measured_errors(curves))


def predictions() -> dict[str, Any]:
    """Return what is predicted of every level, and from what."""
    alone = by_number(kept_runs("within_class/icl_only_*"))
    floors = {level: [floor_of(run) for run in runs] for level, runs in alone.items()}
    runs = kept_runs(f"within_class/main_{BASE}")
    fits = fit_runs(runs)
    mu1 = [each.parameters["mu1"] for each in fits]
    levels = {}
    for level, own in floors.items():
        ratios = [floor / base for floor, base in zip(own, floors[BASE], strict=True)]
        ratio = float(np.median(ratios))
        levels[f"{level}"] = {
            "icl_only_loss": asdict(range_of(own)),
            "ratio": asdict(range_of(ratios)),
            "mu1": asdict(range_of([ratio * each.value for each in mu1])),
            "peak_to_crossing": asdict(range_of([gap_of(each, ratio) for each in fits])),
        }
    return {
        "base": BASE,
        "base_mu1": {run.name: asdict(each) for run, each in zip(runs, mu1, strict=True)},
        "base_peak_to_crossing_measured": asdict(range_of([*map(measured_gap, runs)])),
        "levels": levels,
    }


if __name__ == "__main__":
    write_json(PATH, predictions())
    print(f"wrote {PATH}")
