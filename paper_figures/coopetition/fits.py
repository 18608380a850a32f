"""Fits of the minimal model to a run, and the panels that show them."""

from typing import TYPE_CHECKING, Any

from coopetition.fitting.reading import LEAD
from coopetition.plot.fits import plot_fit
from paper_figures.coopetition.panels import draw_toy
from paper_figures.core.figure import Numbers, points
from paper_figures.core.plotting import draw_run
from paper_figures.core.runs import Array, FigureRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from coopetition import Trajectory
    from coopetition.fitting.curves import Curves
    from coopetition.fitting.result import Fit


def fit_run(run: FigureRun, **settings: Any) -> "Fit":
    """Fit the minimal model to a run's losses from shortly before ICL emerges.

    If ICL never emerges, the whole run is fitted.
    """
    from coopetition.fitting.curves import FITTED_CURVES
    from coopetition.fitting.estimate import fit
    from coopetition.fitting.registry import TOY

    first = LEAD * (run.timeline().emergence or 0.0)
    return fit(run.curves("loss").select(FITTED_CURVES).between(first), TOY, **settings)


def measured_errors(curves: "Curves") -> dict[str, Array]:
    """Return curves of accuracy as errors."""
    from coopetition.fitting.curves import FITTED_CURVES
    from coopetition.fitting.observation import to_errors

    return {name: to_errors(curves.values[name], curves.metric) for name in FITTED_CURVES}


def draw_minimal_model(ax: "Axes", letter: str, trajectory: "Trajectory") -> Numbers:
    """Draw the toy's losses, as far as the paper shows them."""
    numbers = draw_toy(ax, trajectory, f"{letter} toy")
    ax.set(xlim=(0, 8000), ylim=(0, 0.4), title=f"{letter}  minimal model")
    return numbers


def draw_losses(ax: "Axes", letter: str, run: FigureRun) -> Numbers:
    """Draw a run's losses."""
    from coopetition.fitting.curves import FITTED_CURVES

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


def fit_record(trajectory: "Trajectory", run: FigureRun, fitted: "Fit") -> dict[str, Any]:
    """Return what the panels show, for the record of a figure."""
    return {"toy": trajectory.to_dict(), "run": run.record(), "fit": fitted.to_dict()}
