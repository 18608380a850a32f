"""The times of ICL in four clocks, and the exponents of rate and batch size."""

from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.plot.style import FURTHER
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import common_curves, draw_half, result_of_runs
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.studies.clocks.exponents import (
    CLOCKS,
    EVENTS,
    Exponents,
    cells_of,
    fit_exponents,
    observe,
    over_base,
)
from paper_figures.studies.clocks.predictions import COMBINATIONS, predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = {8: ":", 32: "-", 128: "--", 512: "-."}
MARKS = "osD^v"
SHOWN = "fade"  # the event whose predictions are drawn


def draw(runs: list[FigureRun]) -> FigureResult:
    """Draw Flip in each clock (a to d), and the exponents of every event (e)."""
    drawing = blank(7.2, 4.4)
    *clock_axes, plane, key = drawing.subplots(2, 3).flat
    cells = cells_of(runs)
    numbers: Numbers = []
    for ax, letter, (name, clock) in zip(clock_axes, "abcd", CLOCKS.items(), strict=True):
        numbers += _draw_clock(ax, f"{letter} {name}", cells, clock)
        ax.set(title=f"{letter}  {name}", xlabel="steps of the base run, by this clock")
    clock_axes[0].set(ylabel="Flip accuracy")
    fitted = {event: fit_exponents(observe(runs, event)) for event in EVENTS}
    numbers += _draw_exponents(plane, fitted)
    draw_key(key, clock_axes[0], ncols=2, title="rate, batch")
    findings = [
        f"{event}: {'too few runs have it' if own is None else own}"
        for event, own in fitted.items()
    ]
    return result_of_runs(drawing, numbers, runs, findings)


def draw_key(ax: "Axes", of: "Axes", **style: Any) -> None:
    """Draw the legend of other axes in the middle of empty ones."""
    lines, labels = of.get_legend_handles_labels()
    ax.axis("off")
    ax.legend(lines, labels, frameon=False, loc="center", **style)


def _draw_clock(
    ax: "Axes",
    panel: str,
    cells: dict[tuple[float, int], list[FigureRun]],
    clock: tuple[float, float],
) -> Numbers:
    """Draw the mean of Flip over the seeds of each cell."""
    rates = sorted({rate for rate, _ in cells})
    numbers: Numbers = []
    for (rate, batch), own in cells.items():
        sequences, rows = common_curves(own, "flip")
        x, name = sequences / batch * over_base((rate, batch), clock), f"{rate:g}, {batch}"
        look: dict[str, Any] = {"color": FURTHER[rates.index(rate) % len(FURTHER)]}
        is_after_start = x > 0  # the axis is logarithmic
        x, y = x[is_after_start], np.mean(rows, axis=0)[is_after_start]
        ax.plot(x, y, lw=0.9, ls=DASHES[batch], label=name, **look)
        numbers += points(panel, name, x, y)
    draw_half(ax)
    ax.set(xscale="log", ylim=(0, 1))
    return numbers


def _draw_exponents(ax: "Axes", fitted: dict[str, Exponents | None]) -> Numbers:
    """Draw the exponents of each event with their intervals, and what ideas predict of the fade."""
    numbers: Numbers = []
    for (event, own), mark in zip(fitted.items(), MARKS, strict=True):
        if own is None:
            continue
        a, b = own.combination(1, 0), own.combination(0, 1)
        errors = [np.array([[each.value - each.low], [each.high - each.value]]) for each in (a, b)]
        look = {"fmt": mark, "ms": 4, "lw": 0.8, "color": "black", "mfc": "white"}
        ax.errorbar([a.value], [b.value], xerr=errors[0], yerr=errors[1], label=event, **look)
        numbers.append(("e exponents", event, a.value, b.value))
    numbers += _draw_predictions(ax)
    ax.set(title="e  exponents", xlabel="a (rate)", ylabel="b (batch)", xlim=(-0.1, 1.6))
    ax.set(ylim=(-0.1, 1.3))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=5, loc="lower left")
    return numbers


def _draw_predictions(ax: "Axes") -> Numbers:
    """Draw what ideas predict of the fade: a cross, or a line where one number is free."""
    crosses: dict[tuple[float, float], list[str]] = {}
    grey = {"color": "grey", "fontsize": 5, "clip_on": True}
    for idea in predictions():
        fixed = {
            name: low for name, (low, high) in idea.exponents.get(SHOWN, {}).items() if low == high
        }
        if fixed.keys() == {"a", "b"}:
            crosses.setdefault((fixed["a"], fixed["b"]), []).append(idea.name)
            continue
        for name, value in fixed.items():
            p, q = COMBINATIONS[name]
            a = np.array([0.0, 1.6])
            ax.plot(a, (value - p * a) / q, color="grey", lw=0.8, ls=":")
            x, ha, va = (0.85, "left", "bottom") if p == q else (1.25, "right", "top")
            ax.text(x, (value - x * p) / q, idea.name, ha=ha, va=va, **grey)
    for (a, b), names in crosses.items():
        ax.plot([a], [b], "x", color="grey", ms=5)
        ax.text(a + 0.05, b, "\n".join(names), va="bottom", **grey)
    return [
        ("e exponents", f"{name}, {SHOWN}", *at) for at, names in crosses.items() for name in names
    ]


FIGURE = Figure(
    __name__,
    "the rise and fade of ICL in clocks of steps, rate and batch size",
    draw,
    (Runs("clocks/grid_*"),),
)
