"""Figure 17: the minimal model from twelve draws, ICL without an irreducible error."""

from coopetition.dynamics.events import Fate
from paper_figures.coopetition.toy_seeds import draw_seeds, fates
from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure, FigureResult


def draw() -> FigureResult:
    """One panel a draw, until the loss is below 1e-3: ICL stays."""
    return draw_seeds(mu1=0.0, threshold=1e-3)


CLAIMS = (
    Claim(
        "with mu1 = 0 no draw shows transience",
        lambda: fates(lambda fate: fate is not Fate.ICL_TRANSIENT, mu1=0.0, threshold=1e-3),
        needed=1,
        contradiction="ICL is learnt and then lost in a draw",
    ),
)

FIGURE = Figure(
    "coopetition", "17", "17", "the minimal model from twelve draws, mu1 = 0", draw, claims=CLAIMS
)
