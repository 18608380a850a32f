"""Figure 8: with positions that are not learned, ICL does not come."""

from paper_figures.coopetition.events import ciwl_comes, event, height, never_learnt, readings
from paper_figures.core.claims import Claim, Published
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.plotting import draw_settings
from paper_figures.core.runs import FigureRun, Runs

SHOWN = 40.0  # millions of the paper's sequences


def draw(
    main: list[FigureRun], sinusoidal: list[FigureRun], rotary: list[FigureRun]
) -> FigureResult:
    """A panel a kind of positions."""
    return draw_settings({"learned": main, "sinusoidal": sinusoidal, "rotary": rotary}, SHOWN)


CLAIMS = (
    Claim(
        "sinusoidal positions: ICL accuracy stays at chance",
        lambda main, sinusoidal, rotary: readings(sinusoidal, never_learnt, height("icl_final")),
        Published(0.49, 0.52, "above chance"),
        contradiction="ICL accuracy reaches 0.6",
    ),
    Claim(
        "rotary positions: ICL accuracy stays at chance",
        lambda main, sinusoidal, rotary: readings(rotary, never_learnt, height("icl_final")),
        Published(0.49, 0.52, "above chance"),
        contradiction="ICL accuracy reaches 0.6",
    ),
    Claim(
        "sinusoidal positions: CIWL comes all the same: accuracy of 0.9",
        lambda main, sinusoidal, rotary: readings(sinusoidal, ciwl_comes, event("ciwl_90")),
        Published.at(15.1),
        contradiction="CIWL accuracy stays below 0.9 until 23M",
    ),
    Claim(
        "rotary positions: CIWL comes all the same: accuracy of 0.9",
        lambda main, sinusoidal, rotary: readings(rotary, ciwl_comes, event("ciwl_90")),
        Published.at(9.4),
        contradiction="CIWL accuracy stays below 0.9 until 23M",
    ),
)

FIGURE = Figure(
    "coopetition",
    "8",
    "8",
    "learned, sinusoidal and rotary positions",
    draw,
    needs=(
        Runs("coopetition/main"),
        Runs("coopetition/sinusoidal", optional=True),
        Runs("coopetition/rotary", optional=True),
    ),
    claims=CLAIMS,
)
