"""How figures draw curves of several seeds: their mean, and a band from lowest to highest.

Figures of a panel a setting, with curves of several evaluators.

Drawing every figure of which what it needs is kept, and the runs of a preset.
"""

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from coopetition.plot.fits import SEQUENCES
from coopetition.plot.style import PRINT, label_of, legend_position, line_styles
from coopetition.tools.console import ProgressReport
from paper_figures.core.figure import FigureResult, Numbers, blank, figures_of, papers, points
from paper_figures.core.runs import SCALE, FigureRun
from transformer.config.run import Scale

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
        ax.legend(frameon=False, ncols=n_columns, title=title, **legend_position(ax))


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


WITH_WEIGHTS = (*EVALUATORS, "iwl")


def draw_settings(
    settings: Mapping[str, list[FigureRun]],
    shown: float = math.inf,
    *,
    metric: Callable[[str], str] = lambda evaluator: "in_context_accuracy",
) -> FigureResult:
    """A panel a setting, at most until `shown` millions of the paper's sequences.

    Its title says how many runs there are.  IWL is drawn, where it was measured, by its accuracy
    over all labels: over those in context it is 0 by construction.
    """
    drawing = blank(2.4 * len(settings), 2.6)
    axes = drawing.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    numbers: Numbers = []
    lines: dict[str, Line2D] = {}  # of the legend: names without numbers of runs, which differ
    for (name, runs), ax in zip(settings.items(), axes, strict=True):
        for evaluator in WITH_WEIGHTS:
            own = "accuracy" if evaluator == "iwl" else metric(evaluator)
            measured = [run for run in runs if run.measured(evaluator, own)]
            if measured:
                numbers += draw_evaluators(ax, name, measured, (evaluator,), metric=own)
                lines.setdefault(label_of(evaluator), ax.get_lines()[-1])
        count = f" (n = {len(runs)})" if runs else ": no run yet"
        ax.set(title=name + count, ylim=(0, 1.02))
        if runs:
            draw_half(ax)
            last = min(shown * 1e6 / runs[0].rate_ratio, runs[0].n_sequences)
            ax.set(xlim=(0, last / 1e6))
    axes[0].set(ylabel="accuracy")
    drawing.legend(
        [*lines.values()],
        [*lines],
        frameon=False,
        loc="outside lower center",
        ncols=2 * len(settings) - 1,
    )
    runs = [run for own in settings.values() for run in own]
    findings = [run.finding() for run in runs]
    return FigureResult(drawing, numbers, {"runs": [run.record() for run in runs]}, findings)


def stem_of(name: str, scale: Scale, init_seed: int | None = None) -> str:
    """The name of the files of a drawing, which tells what else than the default was asked for."""
    of_scale = "" if scale == SCALE else f"_{scale}"
    return name.replace("/", "_") + of_scale + ("" if init_seed is None else f"_init_{init_seed}")


def draw_preset(preset: str, runs: list[FigureRun]) -> FigureResult:
    """Curves of a preset's runs, in the house's style."""
    with rc_context(PRINT):
        return draw_settings({preset: runs})


def as_trial(result: FigureResult) -> FigureResult:
    """A drawing of runs of a few steps, marked as such, without events, findings and verdicts.

    Those would be read off noise.
    """
    result.drawing.suptitle("smoke run: not a result", fontsize=8, color="firebrick")
    provenance = {name: each for name, each in result.provenance.items() if name != "claims"}
    runs = provenance.get("runs")
    if runs is not None:
        provenance["runs"] = [{n: v for n, v in run.items() if n != "events"} for run in runs]
    findings = [
        "a smoke run only shows that everything works; no events or verdicts are read off it"
    ]
    return replace(result, provenance=provenance, findings=findings)


def draw_all(out: Path, jobs: int) -> list[dict[str, Any]]:
    """Draw into `out`, by so many processes; a row a figure and scale, of what was made.

    At a scale other than `SCALE` only what is whole: of which nothing is still to be made.
    """
    names = [(paper, slot) for paper in papers() for slot in figures_of(paper)]
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _be_silent)
    try:
        drawn = {pool.submit(_drawn, *name, out): name for name in names}
        with ProgressReport("draw", len(names), "figures") as report:
            for done in as_completed(drawn):
                done.result()
                report.advance(note=" ".join(drawn[done]))
    except BaseException:
        for worker in active_children():  # else the exit waits for what they are drawing
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [row for each in drawn for row in each.result()]


def _be_silent() -> None:
    """Leave progress to the process that waits for all."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _drawn(paper: str, slot: str, out: Path) -> list[dict[str, Any]]:
    figure, name = figures_of(paper)[slot], f"{paper} {slot}"
    kept: dict[Scale, list[list[Any]]] = figure.kept_at() if figure.needs else {SCALE: []}
    whole: dict[Scale, list[list[Any]]] = {
        scale: found for scale, found in kept.items() if all(found) or scale == SCALE
    }
    if not whole or (figure.needs and not any(map(any, whole.values()))):
        return [{"figure": name, "file": "not made"}]
    rows = []
    for scale, found in whole.items():
        path = figure.drawn(found).write(out, stem_of(figure.stem, scale))[0]
        rows.append({"figure": name, "file": str(path)})
    return rows
