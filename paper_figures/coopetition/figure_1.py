"""Figure 1b: in-context learning emerges and is replaced by CIWL."""

from coopetition.plot.fits import plot_curves
from paper_figures.figure import Figure, Runs
from paper_figures.result import FigureResult, blank, points
from paper_figures.sources import FigureRun

EVALUATORS = ("train", "icl", "ciwl", "flip")


def draw(runs: list[FigureRun]) -> FigureResult:
    """The first run drawn strong, further seeds faint."""
    drawing = blank(8, 4)
    ax = drawing.subplots()
    numbers = []
    for run in runs:
        first = run is runs[0]
        style = {"lw": 1.8} if first else {"lw": 0.7, "alpha": 0.4}
        curves = run.curves("in_context_accuracy").select(EVALUATORS)
        plot_curves(curves, ax=ax, label=first, **style)
        for name, values in curves.values.items():
            numbers += points(f"init_seed {run.init_seed}", name, curves.sequences, values)
    ax.axhline(0.5, color="grey", lw=0.8, ls=":")
    ax.set(ylabel="in-context accuracy", ylim=(0, 1))
    drawing.legend(
        frameon=False,
        loc="outside right upper",
        title=f"seed {runs[0].init_seed}"
        + (f"\n(faint: {len(runs) - 1} more)" if runs[1:] else ""),
        fontsize="small",
        title_fontsize="small",
    )
    events = [run.finding() for run in runs]
    return FigureResult(drawing, numbers, {"runs": [run.record() for run in runs]}, events)


FIGURE = Figure(
    "coopetition",
    "1",
    "1b",
    "accuracy of the four evaluators during the main run",
    draw,
    needs=(Runs("coopetition/main"),),
)
