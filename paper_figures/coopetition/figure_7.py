"""Figure 7: the main run with other seeds, of the initial parameters and of the data."""

from functools import partial

from coopetition.plot.style import COLOURS
from paper_figures.coopetition.events import LATE, ciwl_reaches_90, emerges, fades
from paper_figures.coopetition.paper_values import PAPER_RUNS
from paper_figures.core.claims import Claim, Condition, Reading, readings
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import (
    draw_evaluators,
    draw_half,
    draw_published,
    result_of_runs,
    shared_legend,
)
from paper_figures.core.runs import FigureRun, Runs


def draw(*groups: list[FigureRun]) -> FigureResult:
    """Draw a panel per pair of seeds, with the paper's peak and fade of Flip."""
    runs = _runs_of_pairs(*groups)
    n_rows = -(-len(runs) // 3)
    drawing = blank(7.2, 2.1 * n_rows)
    axes = drawing.subplots(n_rows, 3, sharex=True, sharey=True, squeeze=False)
    numbers: Numbers = []
    for run, ax in zip(runs, axes.flat, strict=False):
        panel = f"init {run.seeds[0]}, data {run.seeds[1]}"
        numbers += draw_evaluators(ax, panel, [run])
        paper = PAPER_RUNS[run.seeds]
        points = ((paper.flip_peak_at, paper.flip_peak), (paper.fade, 0.5))
        numbers += draw_published(ax, panel, "Flip", points, run.rate_ratio, COLOURS["flip"])
        draw_half(ax)
        ax.set(title=panel, xlim=(0, LATE / run.rate_ratio), ylabel="in-context accuracy")
    for ax in axes.flat[len(runs) :]:
        ax.set_axis_off()
    shared_legend(drawing, 5)
    for ax in drawing.axes:
        ax.label_outer()
    return result_of_runs(drawing, numbers, runs)


def _runs_of_pairs(*groups: list[FigureRun]) -> list[FigureRun]:
    """Return the runs of the paper's pairs of seeds, each once, in the paper's order."""
    by_seeds = {run.seeds: run for group in groups for run in group}
    return [by_seeds[pair] for pair in PAPER_RUNS if pair in by_seeds]


def _every_seed(*groups: list[FigureRun], holds: Condition) -> list[Reading]:
    """Return a reading of each run; none of a single run, which says nothing about every seed."""
    runs = _runs_of_pairs(*groups)
    return readings(runs, holds) if len(runs) > 1 else []


CLAIMS = tuple(
    Claim(text, partial(_every_seed, holds=holds), needed=1, contradiction=f"with one seed {other}")
    for text, holds, other in (
        ("ICL emerges with every seed", emerges, "Flip accuracy stays below one half until 20M"),
        ("ICL fades with every seed", fades, "Flip accuracy stays above one half until 20M"),
        (
            "with every seed CIWL reaches an accuracy of 0.9",
            ciwl_reaches_90,
            "CIWL accuracy stays below 0.9 until 23M",
        ),
    )
)

FIGURE = Figure(
    __name__,
    "the main run with other seeds",
    draw,
    (
        Runs("coopetition/main"),
        *(
            Runs(f"coopetition/seeds_{init}_{data}", optional=True)
            for init, data in [*PAPER_RUNS][1:]
        ),
    ),
    CLAIMS,
)
