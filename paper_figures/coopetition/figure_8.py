"""Figure 8: with positions that are not learned, ICL does not emerge."""

from paper_figures.coopetition.events import ciwl_reaches_90, event_time, height_of, stays_at_chance
from paper_figures.core.claims import Claim, Published, readings
from paper_figures.core.figure import Figure
from paper_figures.core.plotting import draw_by_setting
from paper_figures.core.runs import Runs

CIWL_90 = {"sinusoidal": 15.1, "rotary": 9.4}  # millions of sequences, in the paper


CLAIMS = (
    *(
        Claim(
            f"{positions} positions: ICL accuracy stays at chance",
            lambda *groups, k=k: readings(groups[k], stays_at_chance, height_of("icl_final")),
            Published(0.49, 0.52, "above chance"),
            contradiction="ICL accuracy reaches 0.6",
        )
        for k, positions in enumerate(CIWL_90, start=1)
    ),
    *(
        Claim(
            f"{positions} positions: CIWL still reaches an accuracy of 0.9",
            lambda *groups, k=k: readings(groups[k], ciwl_reaches_90, event_time("ciwl_90")),
            Published.at(CIWL_90[positions]),
            contradiction="CIWL accuracy stays below 0.9 until 23M",
        )
        for k, positions in enumerate(CIWL_90, start=1)
    ),
)

FIGURE = Figure(
    __name__,
    "learned, sinusoidal and rotary positions",
    draw_by_setting(("learned", *CIWL_90), last=40),
    (
        Runs("coopetition/main"),
        Runs("coopetition/sinusoidal", optional=True),
        Runs("coopetition/rotary", optional=True),
    ),
    CLAIMS,
)
