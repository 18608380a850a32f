"""Figure 1b: in-context learning emerges and is replaced by CIWL."""

from dataclasses import asdict

from matplotlib.figure import Figure

from coopetition.plot.fits import plot_curves
from paper_figures.result import FigureResult, points
from paper_figures.sources import FigureRun

TITLE = "1b: accuracy of the four evaluators during the main run"
EVALUATORS = ("train", "icl", "ciwl", "flip")


def draw(runs: list[FigureRun]) -> FigureResult:
    """The first run drawn strong, further seeds faint."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    ax = figure.subplots()
    numbers = []
    for run in runs:
        first = run is runs[0]
        style = {"lw": 1.8} if first else {"lw": 0.7, "alpha": 0.4}
        curves = run.curves["in_context_accuracy"].select(EVALUATORS)
        plot_curves(curves, ax=ax, label=first, **style)
        for name, values in curves.values.items():
            numbers += points(f"init_seed {run.init_seed}", name, curves.sequences, values)
    ax.axhline(0.5, color="grey", lw=0.8, ls=":")
    ax.set(ylabel="in-context accuracy", ylim=(0, 1))
    figure.legend(
        frameon=False,
        loc="outside right upper",
        title=f"seed {runs[0].init_seed}"
        + (f"\n(faint: {len(runs) - 1} more)" if runs[1:] else ""),
        fontsize="small",
        title_fontsize="small",
    )
    return FigureResult(
        figure,
        numbers,
        {"title": TITLE, "runs": [r.provenance | {"events": asdict(r.timeline())} for r in runs]},
    )
