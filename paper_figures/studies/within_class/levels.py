"""Measurements and fits at each level of within-class variation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paper_figures.coopetition.fits import measured_errors
from paper_figures.core.kept_data import DATA
from paper_figures.core.runs import Array, FigureRun

if TYPE_CHECKING:
    from coopetition.fitting.result import Fit

BASE = 0.67
PATH = DATA / "within_class" / "predictions.json"
LAST = 5  # samples whose median is a floor


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
    from coopetition.fitting.estimate import fit
    from coopetition.tools.console import ProgressReport

    fits = []
    with ProgressReport("fit", len(runs), "runs") as report:
        for run in runs:
            fits.append(fit(run.curves(), "toy"))
            report.advance()
    return fits


def gap(sequences: Array, errors: dict[str, Array]) -> float | None:
    """Return sequences from ICL's peak to the crossing; 0 if CIWL errs less at the peak already."""
    from coopetition.dynamics.events import find_forecast_events

    times = find_forecast_events(sequences, errors)
    if times["peak"] is None or times["crossing"] is None:
        return None
    return times["crossing"] - times["peak"]


def measured_gap(run: FigureRun) -> float | None:
    """Return a run's sequences from ICL's peak to the crossing, by its curves of accuracy."""
    curves = run.curves()
    return gap(curves.sequences, measured_errors(curves))
