"""Figure 18: trained under intervention: no attention to the token before, three heads less."""

from coopetition.plot.fits import SEQUENCES
from coopetition.plot.style import line_styles
from paper_figures.coopetition.events import (
    AS_MAIN,
    LATE,
    emerges,
    event_time,
    fades,
    height_of,
    never_emerges,
)
from paper_figures.core.claims import Claim, Published, readings
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import draw_half, result_of_runs
from paper_figures.core.runs import FigureRun, Runs

NAMES = ("main run", "no attention of labels to the token before", "without heads 1, 4, 7")
LAST = 2 * LATE  # millions of the paper's sequences, twice as many as in its figure


def draw(*groups: list[FigureRun]) -> FigureResult:
    """Draw Flip accuracy of the first seed's runs."""
    drawing = blank(3.6, 2.8)
    ax = drawing.subplots()
    styles = line_styles(NAMES)
    numbers: Numbers = []
    runs = [runs[0] for runs in groups]
    for name, run in zip(NAMES, runs, strict=True):
        curves = run.curves().between(last=LAST * 1e6 / run.rate_ratio)
        ax.plot(curves.sequences / 1e6, curves.values["flip"], label=name, **styles[name])
        numbers += points("", name, curves.sequences, curves.values["flip"])
    draw_half(ax)
    ax.set(xlabel=SEQUENCES, ylabel="Flip: in-context accuracy", ylim=(0, 1))
    ax.legend(frameon=False)
    return result_of_runs(drawing, numbers, runs)


CLAIMS = (
    Claim(
        "if labels cannot attend to the token before them, ICL is never preferred",
        lambda main, without, ablated: readings(without, never_emerges),
        contradiction="Flip accuracy rises above one half",
    ),
    Claim(
        "without three heads of the first layer ICL still emerges: highest Flip accuracy",
        lambda main, without, ablated: readings(ablated, emerges, height_of("flip_peak")),
        Published.of(0.761),
        AS_MAIN,
        contradiction="Flip accuracy stays below one half until 20M",
    ),
    Claim(
        "without three heads of the first layer ICL fades",
        lambda main, without, ablated: readings(ablated, fades, event_time("fade")),
        Published.at(8),
        AS_MAIN,
        contradiction="Flip accuracy stays above one half until 20M",
    ),
)

FIGURE = Figure(
    __name__,
    "Flip accuracy of runs that are trained under interventions",
    draw,
    tuple(
        Runs(f"coopetition/{name}") for name in ("main", "no_previous_token", "three_heads_ablated")
    ),
    CLAIMS,
)
