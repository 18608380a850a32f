"""Figure 5: the minimal model, the transformer's losses, and the model fitted to them."""

import json
from dataclasses import asdict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coopetition import Trajectory, solve, two_strategies
from coopetition.compare.estimate import Fit, fit
from coopetition.draws import Draw, canonical_draw
from coopetition.model import COMPETITION, ICL
from coopetition.plot import COLOURS, LABELS, plot_curves, plot_fit
from paper_figures.result import FigureResult, points
from paper_figures.sources import DATA, FigureRun

TITLE = "5: the minimal model beside a transformer, and fitted to it"
CURVES = ("train", "icl", "ciwl")
LEAD = 0.9  # the fit starts at this part of the time of emergence: the toy knows only what follows


def published_draw() -> Draw:
    """The published draw of seed 7, by the numbers that its dynamics depend on."""
    return canonical_draw(**json.loads((DATA / "minimal_model_seed7.json").read_text())["draw"])


def solve_published() -> Trajectory:
    """Figure 5a's trajectory: seed 7, descent with step 1."""
    return solve(two_strategies(), published_draw())


def fit_run(run: FigureRun, **settings: int) -> Fit:
    """The minimal model fitted to a run's losses from shortly before ICL emerges.

    If ICL never emerges, there is nothing to wait for: it is fitted to the whole run.
    """
    first = LEAD * (run.timeline().emergence or 0.0)
    return fit(run.curves["loss"].select(CURVES).between(first), **settings)


def draw(runs: list[FigureRun]) -> FigureResult:
    """Three panels, for the first run."""
    return draw_run(runs[0], fit_run(runs[0]))


def draw_run(run: FigureRun, fitted: Fit) -> FigureResult:
    """The three panels for a run and its fit."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    toy_axes, run_axes, fit_axes = figure.subplots(1, 3)
    trajectory = solve_published()
    numbers = draw_toy(toy_axes, trajectory)
    losses = run.curves["loss"].select(CURVES)
    plot_curves(losses, ax=run_axes)
    run_axes.set(ylabel="cross-entropy (nats)", title="b  transformer")
    run_axes.legend(frameon=False)
    plot_fit(fitted, ax=fit_axes)
    fit_axes.set(ylabel="cross-entropy (nats)", title="c  minimal model fitted to it")
    for name, values in losses.values.items():
        numbers += points("b transformer", name, losses.sequences, values)
    for name, values in fitted.predicted.items():
        numbers += points("c fitted", name, fitted.sequences, values)
    for name, values in fitted.observed.items():
        numbers += points("c observed", name, fitted.sequences, values)
    return FigureResult(
        figure,
        numbers,
        {
            "title": TITLE,
            "toy": trajectory.to_dict(),
            "run": run.provenance | {"events": asdict(run.timeline())},
            "fit": fitted.to_dict(),
        },
    )


def draw_toy(ax: Axes, trajectory: Trajectory) -> list[tuple[str, str, float, float]]:
    """Panel a, as published: ICL's loss is drawn with its irreducible part mu1."""
    numbers = []
    for name, values in trajectory.losses.items():
        if name == COMPETITION:
            continue
        shown = values + trajectory.model.mechanisms[0].offset if name == ICL else values
        ax.plot(trajectory.times, shown, color=COLOURS[name], label=LABELS[name])
        numbers += points("a toy", name, trajectory.times, shown)
    ax.set(
        xlabel="steps of gradient descent",
        ylabel="loss (ICL: + mu1)",
        xlim=(0, 8000),
        ylim=(0, 0.4),
        title="a  minimal model",
    )
    ax.legend(frameon=False)
    return numbers
