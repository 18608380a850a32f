"""Ours: how much of when ICL comes and goes is due to which seed?

The main run from a grid of initial and data seeds, in an analysis of variance of two factors:
shares are those of the sum of squares (of the means over data seeds, of those over initial seeds,
and what is left to the pair); a factor matters if Fisher's F of its mean square over that of the
rest has a chance below 5 % over all events (Bonferroni).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f

from paper_figures.coopetition.events import LATE
from paper_figures.core.claims import Claim, Reading, Verdict
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import legend_of_all
from paper_figures.core.runs import FigureRun, Runs
from transformer.experiments.coopetition import DATA_SEED, SEED_GRID, SEEDS

EVENTS = {
    "emergence": "emergence",
    "flip_peak_at": "Flip's peak",
    "flip_peak": "height of the peak",
    "fade": "fade",
}
SOURCES = ("initial seed", "data seed", "both")
CHANCE = 0.05 / len(EVENTS)  # below which a factor matters: one in twenty over all events
EXACT = 1e-12  # share of the rest in place of none

Grid = dict[tuple[int, int], FigureRun]


def draw(main: list[FigureRun], *seeded: list[FigureRun]) -> FigureResult:
    """A panel an event: a point a run, by initial seed, and the shares of both seeds."""
    grid = grid_of(main, *seeded)
    drawing = blank(7.2, 2.4)
    numbers: Numbers = []
    findings = []
    inits, datas = axes_of(grid)
    for ax, (event, title) in zip(drawing.subplots(1, len(EVENTS)), EVENTS.items(), strict=True):
        values = values_of(grid, event)
        for j, data in enumerate(datas):
            x = np.arange(len(inits)) + 0.12 * (j - (len(datas) - 1) / 2)
            ax.plot(x, values[:, j], "o^sD"[j % 4], ms=4, color="black", mfc="none",
                    label=f"data seed {data}")  # fmt: skip
            numbers += [
                (event, f"data seed {data}", float(init), float(y))
                for init, y in zip(inits, values[:, j], strict=True)
                if np.isfinite(y)
            ]
        ax.set_xticks(range(len(inits)), [str(init) for init in inits])
        ax.set(xlabel="initial seed", title=title)
        parts, by_chance = shares(values), chances(values)
        if parts is not None and by_chance is not None:
            told = ", ".join(f"{n} {p:.0%}" for n, p in zip(SOURCES, parts, strict=True))
            p = ", ".join(f"{n} {p:.2g}" for n, p in zip(SOURCES, by_chance, strict=False))
            findings.append(f"{title}: of its variance over {values.size} runs, {told}; p: {p}")
    drawing.axes[0].set_ylabel("millions of sequences")
    legend_of_all(drawing)
    record = {"runs": [run.record() for run in grid.values()]}
    return FigureResult(drawing, numbers, record, findings)


def grid_of(*groups: list[FigureRun]) -> Grid:
    """Runs by their pair of seeds, those that make a whole grid: initial seeds with all data."""
    found = {run.seeds: run for group in groups for run in group}
    datas = {data for _, data in SEED_GRID}
    inits = {init for init, _ in found}
    whole = {init for init in inits if all((init, data) in found for data in datas)}
    return {pair: found[pair] for pair in SEED_GRID if pair[0] in whole}


def axes_of(grid: Grid) -> tuple[list[int], list[int]]:
    """Initial seeds and data seeds."""
    return sorted({init for init, _ in grid}), sorted({data for _, data in grid})


def values_of(grid: Grid, event: str) -> NDArray[np.float64]:
    """An event by `LATE`, until which all runs last; NaN where it did not happen.

    Of shape (initial seeds, data seeds); times in millions.
    """
    inits, datas = axes_of(grid)
    values = np.full((len(inits), len(datas)), np.nan)
    for i, init in enumerate(inits):
        for j, data in enumerate(datas):
            run = grid[init, data]
            found = getattr(run.timeline(LATE * 1e6 / run.rate_ratio), event)
            if found is not None:
                values[i, j] = found if event == "flip_peak" else found / 1e6
    return values


def shares(values: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Parts of the sum of squares due to rows, to columns, and to neither alone.

    None of less than two rows or columns, or where a value is missing.
    """
    if min(values.shape, default=0) < 2 or not np.isfinite(values).all() or np.ptp(values) == 0:
        return None
    off = values - values.mean()
    total = float(np.sum(off**2))
    rows = float(values.shape[1] * np.sum(off.mean(axis=1) ** 2)) / total
    columns = float(values.shape[0] * np.sum(off.mean(axis=0) ** 2)) / total
    return rows, columns, 1 - rows - columns


def chances(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Of as large an effect of rows, and of columns, if there were none; None as `shares`."""
    parts = shares(values)
    if parts is None:
        return None
    rows, columns, rest = parts
    of_rows, of_columns = (n - 1 for n in values.shape)
    of_rest = of_rows * of_columns
    mean = max(rest, EXACT) / of_rest
    return (
        float(f.sf(rows / of_rows / mean, of_rows, of_rest)),
        float(f.sf(columns / of_columns / mean, of_columns, of_rest)),
    )


def by_init(events: Iterable[NDArray[np.float64]]) -> bool | None:
    """Whether the initial seed matters for some event and the data seed for none.

    None if neither is shown to matter, as where each event is missing in some run.
    """
    found = [pair for pair in map(chances, events) if pair is not None]
    init, data = (any(pair[factor] < CHANCE for pair in found) for factor in (0, 1))
    return init and not data if init or data else None


def _of_grid(*groups: list[FigureRun]) -> list[Reading]:
    """One reading of all runs."""
    grid = grid_of(*groups)
    holds = by_init(values_of(grid, event) for event in EVENTS)
    return [Reading("the grid", holds, n_runs=len(grid))]


CLAIMS = (
    Claim(
        "when ICL comes and goes depends on the initial seed, hardly on that of the data",
        _of_grid,
        untold=Verdict.UNDECIDED,
        contradiction="the data seed matters too, by an analysis of variance",
    ),
)

FIGURE = Figure(
    "coopetition",
    "seeds",
    "ours: seeds",
    "when ICL comes and goes, by initial seed and data seed",
    draw,
    needs=(
        Runs("coopetition/main"),
        *(
            Runs(f"coopetition/seeds_{init}_{data}")
            for init, data in SEED_GRID
            if (init, data) != (SEEDS[0], DATA_SEED)
        ),
    ),
    claims=CLAIMS,
)
