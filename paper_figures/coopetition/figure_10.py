"""Figure 10: the same with MLPs."""

from paper_figures.coopetition.events import (
    AS_MAIN,
    event,
    fades,
    happened_by,
    height,
    never_emerges,
    readings,
)
from paper_figures.coopetition.figure_9 import SIZES, iwl_at, later
from paper_figures.core.claims import FACTOR, Claim, Published
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.plotting import METRIC, draw_settings
from paper_figures.core.runs import FigureRun, Runs

SHOWN = 320.0  # millions of the paper's sequences
RISEN_AGAIN = 0.1  # of Flip, from its lowest after the fade


def draw(*groups: list[FigureRun]) -> FigureResult:
    """A panel a size of the data."""
    return draw_settings(dict(zip(SIZES, groups, strict=True)), SHOWN)


def rises_again(run: FigureRun) -> bool | None:
    """Whether Flip rises again after ICL has faded; None where the run ends before 320M."""
    told, curves = run.timeline(), run.curves(METRIC)
    after = curves.values["flip"][curves.sequences > (told.fade or 0.0)]
    again = told.fade is not None and after[-1] > after.min() + RISEN_AGAIN
    return happened_by(bool(again), run, SHOWN)


def learns_labels(run: FigureRun) -> bool | None:
    """Whether labels that are not in context are learnt by the paper's end."""
    return happened_by(iwl_at(SHOWN)(run) > 0.2, run, SHOWN)


CLAIMS = (
    Claim(
        "12,800 classes, 20 exemplars: ICL emerges and fades",
        lambda large, five, twenty, few: readings(large, fades, event("fade")),
        Published.at(8.6),
        AS_MAIN,
        contradiction="Flip accuracy never rises above one half by 20M, or stays there",
    ),
    Claim(
        "12,800 classes, 5 exemplars: ICL fades later than with 20",
        lambda large, five, twenty, few: later(five, large, FACTOR * 35) if large else [],
        Published.at(35),
        contradiction="ICL does not fade, or sooner than with 20 exemplars",
    ),
    Claim(
        "12,800 classes, 5 exemplars: ICL rises again by 320M",
        lambda large, five, twenty, few: readings(five, rises_again, height("flip_final")),
        Published.of(0.18),
        contradiction="ICL does not fade, or Flip accuracy then rises by 0.1 or less until 320M",
    ),
    Claim(
        "1,600 classes, 20 exemplars: ICL is never preferred",
        lambda large, five, twenty, few: readings(twenty, never_emerges),
        contradiction="Flip accuracy rises above one half",
    ),
    Claim(
        "1,600 classes, 5 exemplars: labels that are not in context are learnt",
        lambda large, five, twenty, few: readings(few, learns_labels, iwl_at(SHOWN)),
        Published.of(0.43),
        contradiction="IWL accuracy is 0.2 or less at 320M",
    ),
)


FIGURE = Figure(
    "coopetition",
    "10",
    "10",
    "classes and exemplars, with MLPs",
    draw,
    needs=tuple(Runs(f"coopetition/mlp_{size}", optional=True) for size in SIZES),
    claims=CLAIMS,
)
