"""Figure 15: heads in superposition: two heads' strengths, and sharper and flatter attention."""

import numpy as np

from paper_figures.coopetition.heads import Band, draw_heads, draw_published
from paper_figures.figure import Figure, Tables
from paper_figures.result import FigureResult, blank, points
from paper_figures.sources import KeptTable

ALONE: list[Band] = [(0.1, 0.79, 0.825), (1, 0.75, 0.78), (8, 0.65, 0.665)]  # by temperature
TOGETHER: list[Band] = [(1, 0.98345, 0.98345)]


def draw(superposition: list[KeptTable]) -> FigureResult:
    """The run of the first seed, on training sequences."""
    table = superposition[0]
    heads = table.select(measure="superposition")
    strengths = table.select(measure="strength_by_sequence")
    first, second = (strengths.select(head=head).column("value") for head in (0, 1))
    drawing = blank(13, 3.8)
    scatter_axes, alone_axes, all_axes = drawing.subplots(1, 3)
    scatter_axes.plot(first, second, ".", ms=3, color="black")
    together = float(np.corrcoef(first, second)[0, 1])
    scatter_axes.set(
        title="a  two heads, sequence by sequence",
        xlabel="induction strength, head 0",
        ylabel="induction strength, head 1",
    )
    numbers = points("a", "head 1 against head 0", first, second)
    numbers += draw_heads(alone_axes, "b", heads.select(what="alone"), "at", marker=".")
    numbers += draw_published(alone_axes, "b", ALONE)
    alone_axes.set(title="b  each head alone, labels only")
    numbers += draw_heads(all_axes, "c", heads.select(what="all"), "at", marker="o", color="black")
    numbers += draw_published(all_axes, "c", TOGETHER)
    all_axes.set(title="c  all heads")
    for ax in (alone_axes, all_axes):
        ax.set(xscale="log", xlabel="temperature", ylabel="in-context probability")
    alone_axes.legend(frameon=False, fontsize="x-small", ncols=2)
    ends = {at: heads.select(what="alone", at=at).column("value") for at in (0.1, 1.0, 8.0)}
    told = ", ".join(f"{v.min():.3f} to {v.max():.3f} at {at:g}" for at, v in ends.items())
    paper = ", ".join(f"{low:g} to {high:g} at {at:g}" for at, low, high in ALONE)
    everything = heads.select(what="all", at=1.0).value()
    findings = [
        f"strengths of heads 0 and 1 correlate by {together:.2f} over {len(first)} sequences",
        f"a head alone, by temperature: {told} (the paper's: {paper})",
        f"all heads at temperature 1: {everything:.4f} (the paper's: {TOGETHER[0][1]:.4f})",
    ]
    return FigureResult(drawing, numbers, {"run": table.run.record()}, findings)


FIGURE = Figure(
    "coopetition",
    "15",
    "15",
    "heads in superposition: strengths of two, and temperatures",
    draw,
    needs=(Tables("superposition", "coopetition/main"),),
)
