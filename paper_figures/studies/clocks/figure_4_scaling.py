"""Flip and the times of events in the clock of the square-root scaling rule."""

from typing import TYPE_CHECKING

import numpy as np

from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import common_curves, draw_half, result_of_runs
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.studies.clocks.exponents import (
    Cell,
    Observation,
    cells_of,
    fit_exponents,
    observe,
)
from paper_figures.studies.clocks.figure_1 import DASHES, MARKS, draw_key
from paper_figures.studies.clocks.laws import SIGNAL_TO_NOISE, fit_law, signal_time
from paper_figures.studies.clocks.scaling import clock_of, noise_level

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = ("emergence", "peak", "fade", "ciwl_90")
CLOCK = "steps of the base run, by this clock"


def draw(runs: list[FigureRun]) -> FigureResult:
    """Draw Flip of each cell (a), and each event's time by the noise level (b)."""
    drawing = blank(7.2, 3.0)
    left, key, right = drawing.subplots(1, 3, width_ratios=(1, 0.4, 1))
    cells = cells_of(runs)
    numbers = _draw_flip(left, cells)
    draw_key(key, left, fontsize=6, title="q: rate, batch")
    findings = []
    for event, mark in zip(SHOWN, MARKS, strict=False):
        observed = observe(runs, event)
        numbers += _draw_event(right, observed, event, mark)
        fitted = fit_exponents(observed)
        text = "too few runs have it" if fitted is None else f"a + 2b = {fitted.combination(1, 2)}"
        findings.append(f"{event}: {text}")
    right.set(title="b  times of events", xscale="log", yscale="log")
    right.set(xlabel="q = rate / sqrt(batch) (base run: 1)")
    right.set(ylabel=CLOCK)
    right.legend(frameon=False, fontsize=6)
    return result_of_runs(drawing, numbers, runs, findings)


def _draw_flip(ax: "Axes", cells: dict[Cell, list[FigureRun]]) -> Numbers:
    """Draw the mean of Flip over the seeds of each cell; a colour is a noise level."""
    from matplotlib import colormaps

    levels = sorted({noise_level(cell) for cell in cells})
    shades = colormaps["viridis"].resampled(len(levels) + 1)  # without the last, too light
    numbers: Numbers = []
    for cell in sorted(cells, key=noise_level):
        sequences, rows = common_curves(cells[cell], "flip")
        is_after_start = sequences > 0  # the axis is logarithmic
        x = (sequences / cell[1] * clock_of(cell))[is_after_start]
        y = np.mean(rows, axis=0)[is_after_start]
        level = noise_level(cell)
        name = f"{level:.3g}: {cell[0]:g}, {cell[1]}"
        ax.plot(x, y, lw=0.9, ls=DASHES[cell[1]], color=shades(levels.index(level)), label=name)
        numbers += points("a Flip", name, x, y)
    draw_half(ax)
    ax.set(title="a  clock: rate x sqrt(batch) x steps", xscale="log", ylim=(0, 1))
    ax.set(xlabel=CLOCK, ylabel="Flip accuracy")
    return numbers


def _draw_event(ax: "Axes", observed: list[Observation], event: str, mark: str) -> Numbers:
    """Draw an event's time in every run that has it, and the signal-to-noise law."""
    seen = [each for each in observed if not each.is_censored]
    if not seen:
        return []
    x = np.array([noise_level(each.cell) for each in seen])
    y = np.array([each.steps * clock_of(each.cell) for each in seen])
    (line,) = ax.plot(x, y, mark, ms=3.5, mfc="none", label=event)
    a, b2 = fit_law(observed, SIGNAL_TO_NOISE).times
    levels = np.geomspace(x.min(), x.max(), 50)
    ax.plot(levels, signal_time(a, b2, levels), lw=0.8, color=line.get_color())
    return points("b times of events", event, x, y)


FIGURE = Figure(
    __name__,
    "one number, rate / sqrt(batch), nearly decides the times of ICL",
    draw,
    (Runs("clocks/grid_*"),),
)
