"""Panels of this paper: ICL, IWL and loss over training, a colour per setting."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from coopetition.plot.style import graded_styles
from paper_figures.core.figure import FigureResult, Numbers, blank
from paper_figures.core.plotting import draw_groups, draw_half, shared_legend
from paper_figures.core.runs import METRIC, FigureRun
from paper_figures.transience.rules import icl_events
from transformer.measures.transience import Transience

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

Groups = Mapping[str, Sequence[FigureRun]]


class Panel(NamedTuple):
    """One curve of each run: an evaluator's metric."""

    title: str
    evaluator: str
    metric: str


ICL = Panel("ICL, over the two labels", "icl", METRIC)
ICL_ALL = Panel("ICL, over all labels", "icl", "accuracy")
IWL = Panel("IWL, over all labels", "iwl", "accuracy")
FLIP = Panel("Flip, over the labels in context", "flip", METRIC)
CIWL = Panel("CIWL, over the labels in context", "ciwl", METRIC)
LOSS = Panel("loss on training sequences (nats)", "train", "loss")


def draw_panels(groups: Groups, panels: Sequence[Panel] = (ICL, IWL)) -> FigureResult:
    """Draw a panel per evaluator, with the mean and range over seeds of each group of runs."""
    drawing = blank(3.0 * len(panels), 2.6)
    axes = drawing.subplots(1, len(panels), squeeze=False)[0]
    numbers: Numbers = []
    for letter, ax, panel in zip("abcdefgh", axes, panels, strict=False):
        numbers += draw_panel(ax, letter, panel, groups)
    shared_legend(drawing)
    return result_of(drawing, numbers, groups)


def draw_panel(ax: "Axes", letter: str, panel: Panel, groups: Groups) -> Numbers:
    """Draw one panel, of the runs that have its curve."""
    measured = {
        name: [run for run in runs if run.has_curve(panel.evaluator, panel.metric)]
        for name, runs in groups.items()
    }
    numbers = draw_groups(
        ax, letter, measured, panel.evaluator, metric=panel.metric, styles=graded_styles(groups)
    )
    ax.set(title=f"{letter}  {panel.title}")
    if panel.metric == "loss":
        ax.set(yscale="log", ylabel="nats")
    else:
        ax.set(ylim=(0, 1.02), ylabel="accuracy")
        if panel.metric == METRIC and panel.evaluator == "icl":
            draw_half(ax)
    return numbers


def result_of(drawing: "Drawing", numbers: Numbers, groups: Groups) -> FigureResult:
    """Return a figure's result: the record and ICL events of each run, and a finding for each."""
    records, findings = [], []
    for name, runs in groups.items():
        if not runs:
            findings.append(f"{name}: no run yet")
        for run in runs:
            events = icl_events(run)
            records.append(run.provenance | {"events": asdict(events)})
            findings.append(f"{run.name}: {_finding(events)}")
    return FigureResult(drawing, numbers, {"runs": records}, findings)


def _finding(events: Transience) -> str:
    """Return a run's ICL events in a few words; times in millions of sequences."""
    times = {"onset": events.onset, "peak": events.peak_at, "half-decay": events.half_decay}
    texts = [f"{name} at {time / 1e6:.3g}M" for name, time in times.items() if time is not None]
    return ", ".join([f"ICL {events.fate}", f"peak {events.peak:.2f}", *texts])
