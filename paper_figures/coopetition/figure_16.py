"""Figure 16: the minimal model from twelve draws, ICL with an irreducible error."""

from paper_figures.coopetition.toy_seeds import draw_seeds
from paper_figures.result import FigureResult

TITLE = "16: the minimal model from twelve draws, mu1 = 0.1"


def draw() -> FigureResult:
    """One panel a draw; ICL's loss is drawn with its irreducible part mu1, as published."""
    return draw_seeds(TITLE, mu1=0.1, threshold=1e-6)
