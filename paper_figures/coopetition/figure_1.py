"""Figure 1b: in-context learning emerges and is replaced by CIWL."""

from coopetition.plot.fits import plot_curves
from paper_figures.claim import Claim, Published
from paper_figures.coopetition.events import LATE, emerges, event, fades, happens, height, readings
from paper_figures.figure import Figure
from paper_figures.needs import Runs
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


def _late(evaluator: str):
    return lambda run: run.at(evaluator, LATE)


def _below(evaluator: str, level: float):
    """Whether an accuracy is below a level after the paper's 20 million sequences."""
    return lambda run: run.at(evaluator, LATE) < level if run.lasts(LATE) else None


CLAIMS = (
    Claim(
        "ICL emerges: Flip accuracy rises through one half",
        lambda runs: readings(runs, emerges, event("emergence")),
        Published(3.1e6, 4.6e6, "sequences"),
    ),
    Claim(
        "at its best ICL is preferred",
        lambda runs: readings(runs, emerges, height("flip_peak")),
        Published(0.67, 0.84),
    ),
    Claim(
        "ICL is transient: Flip accuracy falls through one half",
        lambda runs: readings(runs, fades, event("fade")),
        Published(5.7e6, 10.9e6, "sequences"),
    ),
    Claim(
        "at 20M nothing is left of the preference",
        lambda runs: readings(runs, _below("flip", 0.1), _late("flip")),
        Published(0.034, 0.034),
    ),
    Claim(
        "nor, but for a little, of the ability: ICL accuracy at 20M",
        lambda runs: readings(runs, _below("icl", 0.7), _late("icl")),
        Published(0.55, 0.65),
    ),
    Claim(
        "CIWL takes its place: accuracy of 0.9",
        lambda runs: readings(runs, happens("ciwl_90"), event("ciwl_90")),
        Published(9.9e6, 15.5e6, "sequences"),
    ),
)

FIGURE = Figure(
    "coopetition",
    "1",
    "1b",
    "accuracy of the four evaluators during the main run",
    draw,
    needs=(Runs("coopetition/main"),),
    claims=CLAIMS,
)
