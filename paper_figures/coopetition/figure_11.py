"""Figure 11: the main run for five times as long, by accuracy over all labels."""

from paper_figures.claim import Claim, Published, Reading
from paper_figures.coopetition.events import readings
from paper_figures.figure import Figure
from paper_figures.needs import Runs
from paper_figures.result import FigureResult
from paper_figures.settings import draw_settings
from paper_figures.sources import FigureRun

SHOWN = 320.0  # millions of the paper's sequences
LONG = 150.0  # from which on the paper's curves are flat


def draw(long: list[FigureRun]) -> FigureResult:
    """One panel."""
    return draw_settings({"main, long": long}, SHOWN, metric=lambda evaluator: "accuracy")


def _ends_below(long: list[FigureRun], evaluator: str, level: float) -> list[Reading]:
    """Whether an accuracy ends below a level; its last value."""

    def end(run: FigureRun) -> float:
        return run.at(evaluator, SHOWN, "accuracy")

    return readings(long, lambda run: end(run) < level if run.lasts(LONG) else None, end)


CLAIMS = (
    Claim(
        "in the end (from 150M on) ICL accuracy is below chance of two labels",
        lambda long: _ends_below(long, "icl", 0.5),
        Published.of(0.466),
    ),
    Claim(
        "in the end (from 150M on) Flip accuracy is 0: ICL does not return",
        lambda long: _ends_below(long, "flip", 0.1),
        Published.of(0.005),
    ),
    Claim(
        "in the end (from 150M on) labels that are not in context are not learnt",
        lambda long: _ends_below(long, "iwl", 0.05),
        Published.of(0.001),
    ),
)

FIGURE = Figure(
    "coopetition",
    "11",
    "11",
    "the main run for five times as long",
    draw,
    needs=(Runs("coopetition/long", optional=True),),
    claims=CLAIMS,
)
