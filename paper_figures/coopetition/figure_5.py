"""Figure 5: the minimal model, the transformer's losses, and the model fitted to them."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from coopetition import Trajectory
from coopetition.compare.estimate import fit
from coopetition.compare.result import Fit
from coopetition.compare.theory import TOY
from coopetition.dynamics.events import crossing_time
from coopetition.plot.fits import plot_curves, plot_fit
from paper_figures.coopetition.events import emerges, happened_by, readings
from paper_figures.coopetition.toy_seeds import draw_toy
from paper_figures.core.claims import Claim, Published, Verdict
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.published import solve_published
from paper_figures.core.runs import FigureRun, Runs

CURVES = ("train", "icl", "ciwl")
LEAD = 0.9  # the fit starts at this part of the time of emergence: the toy knows only what follows


def fit_run(run: FigureRun, **settings: Any) -> Fit:
    """The minimal model fitted to a run's losses from shortly before ICL emerges.

    If ICL never emerges, there is nothing to wait for: it is fitted to the whole run.
    """
    first = LEAD * (run.timeline().emergence or 0.0)
    return fit(run.curves("loss").select(CURVES).between(first), TOY, **settings)


def draw(runs: list[FigureRun]) -> FigureResult:
    """Three panels, for the first run."""
    return draw_run(runs[0], fit_run(runs[0]))


def draw_run(run: FigureRun, fitted: Fit) -> FigureResult:
    """The three panels for a run and its fit."""
    drawing = blank(7.2, 2.7)
    toy_axes, run_axes, fit_axes = drawing.subplots(1, 3)
    trajectory = solve_published()
    numbers = draw_minimal_model(toy_axes, "a", trajectory)
    numbers += draw_losses(run_axes, "b", run)
    numbers += draw_fitted(fit_axes, "c", fitted)
    record = record_of(trajectory, run, fitted)
    return FigureResult(drawing, numbers, record, [run.finding()])


def draw_minimal_model(ax: Axes, letter: str, trajectory: Trajectory) -> Numbers:
    """The toy's losses, up to where the paper shows them."""
    numbers = draw_toy(ax, trajectory, f"{letter} toy")
    ax.set(xlim=(0, 8000), ylim=(0, 0.4), title=f"{letter}  minimal model")
    return numbers


def draw_losses(ax: Axes, letter: str, run: FigureRun) -> Numbers:
    """A run's losses."""
    losses = run.curves("loss").select(CURVES)
    plot_curves(losses, ax=ax)
    ax.set(ylabel="cross-entropy (nats)", title=f"{letter}  transformer{absence(run)}")
    ax.legend(frameon=False)
    return [
        point
        for name, values in losses.values.items()
        for point in points(f"{letter} transformer", name, losses.sequences, values)
    ]


def draw_fitted(ax: Axes, letter: str, fitted: Fit) -> Numbers:
    """The fitted toy's losses through the measured ones."""
    plot_fit(fitted, ax=ax)
    ax.set(ylabel="cross-entropy (nats)", title=f"{letter}  minimal model fitted to it")
    numbers = []
    for name, each in fitted.curves.items():
        numbers += points(f"{letter} fitted", name, each.sequences, each.fitted)
        numbers += points(f"{letter} observed", name, each.sequences, each.measured)
    return numbers


def absence(run: FigureRun) -> str:
    """For a title: that there is no ICL, if there is none."""
    told = run.timeline()
    risen = told.emergence is not None
    return "" if risen else f": ICL at chance (Flip at most {told.flip_peak:.2f})"


def record_of(trajectory: Trajectory, run: FigureRun, fitted: Fit) -> dict[str, Any]:
    """What the panels are of."""
    return {"toy": trajectory.to_dict(), "run": run.record(), "fit": fitted.to_dict()}


def bump(run: FigureRun) -> bool | None:
    """Whether CIWL's loss rises while ICL emerges: until Flip's peak, from 0.9 of emergence on.

    None in a short run where ICL has not yet emerged, and where noise may have made it rise.
    """
    told = run.timeline()
    if told.emergence is None:
        return emerges(run)
    losses = run.curves("loss").between(LEAD * told.emergence, told.flip_peak_at)
    return rises(losses.values["ciwl"])


def rises(losses: NDArray[np.float64]) -> bool | None:
    """Whether a loss rises above what it has been, by more than it scatters from sample to sample.

    None if it rises, but by less than three standard deviations: those of its logarithm about
    straight lines through neighbours.  Four samples tell something, fewer nothing.
    """
    if len(losses) < 4:
        return None
    logs = np.log(losses)
    rise = float(np.max(logs - np.minimum.accumulate(logs)))
    scatter = float(np.std(np.diff(logs, 2))) / math.sqrt(6)
    if rise > 3 * scatter:
        return True
    return None if rise > 0 else False


def crosses(run: FigureRun) -> bool | None:
    """Whether CIWL's loss falls below ICL's; None if it has not yet in a short run."""
    return happened_by(crossing(run) is not None, run)


def crossing(run: FigureRun) -> float | None:
    """When CIWL's loss falls below ICL's, after emergence; in the paper's sequences."""
    losses, told = run.curves("loss"), run.timeline()
    if told.emergence is None:
        return None
    gap = losses.values["ciwl"] - losses.values["icl"]
    found = crossing_time(losses.sequences, gap, 0.0, rising=False, after=told.emergence)
    return None if found is None else found * run.rate_ratio


CLAIMS = (
    Claim(
        "CIWL's loss rises a little while ICL emerges",
        lambda runs: readings(runs, bump),
        untold=Verdict.UNDECIDED,
        contradiction="CIWL's loss only falls while ICL emerges",
    ),
    Claim(
        "CIWL's loss falls below ICL's",
        lambda runs: readings(runs, crosses, crossing),
        Published.at(8.7),
        contradiction="CIWL's loss stays above ICL's until 20M",
    ),
)

FIGURE = Figure(
    "coopetition",
    "5",
    "5",
    "the minimal model beside a transformer, and fitted to it",
    draw,
    needs=(Runs("coopetition/main"),),
    claims=CLAIMS,
)
