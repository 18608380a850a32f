"""Figure 11: the main run for five times as long, by accuracy over all labels."""

import math

from paper_figures.coopetition.events import readings
from paper_figures.core.claims import Claim, Published, Reading, Verdict
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.plotting import draw_settings
from paper_figures.core.runs import FigureRun, Runs

SHOWN = 320.0  # millions of the paper's sequences
LONG = 150.0  # from which on the paper's curves are flat


def draw(long: list[FigureRun]) -> FigureResult:
    """One panel."""
    return draw_settings({"main, long": long}, SHOWN, metric=lambda evaluator: "accuracy")


def end(run: FigureRun, evaluator: str) -> float:
    """Mean accuracy from 150M on, or the last of a shorter run."""
    curves = run.curves("accuracy")
    first = min(LONG * 1e6 / run.rate_ratio, curves.sequences[-1])
    return float(curves.between(first).values[evaluator].mean())


def below(accuracy: float, level: float, n: int) -> bool | None:
    """Whether an accuracy on `n` sequences is below a level; None within two standard errors.

    Samples of one run do not average the error away: they are all on the same sequences.
    """
    if abs(accuracy - level) < 2 * math.sqrt(level * (1 - level) / n):
        return None
    return accuracy < level


def _ends_below(long: list[FigureRun], evaluator: str, level: float) -> list[Reading]:
    """Whether an accuracy ends below a level; where it does."""

    def holds(run: FigureRun) -> bool | None:
        n = run.provenance["config"]["evaluation"]["n_sequences"]
        return below(end(run, evaluator), level, n) if run.lasts(LONG) else None

    return readings(long, holds, lambda run: end(run, evaluator))


CLAIMS = (
    Claim(
        "in the end (from 150M on) ICL accuracy is below chance of two labels",
        lambda long: _ends_below(long, "icl", 0.5),
        Published.of(0.466, "above chance"),
        untold=Verdict.UNDECIDED,
        contradiction="ICL accuracy is above one half by more than two standard errors",
    ),
    Claim(
        "in the end (from 150M on) Flip accuracy is 0: ICL does not return",
        lambda long: _ends_below(long, "flip", 0.1),
        Published.of(0.005),
        contradiction="Flip accuracy is above 0.1 by more than two standard errors",
    ),
    Claim(
        "in the end (from 150M on) labels that are not in context are not learnt",
        lambda long: _ends_below(long, "iwl", 0.05),
        Published.of(0.001),
        contradiction="IWL accuracy is above 0.05 by more than two standard errors",
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
