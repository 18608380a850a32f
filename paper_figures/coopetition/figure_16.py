"""Figure 16: the minimal model from twelve draws, ICL with an irreducible error."""

from coopetition.dynamics.events import Fate
from paper_figures.coopetition.toy_seeds import draw_seeds, fates
from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure, FigureResult


def draw() -> FigureResult:
    """One panel a draw; ICL's loss is drawn with its irreducible part mu1, as published."""
    return draw_seeds(mu1=0.1, threshold=1e-6)


CLAIMS = (
    Claim(
        "with mu1 = 0.1 ICL is learnt and then lost in 10 of 12 draws",
        lambda: fates(lambda fate: fate is Fate.ICL_TRANSIENT, mu1=0.1, threshold=1e-6),
        needed=10 / 12,
        contradiction="ICL is learnt and then lost in fewer than 10 draws",
    ),
)

FIGURE = Figure(
    "coopetition", "16", "16", "the minimal model from twelve draws, mu1 = 0.1", draw, claims=CLAIMS
)
