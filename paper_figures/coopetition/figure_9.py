"""Figure 9: fewer exemplars, and fewer classes."""

from collections.abc import Callable

from paper_figures.coopetition.events import (
    LATE,
    earlier,
    event,
    happens,
    never_emerges,
    not_by,
    readings,
)
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.plotting import draw_settings
from paper_figures.core.runs import FigureRun, Runs

SIZES = ("12800x20", "12800x5", "1600x20", "1600x5")
SHOWN = 100.0  # millions of the paper's sequences


def draw(*groups: list[FigureRun]) -> FigureResult:
    """A panel a size of the data."""
    return draw_settings(dict(zip(SIZES, groups, strict=True)), SHOWN)


def iwl_at(millions: float) -> Callable[[FigureRun], float]:
    """Accuracy of IWL over all labels, after so many of the paper's sequences or at the end."""
    return lambda run: run.at("iwl", millions, "accuracy")


def later(runs: list[FigureRun], others: list[FigureRun], millions: float = LATE) -> list[Reading]:
    """Whether ICL fades, and later than in the other run of the same seed; when.

    millions : by which it should have
    """
    sooner = earlier("fade", others)

    def holds(run: FigureRun) -> bool | None:
        faded, first = happens("fade", millions)(run), sooner(run)
        return None if faded and first is None else faded and not first

    return readings(runs, holds, event("fade"))


CLAIMS = (
    Claim(
        "12,800 classes, 5 exemplars: ICL fades, but later than the run of the same seed with 20",
        lambda main, five, *few: later(five, main),
        Published.at(11.5),
        contradiction="ICL does not fade, or sooner than with 20 exemplars",
    ),
    Claim(
        "1,600 classes, 20 exemplars: ICL is never preferred",
        lambda main, five, twenty, few: readings(twenty, never_emerges),
        contradiction="Flip accuracy rises above one half",
    ),
    Claim(
        "1,600 classes, 5 exemplars: ICL is never preferred",
        lambda main, five, twenty, few: readings(few, never_emerges),
        contradiction="Flip accuracy rises above one half",
    ),
    Claim(
        "1,600 classes, 5 exemplars: labels that are not in context are hardly learnt by 100M",
        lambda main, five, twenty, few: readings(
            few, lambda run: not_by(iwl_at(SHOWN)(run) >= 0.2, run, SHOWN), iwl_at(SHOWN)
        ),
        Published.of(0.05),
        contradiction="IWL accuracy reaches 0.2 by 100M",
    ),
)

FIGURE = Figure(
    "coopetition",
    "9",
    "9",
    "classes and exemplars",
    draw,
    needs=(
        Runs("coopetition/main"),
        *(Runs(f"coopetition/{size}", optional=True) for size in SIZES[1:]),
    ),
    claims=CLAIMS,
)
