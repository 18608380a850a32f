"""Figure 7: the main run with other seeds, of the initial parameters and of the data."""

from collections.abc import Callable
from functools import partial

from coopetition.plot.style import COLOURS
from paper_figures.coopetition.events import LATE, ciwl_comes, emerges, fades, readings
from paper_figures.coopetition.paper_seeds import PAPER
from paper_figures.core.claims import Claim, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import (
    EVALUATORS,
    draw_evaluators,
    draw_half,
    draw_paper,
    legend_of_all,
)
from paper_figures.core.runs import FigureRun, Runs
from transformer.experiments.coopetition import DATA_SEED, PAPER_SEEDS, SEEDS

SEEDED = ((SEEDS[0], DATA_SEED), *PAPER_SEEDS)


def draw(main: list[FigureRun], *seeded: list[FigureRun]) -> FigureResult:
    """A panel a pair of seeds, with the paper's peak and fade of Flip."""
    runs = runs_of(main, *seeded)
    n_rows = -(-len(runs) // 3)
    drawing = blank(7.2, 2.1 * n_rows)
    axes = drawing.subplots(n_rows, 3, sharex=True, sharey=True, squeeze=False)
    numbers: Numbers = []
    for run, ax in zip(runs, axes.flat, strict=False):
        pair = run.seeds
        panel = f"init {pair[0]}, data {pair[1]}"
        numbers += draw_evaluators(ax, panel, [run])
        seen = PAPER[pair]
        points = ((seen.flip_peak_at, seen.flip_peak), (seen.fade, 0.5))
        numbers += draw_paper(ax, panel, "Flip", points, run.rate_ratio, color=COLOURS["flip"])
        draw_half(ax)
        ax.set(title=panel, xlim=(0, LATE / run.rate_ratio), ylabel="in-context accuracy")
    for ax in axes.flat[len(runs) :]:
        ax.set_axis_off()
    legend_of_all(drawing, 5)
    for ax in drawing.axes:
        ax.label_outer()
    record = {"runs": [run.record() for run in runs], "evaluators": EVALUATORS}
    return FigureResult(drawing, numbers, record, [run.finding() for run in runs])


def runs_of(*groups: list[FigureRun]) -> list[FigureRun]:
    """The runs of the paper's pairs of seeds, each once, in the paper's order."""
    found = {run.seeds: run for group in groups for run in group}
    return [found[pair] for pair in SEEDED if pair in found]


def _of_every(*groups: list[FigureRun], holds: Callable[[FigureRun], bool | None]) -> list[Reading]:
    """A reading of each run, where there are several: of every seed, one tells nothing."""
    runs = runs_of(*groups)
    return readings(runs, holds) if len(runs) > 1 else []


CLAIMS = (
    Claim(
        "ICL emerges with every seed",
        partial(_of_every, holds=emerges),
        needed=1,
        contradiction="with one seed Flip accuracy stays below one half until 20M",
    ),
    Claim(
        "ICL fades with every seed",
        partial(_of_every, holds=fades),
        needed=1,
        contradiction="with one seed Flip accuracy stays above one half until 20M",
    ),
    Claim(
        "CIWL comes with every seed: accuracy of 0.9",
        partial(_of_every, holds=ciwl_comes),
        needed=1,
        contradiction="with one seed CIWL accuracy stays below 0.9 until 23M",
    ),
)

FIGURE = Figure(
    "coopetition",
    "7",
    "7",
    "the main run with other seeds",
    draw,
    needs=(
        Runs("coopetition/main"),
        *(Runs(f"coopetition/seeds_{i}_{d}", optional=True) for i, d in PAPER_SEEDS),
    ),
    claims=CLAIMS,
)
