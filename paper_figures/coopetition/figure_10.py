"""Figure 10: fewer exemplars and fewer classes, with MLPs."""

from paper_figures.coopetition.events import (
    AS_MAIN,
    event_time,
    fades,
    fades_later,
    has_happened,
    height_of,
    never_emerges,
    value_at,
)
from paper_figures.coopetition.paper_values import SIZES
from paper_figures.core.claims import FACTOR, Claim, Published, readings
from paper_figures.core.figure import Figure
from paper_figures.core.plotting import draw_by_setting
from paper_figures.core.runs import FigureRun, Runs

LAST = 320.0  # millions of the paper's sequences
RISE = 0.1  # of Flip, from its lowest after the fade


def rises_again(run: FigureRun) -> bool | None:
    """Return whether Flip rises again after ICL has faded; None for a run of less than 320M."""
    fade, curves = run.timeline().fade, run.curves()
    after = curves.values["flip"][curves.sequences > (fade or 0.0)]
    return has_happened(fade is not None and bool(after[-1] > after.min() + RISE), run, LAST)


def learns_labels(run: FigureRun) -> bool | None:
    """Return whether labels that are not in context are learnt by the paper's end."""
    return has_happened(run.at("iwl", LAST, "accuracy") > 0.2, run, LAST)


CLAIMS = (
    Claim(
        "12,800 classes, 20 exemplars: ICL emerges and fades",
        lambda large, five, twenty, few: readings(large, fades, event_time("fade")),
        Published.at(8.6),
        AS_MAIN,
        contradiction="Flip accuracy never rises above one half by 20M, or stays above it",
    ),
    Claim(
        "12,800 classes, 5 exemplars: ICL fades later than with 20",
        lambda large, five, twenty, few: fades_later(five, large, FACTOR * 35) if large else [],
        Published.at(35),
        contradiction="ICL does not fade, or fades sooner than with 20 exemplars",
    ),
    Claim(
        "12,800 classes, 5 exemplars: ICL rises again by 320M",
        lambda large, five, twenty, few: readings(five, rises_again, height_of("flip_final")),
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
        lambda large, five, twenty, few: readings(
            few, learns_labels, value_at("iwl", LAST, "accuracy")
        ),
        Published.of(0.43),
        contradiction="IWL accuracy is 0.2 or less at 320M",
    ),
)

FIGURE = Figure(
    __name__,
    "classes and exemplars, with MLPs",
    draw_by_setting(SIZES, LAST),
    tuple(Runs(f"coopetition/mlp_{size}", optional=True) for size in SIZES),
    CLAIMS,
)
