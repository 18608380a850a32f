"""Figure 13: one layer learns CIWL, and no ICL."""

from paper_figures.coopetition.events import (
    LATE,
    earlier,
    event,
    height,
    never_emerges,
    never_learnt,
    readings,
)
from paper_figures.core.claims import Claim, Published
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.plotting import draw_settings
from paper_figures.core.runs import FigureRun, Runs


def draw(main: list[FigureRun], one_layer: list[FigureRun]) -> FigureResult:
    """A panel a depth."""
    return draw_settings({"2 layers": main, "1 layer": one_layer}, LATE)


CLAIMS = (
    Claim(
        "one layer: ICL accuracy stays at chance",
        lambda main, one_layer: readings(one_layer, never_learnt, height("icl_final")),
        Published.of(0.50, "above chance"),
        contradiction="ICL accuracy reaches 0.6",
    ),
    Claim(
        "one layer: ICL is never preferred",
        lambda main, one_layer: readings(one_layer, never_emerges),
        contradiction="Flip accuracy rises above one half",
    ),
    Claim(
        "one layer: CIWL comes, and sooner than with two: accuracy of 0.9",
        lambda main, one_layer: readings(one_layer, earlier("ciwl_90", main), event("ciwl_90")),
        Published.at(5),
        contradiction="CIWL accuracy reaches 0.9 later than with two layers and the same "
        "seed, or never",
    ),
)

FIGURE = Figure(
    "coopetition",
    "13",
    "13",
    "one layer",
    draw,
    needs=(Runs("coopetition/main"), Runs("coopetition/one_layer", optional=True)),
    claims=CLAIMS,
)
