"""Panel c of figure 1: attention of the model at a checkpoint."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from coopetition.plot.style import COLOURS
from paper_figures.core.figure import Numbers
from paper_figures.core.runs import KeptTable

TOKENS = ("exemplar", "label", "exemplar", "label", "query")
WIDEST = 4.0  # points, of an arrow of attention 1


@dataclass(frozen=True, slots=True)
class Circuit:
    """Measurements of a model at one checkpoint, on Flip sequences.

    previous, itself : attention of labels to the token before and to themselves, in the head of the
        first layer that attends to the token before most
    strength : attention of the second layer's query to the label beside its class, minus that to
        the other; mean of heads
    """

    at: float
    previous: float
    itself: float
    strength: float


def circuit_at(labels: KeptTable, induction: KeptTable, sequences: float) -> Circuit:
    """Return the circuit at the checkpoint nearest to a time."""
    own = labels.select(layer=0, evaluator="flip")
    before, itself = (
        own.select(measure=measure).curves("head", "sequences")
        for measure in ("previous_token", "self_attention")
    )
    x = next(iter(before.values()))[0]
    k = int(np.argmin(np.abs(x - sequences)))
    head = max(before, key=lambda head: float(before[head][1][k]))
    strengths = induction.select(layer=1).curves("head", "sequences").values()
    there = [float(np.interp(x[k], times, values)) for times, values in strengths]
    previous, own_share = (float(each[head][1][k]) for each in (before, itself))
    return Circuit(float(x[k]), previous, own_share, float(np.mean(there)))


def draw_circuit(ax: Axes, panel: str, title: str, circuit: Circuit) -> Numbers:
    """Draw the tokens of a Flip sequence, layers from below, and arrows as wide as attention.

    In the second layer all attention is drawn to the two labels, as it nearly is (figure 2).
    """
    for k, text in enumerate(TOKENS):
        for height in (0, 1, 2):
            ax.plot([k], [height], "o", color="black", ms=2)
        ax.annotate(text, (k, -0.25), ha="center", va="top", fontsize=6, rotation=30)
    right, wrong = (1 + circuit.strength) / 2, (1 - circuit.strength) / 2
    for k in (1, 3):
        _arrow(ax, (k - 1, 0), (k, 1), circuit.previous, COLOURS["icl"])
        _arrow(ax, (k, 0), (k, 1), circuit.itself, "grey")
    _arrow(ax, (1, 1), (4, 2), right, COLOURS["icl"])
    _arrow(ax, (3, 1), (4, 2), wrong, COLOURS["ciwl"])
    ax.set(xlim=(-0.6, 4.6), ylim=(-1.1, 2.3), yticks=[0.5, 1.5], xticks=[], title=title)
    ax.set_yticklabels(["layer 1", "layer 2"])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return [
        (panel, "to the token before", circuit.at, circuit.previous),
        (panel, "to itself", circuit.at, circuit.itself),
        (panel, "to the label beside the query's class", circuit.at, right),
        (panel, "to the other label", circuit.at, wrong),
    ]


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], share: float, colour: str
) -> None:
    width = max(WIDEST * share, 0.3)
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=5, lw=width, color=colour,
                        alpha=0.7, shrinkA=2, shrinkB=2)
    )  # fmt: skip
