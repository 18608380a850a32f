"""Figure 5: the minimal model, the transformer's losses, and the model fitted to them."""

from coopetition.compare.estimate import Fit, fit
from coopetition.plot.fits import plot_curves, plot_fit
from paper_figures.coopetition.toy_seeds import draw_toy
from paper_figures.figure import Figure, Runs
from paper_figures.published import solve_published
from paper_figures.result import FigureResult, blank, points
from paper_figures.sources import FigureRun

CURVES = ("train", "icl", "ciwl")
LEAD = 0.9  # the fit starts at this part of the time of emergence: the toy knows only what follows


def fit_run(run: FigureRun, **settings: int) -> Fit:
    """The minimal model fitted to a run's losses from shortly before ICL emerges.

    If ICL never emerges, there is nothing to wait for: it is fitted to the whole run.
    """
    first = LEAD * (run.timeline().emergence or 0.0)
    return fit(run.curves("loss").select(CURVES).between(first), **settings)


def draw(runs: list[FigureRun]) -> FigureResult:
    """Three panels, for the first run."""
    return draw_run(runs[0], fit_run(runs[0]))


def draw_run(run: FigureRun, fitted: Fit) -> FigureResult:
    """The three panels for a run and its fit."""
    drawing = blank(13, 3.8)
    toy_axes, run_axes, fit_axes = drawing.subplots(1, 3)
    trajectory = solve_published()
    numbers = draw_toy(toy_axes, trajectory, "a toy")
    toy_axes.set(xlim=(0, 8000), ylim=(0, 0.4), title="a  minimal model")
    losses = run.curves("loss").select(CURVES)
    plot_curves(losses, ax=run_axes)
    told = run.timeline()
    absent = f": ICL at chance (Flip at most {told.flip_peak:.2f})"
    run_axes.set(
        ylabel="cross-entropy (nats)",
        title="b  transformer" + (absent if told.emergence is None else ""),
    )
    run_axes.legend(frameon=False)
    plot_fit(fitted, ax=fit_axes)
    fit_axes.set(ylabel="cross-entropy (nats)", title="c  minimal model fitted to it")
    for name, values in losses.values.items():
        numbers += points("b transformer", name, losses.sequences, values)
    for name, values in fitted.predicted.items():
        numbers += points("c fitted", name, fitted.sequences, values)
    for name, values in fitted.observed.items():
        numbers += points("c observed", name, fitted.sequences, values)
    record = {"toy": trajectory.to_dict(), "run": run.record(), "fit": fitted.to_dict()}
    return FigureResult(drawing, numbers, record, [run.finding()])


FIGURE = Figure(
    "coopetition",
    "5",
    "5",
    "the minimal model beside a transformer, and fitted to it",
    draw,
    needs=(Runs("omniglot"),),
)
