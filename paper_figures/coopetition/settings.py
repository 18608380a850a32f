"""What figures 8 to 11 and 13 share: a panel a setting, with curves of several evaluators."""

from collections.abc import Callable, Mapping

from paper_figures.bands import EVALUATORS, draw_evaluators, draw_half
from paper_figures.result import FigureResult, Numbers, blank
from paper_figures.sources import FigureRun

WITH_WEIGHTS = (*EVALUATORS, "iwl")


def draw_settings(
    settings: Mapping[str, list[FigureRun]],
    shown: float,
    *,
    metric: Callable[[str], str] = lambda evaluator: "in_context_accuracy",
) -> FigureResult:
    """A panel a setting, until `shown` millions of the paper's sequences.

    A setting without runs says so.  IWL is drawn by its accuracy over all labels: over those in
    context it is 0 by construction.
    """
    drawing = blank(2.4 * len(settings), 2.6)
    axes = drawing.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    numbers: Numbers = []
    for (name, runs), ax in zip(settings.items(), axes, strict=True):
        for evaluator in WITH_WEIGHTS if runs else ():
            own = "accuracy" if evaluator == "iwl" else metric(evaluator)
            numbers += draw_evaluators(ax, name, runs, (evaluator,), metric=own)
        ax.set(title=name if runs else f"{name}: no run yet", ylim=(0, 1.02))
        if runs:
            draw_half(ax)
            last = min(shown * 1e6 / runs[0].rate_ratio, runs[0].n_sequences)
            ax.set(xlim=(0, last / 1e6))
    axes[0].set(ylabel="accuracy")
    handles, labels = next(
        (ax.get_legend_handles_labels() for ax in axes if ax.has_data()), ([], [])
    )
    n_columns = 2 * len(settings) - 1
    drawing.legend(handles, labels, frameon=False, loc="outside lower center", ncols=n_columns)
    runs = [run for own in settings.values() for run in own]
    findings = [run.finding() for run in runs]
    return FigureResult(drawing, numbers, {"runs": [run.record() for run in runs]}, findings)
