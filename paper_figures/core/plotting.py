"""Panels that figures share: curves over seeds, groups of runs, published numbers, legends."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.plot.fits import SEQUENCES, plot_curves
from coopetition.plot.style import label_of, legend_position, line_styles
from paper_figures.core.figure import FigureResult, Numbers, blank, points
from paper_figures.core.runs import METRIC, Array, FigureRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

SHOWN_EVALUATORS = ("train", "icl", "ciwl", "flip")
MILLION = 1e6
CROSS = {"marker": "x", "linestyle": "none", "ms": 4, "mew": 1.2}


def common_curves(
    runs: Sequence[FigureRun], evaluator: str, metric: str = METRIC
) -> tuple[Array, Array]:
    """Return sequences (n,), and a curve of each run (runs, n), as far as all runs go."""
    curves = [run.curves(metric).select((evaluator,)) for run in runs]
    last = min(each.sequences[-1] for each in curves)
    x = curves[0].between(last=last).sequences
    rows = [np.interp(x, each.sequences, each.values[evaluator]) for each in curves]
    return x, np.array(rows)


def draw_band(
    ax: "Axes",
    panel: str,
    name: str,
    runs: Sequence[FigureRun],
    evaluator: str,
    *,
    metric: str = METRIC,
    before: float = 0.0,
    with_count: bool = True,
    **style: Any,
) -> Numbers:
    """Draw the mean and range of a curve over seeds, against sequences plus `before`.

    with_count : whether the label has the number of runs, if there are several
    """
    x, rows = common_curves(runs, evaluator, metric)
    x, mean = x + before, rows.mean(axis=0)
    count = f" (n = {len(runs)})" if with_count and len(runs) > 1 else ""
    (line,) = ax.plot(x / 1e6, mean, label=name + count, **style)
    numbers = points(panel, name, x, mean)
    if len(runs) > 1:
        low, high = rows.min(axis=0), rows.max(axis=0)
        ax.fill_between(x / 1e6, low, high, color=line.get_color(), alpha=0.2, lw=0)
        numbers += points(panel, f"{name}, lowest", x, low)
        numbers += points(panel, f"{name}, highest", x, high)
    return numbers


def draw_run(
    ax: "Axes", panel: str, run: FigureRun, names: tuple[str, ...], metric: str
) -> Numbers:
    """Draw curves of one run."""
    curves = run.curves(metric).select(names)
    plot_curves(curves, ax=ax)
    numbers = []
    for name, values in curves.values.items():
        numbers += points(panel, name, curves.sequences, values)
    return numbers


def draw_evaluators(
    ax: "Axes",
    panel: str,
    runs: Sequence[FigureRun],
    evaluators: Sequence[str] = SHOWN_EVALUATORS,
    *,
    metric: str = METRIC,
    with_count: bool = True,
) -> Numbers:
    """Draw curves of several evaluators over seeds; `with_count` as in `draw_band`."""
    styles = line_styles(evaluators)
    numbers: Numbers = []
    for name in evaluators:
        label = label_of(name)
        numbers += draw_band(
            ax, panel, label, runs, name, metric=metric, with_count=with_count, **styles[name]
        )
    ax.set(xlabel=SEQUENCES, ylim=(0, 1.02))
    return numbers


def draw_groups(
    ax: "Axes",
    panel: str,
    groups: Mapping[str, Sequence[FigureRun]],
    evaluator: str,
    *,
    metric: str = METRIC,
    styles: Mapping[str, dict[str, Any]] | None = None,
) -> Numbers:
    """Draw one evaluator's curve in each group of runs that is not empty."""
    styles = line_styles(groups) if styles is None else styles
    numbers: Numbers = []
    for name, runs in groups.items():
        if runs:
            numbers += draw_band(ax, panel, name, runs, evaluator, metric=metric, **styles[name])
    ax.set(xlabel=SEQUENCES)
    return numbers


def draw_published(
    ax: "Axes",
    panel: str,
    name: str,
    published: Iterable[tuple[float, float]],
    rate_ratio: float,
    color: Any,
) -> Numbers:
    """Draw points of the paper (millions of its sequences, value) as crosses.

    Times are divided by `rate_ratio`, as our runs' are.  A grey cross in the legend says so once.
    """
    x, y = np.array(list(published), float).T
    label = "the paper" if rate_ratio == 1 else f"the paper, times / {rate_ratio:g}"
    ax.plot(x / rate_ratio, y, color=color, **CROSS)
    if label_once(ax, label):
        ax.plot([], [], label=label, color="grey", **CROSS)
    return points(panel, f"{name}, the paper", x * 1e6 / rate_ratio, y)


def label_once(ax: "Axes", label: str) -> str | None:
    """Return a label, or None if the legend has it already."""
    return None if label in ax.get_legend_handles_labels()[1] else label


def legend_below(ax: "Axes", n_columns: int = 2, title: str | None = None) -> None:
    """Put a legend under the axes, for curves that leave no room between them."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, ncols=n_columns, title=title, **legend_position(ax))


def shared_legend(drawing: "Drawing", n_columns: int = 4) -> None:
    """Put one legend under all axes, with each name once."""
    handles: dict[str, Any] = {}
    for ax in drawing.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    drawing.legend(
        [*handles.values()], [*handles], frameon=False, loc="outside lower center", ncols=n_columns
    )


def draw_half(ax: "Axes") -> None:
    """Draw a line at one half: no preference, and chance among two labels."""
    ax.axhline(0.5, color="grey", lw=0.8, ls=":")


def result_of_runs(
    drawing: "Drawing",
    numbers: Numbers,
    runs: Sequence[FigureRun],
    findings: list[str] | None = None,
) -> FigureResult:
    """Return a figure's result with the records of its runs, by default with their events."""
    findings = [run.finding() for run in runs] if findings is None else findings
    return FigureResult(drawing, numbers, {"runs": [run.record() for run in runs]}, findings)


def draw_by_setting(
    names: Sequence[str], last: float = math.inf, metric: str = METRIC
) -> Callable[..., FigureResult]:
    """Return the `draw` of a figure that has a setting per need: see `draw_settings`."""
    return lambda *groups: draw_settings(dict(zip(names, groups, strict=True)), last, metric)


def draw_settings(
    settings: Mapping[str, list[FigureRun]], last: float = math.inf, metric: str = METRIC
) -> FigureResult:
    """Draw a panel per setting, with all evaluators, up to `last` millions of the paper's.

    IWL is drawn, if it was measured, by its accuracy over all labels: over those in context it is
    0 by construction.
    """
    drawing = blank(2.4 * len(settings), 2.6)
    axes = drawing.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    numbers: Numbers = []
    for (name, runs), ax in zip(settings.items(), axes, strict=True):
        for evaluator in (*SHOWN_EVALUATORS, "iwl"):
            own = "accuracy" if evaluator == "iwl" else metric
            measured = [run for run in runs if run.has_curve(evaluator, own)]
            if measured:
                numbers += draw_evaluators(
                    ax, name, measured, (evaluator,), metric=own, with_count=False
                )
        count = f" (n = {len(runs)})" if runs else ": no run yet"
        ax.set(title=name + count, ylim=(0, 1.02))
        if runs:
            draw_half(ax)
            end = min(last * 1e6 / runs[0].rate_ratio, runs[0].n_sequences)
            ax.set(xlim=(0, end / 1e6))
    axes[0].set(ylabel="accuracy")
    shared_legend(drawing, 2 * len(settings) - 1)
    return result_of_runs(drawing, numbers, [run for runs in settings.values() for run in runs])
