"""Figure 13: one layer learns CIWL, and no ICL."""

from paper_figures.coopetition.events import (
    LATE,
    comes_earlier,
    event_time,
    height_of,
    never_emerges,
    stays_at_chance,
)
from paper_figures.core.claims import Claim, Published, readings
from paper_figures.core.figure import Figure
from paper_figures.core.plotting import draw_by_setting
from paper_figures.core.runs import Runs

CLAIMS = (
    Claim(
        "one layer: ICL accuracy stays at chance",
        lambda main, one_layer: readings(one_layer, stays_at_chance, height_of("icl_final")),
        Published.of(0.50, "above chance"),
        contradiction="ICL accuracy reaches 0.6",
    ),
    Claim(
        "one layer: ICL is never preferred",
        lambda main, one_layer: readings(one_layer, never_emerges),
        contradiction="Flip accuracy rises above one half",
    ),
    Claim(
        "one layer: CIWL reaches an accuracy of 0.9 sooner than with two layers",
        lambda main, one_layer: readings(
            one_layer, comes_earlier("ciwl_90", main), event_time("ciwl_90")
        ),
        Published.at(5),
        contradiction="CIWL accuracy reaches 0.9 later than with two layers and the same "
        "seed, or never",
    ),
)

FIGURE = Figure(
    __name__,
    "one layer",
    draw_by_setting(("2 layers", "1 layer"), LATE),
    (Runs("coopetition/main"), Runs("coopetition/one_layer", optional=True)),
    CLAIMS,
)
