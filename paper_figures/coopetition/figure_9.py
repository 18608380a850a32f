"""Figure 9: fewer exemplars, and fewer classes."""

from paper_figures.coopetition.events import fades_later, has_not_happened, never_emerges, value_at
from paper_figures.coopetition.paper_values import SIZES
from paper_figures.core.claims import Claim, Published, readings
from paper_figures.core.figure import Figure
from paper_figures.core.plotting import draw_by_setting
from paper_figures.core.runs import FigureRun, Runs

LAST = 100.0  # millions of the paper's sequences


def hardly_learns_labels(run: FigureRun) -> bool | None:
    """Return whether labels that are not in context are hardly learnt by 100M."""
    return has_not_happened(run.at("iwl", LAST, "accuracy") >= 0.2, run, LAST)


CLAIMS = (
    Claim(
        "12,800 classes, 5 exemplars: ICL fades later than with 20 and the same seed",
        lambda main, five, twenty, few: fades_later(five, main),
        Published.at(11.5),
        contradiction="ICL does not fade, or fades sooner than with 20 exemplars",
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
    draw_by_setting(SIZES, LAST),
    (
        Runs("coopetition/main"),
        *(Runs(f"coopetition/{size}", optional=True) for size in SIZES[1:]),
    ),
    CLAIMS,
)
