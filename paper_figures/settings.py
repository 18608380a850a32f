"""Figures of a panel a setting, with curves of several evaluators."""

import math
from collections.abc import Callable, Mapping

from matplotlib.lines import Line2D

from coopetition.plot.style import label_of
from paper_figures.bands import EVALUATORS, draw_evaluators, draw_half
from paper_figures.result import FigureResult, Numbers, blank
from paper_figures.sources import FigureRun

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
