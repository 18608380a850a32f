"""Figure 9: fewer exemplars, and fewer classes."""

from paper_figures.coopetition.events import (
    LATE,
    earlier,
    happens,
    never_emerges,
    not_by,
    readings,
    time_of,
    value_at,
)
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.plotting import draw_settings
from paper_figures.core.runs import FigureRun, Runs

SIZES = ("12800x20", "12800x5", "1600x20", "1600x5")
LAST = 100.0  # millions of the paper's sequences


def draw(*groups: list[FigureRun]) -> FigureResult:
    """Draw a panel per size of the data."""
    return draw_settings(dict(zip(SIZES, groups, strict=True)), LAST)


def fades_later(
    runs: list[FigureRun], others: list[FigureRun], millions: float = LATE
) -> list[Reading]:
    """Return whether ICL fades later than in the other run of the same seed, and when.

    millions : by which it should have faded
    """

    def holds(run: FigureRun) -> bool | None:
        faded, first = happens("fade", millions)(run), earlier("fade", others)(run)
        return None if faded and first is None else faded and not first

    return readings(runs, holds, time_of("fade"))


def hardly_learns_labels(run: FigureRun) -> bool | None:
    """Return whether labels that are not in context are hardly learnt by 100M."""
    return not_by(run.at("iwl", LAST, "accuracy") >= 0.2, run, LAST)


CLAIMS = (
    Claim(
        "12,800 classes, 5 exemplars: ICL fades, but later than the run of the same seed with 20",
        lambda main, five, twenty, few: fades_later(five, main),
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
            few, hardly_learns_labels, value_at("iwl", LAST, "accuracy")
        ),
        Published.of(0.05),
        contradiction="IWL accuracy reaches 0.2 by 100M",
    ),
)

FIGURE = Figure(
    __name__,
    "classes and exemplars",
    draw,
    (
        Runs("coopetition/main"),
        *(Runs(f"coopetition/{size}", optional=True) for size in SIZES[1:]),
    ),
    CLAIMS,
)
