"""How figures draw curves of several seeds: their mean, and a band from lowest to highest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from coopetition.plot.fits import SEQUENCES
from coopetition.plot.style import label_of, line_styles, under
from paper_figures.result import Numbers, points
from paper_figures.sources import FigureRun

Array = NDArray[np.float64]
METRIC = "in_context_accuracy"
EVALUATORS = ("train", "icl", "ciwl", "flip")
CROSS = {"marker": "x", "linestyle": "none", "ms": 4, "mew": 1.2}


def together(
    runs: Sequence[FigureRun], evaluator: str, metric: str = METRIC
) -> tuple[Array, Array]:
    """Sequences (n,), and a curve of each run (runs, n) there, as far as all runs go."""
    curves = [run.curves(metric).select((evaluator,)) for run in runs]
    last = min(each.sequences[-1] for each in curves)
    x = curves[0].between(last=last).sequences
    rows = [np.interp(x, each.sequences, each.values[evaluator]) for each in curves]
    return x, np.array(rows)


def draw_band(
    ax: Axes,
    panel: str,
    name: str,
    runs: Sequence[FigureRun],
    evaluator: str,
    *,
    metric: str = METRIC,
    before: float = 0.0,
    **style: Any,
) -> Numbers:
    """One evaluator's curve over seeds, against millions of sequences, `before` added to them."""
    x, rows = together(runs, evaluator, metric)
    x, mean = x + before, rows.mean(axis=0)
    count = f" (n = {len(runs)})" if len(runs) > 1 else ""
    (line,) = ax.plot(x / 1e6, mean, label=name + count, **style)
    numbers = points(panel, name, x, mean)
    if len(runs) > 1:
        low, high = rows.min(axis=0), rows.max(axis=0)
        ax.fill_between(x / 1e6, low, high, color=line.get_color(), alpha=0.2, lw=0)
        numbers += points(panel, f"{name}, lowest", x, low)
        numbers += points(panel, f"{name}, highest", x, high)
    return numbers


def draw_evaluators(
    ax: Axes,
    panel: str,
    runs: Sequence[FigureRun],
    evaluators: Iterable[str] = EVALUATORS,
    *,
    metric: str = METRIC,
) -> Numbers:
    """Curves of several evaluators over seeds."""
    evaluators = tuple(evaluators)
    styles = line_styles(evaluators)
    numbers: Numbers = []
    for name in evaluators:
        label = label_of(name)
        numbers += draw_band(ax, panel, label, runs, name, metric=metric, **styles[name])
    ax.set(xlabel=SEQUENCES, ylim=(0, 1.02))
    return numbers


def draw_groups(
    ax: Axes,
    panel: str,
    groups: Mapping[str, Sequence[FigureRun]],
    evaluator: str,
    *,
    metric: str = METRIC,
    styles: Mapping[str, dict[str, Any]] | None = None,
) -> Numbers:
    """One evaluator's curve in several groups of runs; a group without runs is left out."""
    styles = line_styles(groups) if styles is None else styles
    numbers: Numbers = []
    for name, runs in groups.items():
        if runs:
            numbers += draw_band(ax, panel, name, runs, evaluator, metric=metric, **styles[name])
    ax.set(xlabel=SEQUENCES)
    return numbers


def draw_paper(
    ax: Axes,
    panel: str,
    name: str,
    published: Iterable[tuple[float, float]],
    rate_ratio: float,
    **style: Any,
) -> Numbers:
    """Points read off the paper's figure (millions of its sequences, value), as crosses.

    They stand where our learning rate brings them: `rate_ratio` times as early.  The legend of the
    axes says so once, by a grey cross: those drawn have the colours of their curves.
    """
    x, y = np.array(list(published), float).T
    label = "the paper's" if rate_ratio == 1 else f"the paper's, times / {rate_ratio:g}"
    look: dict[str, Any] = CROSS | style
    ax.plot(x / rate_ratio, y, **look)
    if once(ax, label):
        ax.plot([], [], label=label, color="grey", **CROSS)
    return points(panel, f"{name}, the paper", x * 1e6 / rate_ratio, y)


def once(ax: Axes, label: str) -> str | None:
    """A label for what is drawn in several pieces: none if the legend has it."""
    return None if label in ax.get_legend_handles_labels()[1] else label


def legend_below(ax: Axes, n_columns: int = 2, title: str | None = None) -> None:
    """A legend under the axes, for curves that leave no room between them."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, ncols=n_columns, title=title, **under(ax))


def legend_of_all(drawing: Drawing, n_columns: int = 4) -> None:
    """One legend under all axes, each name once."""
    named: dict[str, Any] = {}
    for ax in drawing.axes:
        handles, labels = ax.get_legend_handles_labels()
        named = dict(zip(labels, handles, strict=True)) | named
    drawing.legend(
        [*named.values()], [*named], frameon=False, loc="outside lower center", ncols=n_columns
    )


def draw_half(ax: Axes) -> None:
    """Where neither strategy is preferred, and chance of two labels."""
    ax.axhline(0.5, color="grey", lw=0.8, ls=":")
