"""Figure 17: the minimal model from twelve draws, ICL without an irreducible error."""

from functools import partial

from paper_figures.coopetition.panels import draw_published_seeds, fate_readings
from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure

SETTINGS = {"mu1": 0.0, "threshold": 1e-3}

FIGURE = Figure(
    __name__,
    "the minimal model from twelve draws, mu1 = 0",
    partial(draw_published_seeds, **SETTINGS),
    claims=(
        Claim(
            "with mu1 = 0 no draw shows transience",
            lambda: fate_readings(lambda fate: fate != "icl_transient", **SETTINGS),
            needed=1,
            contradiction="ICL is learnt and then lost in a draw",
        ),
    ),
)
