"""Ours: how much each seed decides on when ICL emerges and fades.

The main run from a grid of initial and data seeds, in an analysis of variance of two factors.
Shares are those of the sum of squares: of the means over data seeds, of those over initial seeds,
and the rest.  A factor matters if Fisher's F of its mean square over that of the rest has a p-value
below 5 % over all events (Bonferroni).
"""

from collections.abc import Iterable

import numpy as np

from paper_figures.coopetition.events import EVENT_TITLES, LATE
from paper_figures.core.claims import Claim, Reading, Verdict
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import result_of_runs, shared_legend
from paper_figures.core.runs import Array, FigureRun, Runs

TESTED = ("emergence", "flip_peak_at", "flip_peak", "fade")
SOURCES = ("initial seed", "data seed", "both")
P_VALUE = 0.05 / len(TESTED)  # below which a factor matters: one in twenty over all events
NO_REST = 1e-12  # least share of the rest

Grid = dict[tuple[int, int], FigureRun]


def draw(*groups: list[FigureRun]) -> FigureResult:
    """Draw a panel per event: a point per run, by initial seed, and the shares of both seeds."""
    grid = grid_of(*groups)
    drawing = blank(7.2, 2.4)
    numbers: Numbers = []
    findings = []
    inits, datas = _seeds(grid)
    for ax, event in zip(drawing.subplots(1, len(TESTED)), TESTED, strict=True):
        title = EVENT_TITLES[event]
        values = event_values(grid, event)
        for j, (data, column) in enumerate(zip(datas, values.T, strict=True)):
            x = np.arange(len(inits)) + 0.12 * (j - (len(datas) - 1) / 2)
            style = {"color": "black", "mfc": "none", "ms": 4}
            ax.plot(x, column, "o^sD"[j % 4], label=f"data seed {data}", **style)
            numbers += [
                (event, f"data seed {data}", float(init), float(y))
                for init, y in zip(inits, column, strict=True)
                if np.isfinite(y)
            ]
        ax.set_xticks(range(len(inits)), [str(init) for init in inits])
        ax.set(xlabel="initial seed", title=title)
        parts = variance_shares(values)
        if parts is not None:
            shares = ", ".join(f"{n} {part:.0%}" for n, part in zip(SOURCES, parts, strict=True))
            pairs = zip(SOURCES, p_values(parts, values.shape), strict=False)
            p = ", ".join(f"{n} {value:.2g}" for n, value in pairs)
            findings.append(
                f"{title}: shares of variance over {values.size} runs: {shares}; p: {p}"
            )
    drawing.axes[0].set_ylabel("millions of sequences")
    shared_legend(drawing)
    return result_of_runs(drawing, numbers, [*grid.values()], findings)


def grid_of(*groups: list[FigureRun]) -> Grid:
    """Return runs by their pair of seeds: those of initial seeds with all data seeds."""
    runs = {run.seeds: run for group in groups for run in group}
    datas = {data for _, data in runs}
    inits = {init for init, _ in runs if all((init, data) in runs for data in datas)}
    return {pair: runs[pair] for pair in sorted(runs) if pair[0] in inits}


def _seeds(grid: Grid) -> tuple[list[int], list[int]]:
    """Return initial seeds and data seeds."""
    return sorted({init for init, _ in grid}), sorted({data for _, data in grid})


def event_values(grid: Grid, event: str) -> Array:
    """Return an event by `LATE`, of shape (initial seeds, data seeds); NaN if it did not happen.

    Times are in millions.
    """
    inits, datas = _seeds(grid)
    values = np.full((len(inits), len(datas)), np.nan)
    for (init, data), run in grid.items():
        value = getattr(run.timeline(LATE * 1e6 / run.rate_ratio), event)
        if value is not None:
            in_unit = value if event == "flip_peak" else value / 1e6
            values[inits.index(init), datas.index(data)] = in_unit
    return values


def variance_shares(values: Array) -> tuple[float, float, float] | None:
    """Return the parts of the sum of squares due to rows, to columns, and to neither alone.

    None for fewer than two rows or columns, and if a value is missing.
    """
    if min(values.shape, default=0) < 2 or not np.isfinite(values).all() or np.ptp(values) == 0:
        return None
    off = values - values.mean()
    total = float(np.sum(off**2))
    rows = float(values.shape[1] * np.sum(off.mean(axis=1) ** 2)) / total
    columns = float(values.shape[0] * np.sum(off.mean(axis=0) ** 2)) / total
    return rows, columns, 1 - rows - columns


def p_values(parts: tuple[float, float, float], shape: tuple[int, ...]) -> list[float]:
    """Return the chances of as large an effect of rows, and of columns, if there were none."""
    from scipy.stats import f

    freedoms = [n - 1 for n in shape]
    freedom_of_rest = freedoms[0] * freedoms[1]
    mean = max(parts[2], NO_REST) / freedom_of_rest
    return [
        float(f.sf(part / freedom / mean, freedom, freedom_of_rest))
        for part, freedom in zip(parts[:2], freedoms, strict=True)
    ]


def initial_seed_decides(events: Iterable[Array]) -> bool | None:
    """Return whether the initial seed matters for some event and the data seed for none.

    None if neither is shown to matter, as if every event is missing in some run.
    """
    pairs = [p_values(parts, values.shape) for values in events
             if (parts := variance_shares(values)) is not None]  # fmt: skip
    init, data = (any(pair[factor] < P_VALUE for pair in pairs) for factor in (0, 1))
    return init and not data if init or data else None


def _grid_reading(*groups: list[FigureRun]) -> list[Reading]:
    """Return one reading of all runs."""
    grid = grid_of(*groups)
    holds = initial_seed_decides(event_values(grid, event) for event in TESTED)
    return [Reading("the grid", holds, n_runs=len(grid), if_inconclusive=Verdict.UNDECIDED)]


FIGURE = Figure(
    __name__,
    "when ICL emerges and fades, by initial seed and data seed",
    draw,
    (Runs("coopetition/main"), Runs("coopetition/seeds_*")),
    (
        Claim(
            "the times of emergence and fade depend on the initial seed, hardly on the data seed",
            _grid_reading,
            contradiction="the data seed matters too, by an analysis of variance",
        ),
    ),
    "7 (seeds)",
)
