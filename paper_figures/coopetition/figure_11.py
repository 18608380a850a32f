"""Figure 11: the main run for five times as long, by accuracy over all labels."""

import math
from functools import partial

from paper_figures.core.claims import Claim, Published, Reading, Verdict
from paper_figures.core.figure import Figure
from paper_figures.core.plotting import draw_by_setting
from paper_figures.core.runs import FigureRun, Runs

LONG = 150.0  # millions of sequences from which the paper's curves are flat


def end_accuracy(run: FigureRun, evaluator: str) -> float:
    """Return the mean accuracy from 150M on, or the last of a shorter run."""
    curves = run.curves("accuracy")
    first = min(LONG * 1e6 / run.rate_ratio, curves.sequences[-1])
    return float(curves.between(first).values[evaluator].mean())


def is_below(accuracy: float, level: float, n: int) -> bool | None:
    """Return whether an accuracy on `n` sequences is below a level; None within two std errors.

    Samples of one run are all on the same sequences, so that means have no smaller error.
    """
    if abs(accuracy - level) < 2 * math.sqrt(level * (1 - level) / n):
        return None
    return accuracy < level


def _ends_below(long: list[FigureRun], evaluator: str, level: float) -> list[Reading]:
    """Return whether an accuracy ends below a level, and where it ends."""
    found = []
    for run in long:
        end = end_accuracy(run, evaluator)
        holds = is_below(end, level, run.n_evaluated) if run.lasts(LONG) else None
        if_inconclusive = Verdict.UNDECIDED if run.lasts(LONG) else Verdict.TOO_SHORT
        found.append(Reading.of(run, holds, end, if_inconclusive=if_inconclusive))
    return found


CLAIMS = (
    Claim(
        "in the end (from 150M on) ICL accuracy is below one half, the chance level",
        partial(_ends_below, evaluator="icl", level=0.5),
        Published.of(0.466, "above chance"),
        contradiction="ICL accuracy is above one half by more than two standard errors",
    ),
    Claim(
        "in the end (from 150M on) Flip accuracy is 0: ICL does not return",
        partial(_ends_below, evaluator="flip", level=0.1),
        Published.of(0.005),
        contradiction="Flip accuracy is above 0.1 by more than two standard errors",
    ),
    Claim(
        "in the end (from 150M on) labels that are not in context are not learnt",
        partial(_ends_below, evaluator="iwl", level=0.05),
        Published.of(0.001),
        contradiction="IWL accuracy is above 0.05 by more than two standard errors",
    ),
)

FIGURE = Figure(
    __name__,
    "the main run for five times as long",
    draw_by_setting(("main, long",), 320, "accuracy"),
    (Runs("coopetition/long", optional=True),),
    CLAIMS,
)
