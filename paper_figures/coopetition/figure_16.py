"""Figure 16: the minimal model from twelve draws, ICL with an irreducible error."""

from functools import partial

from paper_figures.coopetition.panels import draw_published_seeds, fate_readings
from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure

SETTINGS = {"mu1": 0.1, "threshold": 1e-6}

FIGURE = Figure(
    __name__,
    "the minimal model from twelve draws, mu1 = 0.1",
    partial(draw_published_seeds, **SETTINGS),
    claims=(
        Claim(
            "with mu1 = 0.1 ICL is learnt and then lost in 10 of 12 draws",
            lambda: fate_readings(lambda fate: fate == "icl_transient", **SETTINGS),
            needed=10 / 12,
            contradiction="ICL is learnt and then lost in fewer than 10 draws",
        ),
    ),
)
