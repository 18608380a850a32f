"""Figure 5: the minimal model, the transformer's losses, and the model fitted to them."""

import math
from typing import TYPE_CHECKING

import numpy as np

from coopetition.fitting.reading import LEAD
from paper_figures.coopetition.events import emerges, has_happened
from paper_figures.coopetition.fits import (
    draw_fitted,
    draw_losses,
    draw_minimal_model,
    fit_record,
    fit_run,
)
from paper_figures.core.claims import Claim, Published, Verdict, readings
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.published import solve_published
from paper_figures.core.runs import Array, FigureRun, Runs

if TYPE_CHECKING:
    from coopetition.fitting.result import Fit


def draw(runs: list[FigureRun]) -> FigureResult:
    """Draw the three panels for the first run."""
    return draw_fit(runs[0], fit_run(runs[0]))


def draw_fit(run: FigureRun, fitted: "Fit") -> FigureResult:
    """Draw the three panels for a run and its fit."""
    drawing = blank(7.2, 2.7)
    toy_axes, run_axes, fit_axes = drawing.subplots(1, 3)
    trajectory = solve_published()
    numbers = draw_minimal_model(toy_axes, "a", trajectory)
    numbers += draw_losses(run_axes, "b", run)
    numbers += draw_fitted(fit_axes, "c", fitted)
    record = fit_record(trajectory, run, fitted)
    return FigureResult(drawing, numbers, record, [run.finding()])


def has_bump(run: FigureRun) -> bool | None:
    """Return whether CIWL's loss rises while ICL emerges, until Flip's peak.

    None for a short run in which ICL has not yet emerged, and if noise may explain a rise.
    """
    events = run.timeline()
    if events.emergence is None or events.flip_peak_at is None:
        return emerges(run)
    losses = run.curves("loss").between(LEAD * events.emergence, events.flip_peak_at)
    return rises(losses.values["ciwl"])


def rises(losses: Array) -> bool | None:
    """Return whether a loss rises above its earlier values by more than it scatters.

    None if it rises by less than three standard deviations: those of its logarithm about straight
    lines through neighbours.  Four samples are needed.
    """
    if len(losses) < 4:
        return None
    logs = np.log(losses)
    rise = float(np.max(logs - np.minimum.accumulate(logs)))
    scatter = float(np.std(np.diff(logs, 2))) / math.sqrt(6)
    return True if rise > 3 * scatter else None if rise > 0 else False


def crossing(run: FigureRun) -> float | None:
    """Return when CIWL's loss falls below ICL's after emergence, in the paper's sequences."""
    from coopetition.dynamics.events import crossing_time

    losses, emergence = run.curves("loss"), run.timeline().emergence
    if emergence is None:
        return None
    gap = losses.values["ciwl"] - losses.values["icl"]
    time = crossing_time(losses.sequences, gap, 0.0, rising=False, after=emergence)
    return None if time is None else time * run.rate_ratio


CLAIMS = (
    Claim(
        "CIWL's loss rises a little while ICL emerges",
        lambda runs: readings(runs, has_bump, if_inconclusive=Verdict.UNDECIDED),
        contradiction="CIWL's loss only falls while ICL emerges",
    ),
    Claim(
        "CIWL's loss falls below ICL's",
        lambda runs: readings(
            runs, lambda run: has_happened(crossing(run) is not None, run), crossing
        ),
        Published.at(8.7),
        contradiction="CIWL's loss stays above ICL's until 20M",
    ),
)

FIGURE = Figure(
    __name__,
    "the minimal model beside a transformer, and fitted to it",
    draw,
    (Runs("coopetition/main"),),
    CLAIMS,
)
