"""Figure 6: on matched data, query and context show the same drawing, and ICL stays.

a: two layers.  b: twelve layers with MLPs, sinusoidal positions and eight pairs.
"""

from coopetition.plot.style import line_styles
from paper_figures.coopetition.events import (
    LATE,
    comes_earlier,
    event_time,
    has_event,
    has_happened,
    has_not_happened,
    height_of,
    value_at,
)
from paper_figures.core.claims import Claim, Condition, Published, readings
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.plotting import draw_groups, draw_half, draw_published, result_of_runs
from paper_figures.core.runs import FigureRun, Runs

ORDINARY, MATCHED = "ordinary data", "matched data"
PAPER = {MATCHED: ((2.3, 0.5), (4, 0.90), (20, 0.924))}  # millions, Flip; two layers
PAPER_DEEP = {
    ORDINARY: ((50, 0.943), (100, 0.935), (200, 0.87), (300, 0.79), (400, 0.775)),
    MATCHED: ((100, 0.915), (200, 0.915), (400, 0.915)),
}


def draw(
    main: list[FigureRun],
    matched: list[FigureRun],
    deep: list[FigureRun],
    deep_matched: list[FigureRun],
) -> FigureResult:
    """Draw Flip accuracies; panel b only if its runs are kept."""
    drawing = blank(7.2, 2.6)
    axes = drawing.subplots(1, 2)
    styles = line_styles((ORDINARY, MATCHED))
    numbers = []
    panels = (
        ("a", "2 layers", main, matched, PAPER),
        ("b", "12 layers", deep, deep_matched, PAPER_DEEP),
    )
    for ax, (letter, title, ordinary, on_matched, paper) in zip(axes, panels, strict=True):
        if not ordinary:
            ax.set(title=f"{letter}  {title}: no run yet")
            ax.set_axis_off()
            continue
        groups = {ORDINARY: ordinary, MATCHED: on_matched}
        numbers += draw_groups(ax, letter, groups, "flip")
        ratio = ordinary[0].rate_ratio
        for name, crosses in paper.items():
            numbers += draw_published(ax, letter, name, crosses, ratio, styles[name]["color"])
        draw_half(ax)
        last = max(run.n_sequences for run in (*ordinary, *on_matched)) / 1e6
        ax.set(
            title=f"{letter}  {title}",
            xlim=(0, LATE / ratio if letter == "a" else last),
            ylabel="Flip accuracy",
            ylim=(0, 1),
        )
        ax.legend(frameon=False)
    return result_of_runs(drawing, numbers, [*main, *matched, *deep, *deep_matched])


def stays(millions: float = LATE) -> Condition:
    """Return the condition that ICL becomes preferred and stays so, for at least `millions`."""

    def holds(run: FigureRun) -> bool | None:
        risen = has_event("emergence", millions)(run)
        return has_not_happened(run.timeline().fade is not None, run, millions) if risen else risen

    return holds


def fades_slowly(run: FigureRun) -> bool | None:
    """Return whether Flip falls after its peak by at least a tenth; None for a short run."""
    events = run.timeline()
    falls = events.emergence is not None and events.flip_final < events.flip_peak - 0.1
    return has_happened(falls, run, 300)


CLAIMS = (
    Claim(
        "2 layers, matched data: ICL emerges sooner than on ordinary data",
        lambda main, matched, *deep: readings(
            matched, comes_earlier("emergence", main), event_time("emergence")
        ),
        Published.at(2.3),
        "on ordinary data, too, ICL emerges sooner in our runs than in the paper's (figure 1)",
        contradiction="Flip accuracy rises through one half later than on ordinary data with "
        "the same seed, or never",
    ),
    Claim(
        "2 layers, matched data: ICL stays preferred: last Flip accuracy",
        lambda main, matched, *deep: readings(matched, stays(), height_of("flip_final")),
        Published.of(0.924),
        contradiction="Flip accuracy falls below one half again, or never rises above it",
    ),
    Claim(
        "12 layers, ordinary data: ICL is preferred, and fades slowly: Flip accuracy at 400M",
        lambda main, matched, deep, deep_matched: readings(
            deep, fades_slowly, value_at("flip", 400)
        ),
        Published(0.77, 0.78),
        contradiction="Flip accuracy falls by less than 0.1 from its peak by 300M, or never "
        "rises above one half",
    ),
    Claim(
        "12 layers, matched data: ICL stays preferred: Flip accuracy at 400M",
        lambda main, matched, deep, deep_matched: readings(
            deep_matched, stays(300), value_at("flip", 400)
        ),
        Published(0.90, 0.93),
        contradiction="Flip accuracy falls below one half by 300M, or never rises above it",
    ),
)

FIGURE = Figure(
    __name__,
    "matched data, on which ICL stays",
    draw,
    (
        Runs("coopetition/main"),
        Runs("coopetition/matched"),
        Runs("coopetition/deep", optional=True),
        Runs("coopetition/deep_matched", optional=True),
    ),
    CLAIMS,
)
