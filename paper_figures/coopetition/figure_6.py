"""Figure 6: on matched data, query and context show the same drawing, and ICL stays.

a: two layers.  b: twelve layers with MLPs, sinusoidal positions and eight pairs.
"""

from collections.abc import Callable

from coopetition.plot.style import line_styles
from paper_figures.coopetition.events import (
    LATE,
    earlier,
    event,
    happened_by,
    happens,
    height,
    not_by,
    readings,
)
from paper_figures.core.claims import Claim, Published
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.plotting import draw_groups, draw_half, draw_paper
from paper_figures.core.runs import FigureRun, Runs

ORDINARY, MATCHED = "ordinary data", "matched data"
PAPER = ((2.3, 0.5), (4, 0.90), (20, 0.924))  # millions, Flip on matched data, two layers
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
    """Flip accuracies; panel b says so where its runs are not kept."""
    drawing = blank(7.2, 2.6)
    axes = drawing.subplots(1, 2)
    ratio = matched[0].rate_ratio
    numbers = draw_groups(axes[0], "a", {ORDINARY: main, MATCHED: matched}, "flip")
    colours = {name: style["color"] for name, style in line_styles((ORDINARY, MATCHED)).items()}
    numbers += draw_paper(axes[0], "a", MATCHED, PAPER, ratio, color=colours[MATCHED])
    axes[0].set(title="a  2 layers", xlim=(0, LATE / ratio))
    if deep:
        both = {ORDINARY: deep, MATCHED: deep_matched}
        numbers += draw_groups(axes[1], "b", both, "flip")
        for name, colour in colours.items():
            crosses = PAPER_DEEP[name]
            numbers += draw_paper(axes[1], "b", name, crosses, deep[0].rate_ratio, color=colour)
        last = max(run.n_sequences for run in (*deep, *deep_matched))
        axes[1].set(title="b  12 layers", xlim=(0, last / 1e6))
    else:
        axes[1].set(title="b  12 layers: no run yet")
        axes[1].set_axis_off()
    for ax in axes[: 2 if deep else 1]:
        draw_half(ax)
        ax.set(ylabel="Flip accuracy", ylim=(0, 1))
        ax.legend(frameon=False)
    runs = [*main, *matched, *deep, *deep_matched]
    findings = [run.finding() for run in runs]
    return FigureResult(drawing, numbers, {"runs": [run.record() for run in runs]}, findings)


def stays(millions: float = LATE) -> Callable[[FigureRun], bool | None]:
    """Whether ICL, once preferred, stays so until the end; None if that is before `millions`."""

    def holds(run: FigureRun) -> bool | None:
        risen = happens("emergence", millions)(run)
        if not risen:
            return risen
        return not_by(run.timeline().fade is not None, run, millions)

    return holds


def _at_400(run: FigureRun) -> float:
    return run.at("flip", 400)


def fades_slowly(run: FigureRun) -> bool | None:
    """Whether Flip falls after its peak by at least a tenth; None in a run of less than 300M."""
    told = run.timeline()
    falls = told.emergence is not None and told.flip_final < told.flip_peak - 0.1
    return happened_by(falls, run, 300)


CLAIMS = (
    Claim(
        "2 layers, matched data: ICL emerges, sooner than on ordinary data",
        lambda main, matched, *deep: readings(
            matched, earlier("emergence", main), event("emergence")
        ),
        Published.at(2.3),
        "on ordinary data, too, ICL emerges sooner than the paper's (figure 1)",
        contradiction="Flip accuracy rises through one half later than on ordinary data with "
        "the same seed, or never",
    ),
    Claim(
        "2 layers, matched data: ICL stays",
        lambda main, matched, *deep: readings(matched, stays(), height("flip_final")),
        Published.of(0.924),
        contradiction="Flip accuracy falls below one half again, or never rises above it",
    ),
    Claim(
        "12 layers, ordinary data: ICL is preferred, and fades slowly",
        lambda main, matched, deep, deep_matched: readings(deep, fades_slowly, _at_400),
        Published(0.77, 0.78),
        contradiction="Flip accuracy falls by less than 0.1 from its peak by 300M, or never "
        "rises above one half",
    ),
    Claim(
        "12 layers, matched data: ICL stays",
        lambda main, matched, deep, deep_matched: readings(deep_matched, stays(300), _at_400),
        Published(0.90, 0.93),
        contradiction="Flip accuracy falls below one half by 300M, or never rises above it",
    ),
)


FIGURE = Figure(
    "coopetition",
    "6",
    "6",
    "matched data, on which ICL stays",
    draw,
    needs=(
        Runs("coopetition/main"),
        Runs("coopetition/matched"),
        Runs("coopetition/deep", optional=True),
        Runs("coopetition/deep_matched", optional=True),
    ),
    claims=CLAIMS,
)
