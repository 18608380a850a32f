"""Figure 5: the minimal model, the transformer's losses, and the model fitted to them."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.compare.curves import FITTED_CURVES
from coopetition.plot.fits import plot_fit
from paper_figures.coopetition.events import emerges, happened_by, readings
from paper_figures.coopetition.panels import draw_toy
from paper_figures.core.claims import Claim, Published, Verdict
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import draw_run
from paper_figures.core.published import solve_published
from paper_figures.core.runs import Array, FigureRun, Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from coopetition import Trajectory
    from coopetition.compare.result import Fit

LEAD = 0.9  # of the time of emergence, where fits start: the toy knows no earlier phase


def fit_run(run: FigureRun, **settings: Any) -> "Fit":
    """Fit the minimal model to a run's losses from shortly before ICL emerges.

    If ICL never emerges, the whole run is fitted.
    """
    from coopetition.compare.estimate import fit
    from coopetition.compare.theory import TOY

    first = LEAD * (run.timeline().emergence or 0.0)
    return fit(run.curves("loss").select(FITTED_CURVES).between(first), TOY, **settings)


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
    record = record_of(trajectory, run, fitted)
    return FigureResult(drawing, numbers, record, [run.finding()])


def draw_minimal_model(ax: "Axes", letter: str, trajectory: "Trajectory") -> Numbers:
    """Draw the toy's losses, as far as the paper shows them."""
    numbers = draw_toy(ax, trajectory, f"{letter} toy")
    ax.set(xlim=(0, 8000), ylim=(0, 0.4), title=f"{letter}  minimal model")
    return numbers


def draw_losses(ax: "Axes", letter: str, run: FigureRun) -> Numbers:
    """Draw a run's losses."""
    numbers = draw_run(ax, f"{letter} transformer", run, FITTED_CURVES, "loss")
    ax.set(ylabel="cross-entropy (nats)", title=f"{letter}  transformer{absence(run)}")
    ax.legend(frameon=False)
    return numbers


def draw_fitted(ax: "Axes", letter: str, fitted: "Fit") -> Numbers:
    """Draw the fitted toy's losses through the measured ones."""
    plot_fit(fitted, ax=ax)
    ax.set(ylabel="cross-entropy (nats)", title=f"{letter}  minimal model fitted to it")
    numbers = []
    for name, each in fitted.curves.items():
        numbers += points(f"{letter} fitted", name, each.sequences, each.fitted)
        numbers += points(f"{letter} observed", name, each.sequences, each.measured)
    return numbers


def absence(run: FigureRun) -> str:
    """Return words for a title if there is no ICL."""
    events = run.timeline()
    is_there = events.emergence is not None
    return "" if is_there else f": ICL at chance (Flip at most {events.flip_peak:.2f})"


def record_of(trajectory: "Trajectory", run: FigureRun, fitted: "Fit") -> dict[str, Any]:
    """Return what the panels show."""
    return {"toy": trajectory.to_dict(), "run": run.record(), "fit": fitted.to_dict()}


def has_bump(run: FigureRun) -> bool | None:
    """Return whether CIWL's loss rises while ICL emerges, until Flip's peak.

    None for a short run in which ICL has not yet emerged, and if noise may explain a rise.
    """
    events = run.timeline()
    if events.emergence is None:
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
        lambda runs: readings(runs, has_bump),
        if_indecisive=Verdict.UNDECIDED,
        contradiction="CIWL's loss only falls while ICL emerges",
    ),
    Claim(
        "CIWL's loss falls below ICL's",
        lambda runs: readings(
            runs, lambda run: happened_by(crossing(run) is not None, run), crossing
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
