"""Plots of the theory's results.  Each takes `ax` and returns it; colours are fixed by strategy."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.model.presets import CIWL, ICL
from coopetition.theory.fates import Fate
from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from coopetition.compare.curves import Curves
    from coopetition.compare.estimate import Fit
    from coopetition.solve.trajectory import Trajectory
    from coopetition.studies.phases import PhaseDiagram

# Okabe-Ito, safe for colour-blind readers; the same strategy has the same colour everywhere
COLOURS = {
    "train": "#000000",
    "total": "#000000",
    ICL: "#0072B2",
    CIWL: "#D55E00",
    "flip": "#009E73",
    "iwl": "#CC79A7",
}
LABELS = {
    "train": "train",
    "total": "total loss",
    ICL: "ICL",
    CIWL: "CIWL",
    "flip": "Flip (ICL over CIWL)",
    "iwl": "IWL",
}


def new_axes(ax: "Axes | None") -> "Axes":
    """`ax`, or the axes of a new figure."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(6, 4), layout="constrained").subplots()


def plot_losses(trajectory: "Trajectory", *, ax: "Axes | None" = None) -> "Axes":
    """Each mechanism's loss, and the total, against flow time."""
    ax = new_axes(ax)
    costs = {cost.name for cost in trajectory.model.costs}
    for name, values in trajectory.losses.items():
        if name not in costs:
            ax.plot(trajectory.times, values, color=COLOURS.get(name), label=LABELS.get(name, name))
    ax.set(xlabel="time (steps x step size)", ylabel="loss")
    ax.legend(frameon=False)
    return ax


def plot_state(trajectory: "Trajectory", *, ax: "Axes | None" = None) -> "Axes":
    """Overlap (solid) and orthogonal part (dashed) of each factor against flow time."""
    ax = new_axes(ax)
    for name, u, w in zip(
        trajectory.model.factors, trajectory.overlap, trajectory.orthogonal, strict=True
    ):
        (line,) = ax.plot(trajectory.times, u, label=f"{name}: overlap")
        ax.plot(trajectory.times, w, "--", color=line.get_color(), label=f"{name}: orthogonal")
    ax.set(xlabel="time (steps x step size)", ylabel="component")
    ax.legend(frameon=False, ncols=2, fontsize="small")
    return ax


def plot_curves(
    curves: "Curves", *, ax: "Axes | None" = None, label: bool = True, **style: Any
) -> "Axes":
    """Measured curves against sequences seen, in millions."""
    ax = new_axes(ax)
    for name, values in curves.values.items():
        text = LABELS.get(name, name) if label else None
        ax.plot(curves.sequences / 1e6, values, color=COLOURS.get(name), label=text, **style)
    ax.set(xlabel="sequences seen (millions)")
    return ax


def plot_fit(fit: "Fit", *, ax: "Axes | None" = None) -> "Axes":
    """Measured curves (points) and the fitted model (lines), in millions of sequences."""
    ax = new_axes(ax)
    x = fit.sequences / 1e6
    for name, values in fit.observed.items():
        colour = COLOURS.get(name)
        ax.plot(x, values, ".", ms=3, alpha=0.5, color=colour)
        label = f"{LABELS.get(name, name)}: $R^2$ = {fit.curves[name].r2:.3f}"
        ax.plot(x, fit.predicted[name], color=colour, label=label)
    ax.set(xlabel="sequences seen (millions)", ylabel="loss")
    ax.legend(frameon=False)
    return ax


FATE_COLOURS = {
    "NEVER": "#DDDDDD",
    "ICL_PERSISTENT": "#0072B2",
    "ICL_TRANSIENT": "#56B4E9",
    "CIWL_ONLY": "#D55E00",
    "COEXISTENCE": "#009E73",
    "DIVERGED": "#000000",
}


def plot_phases(diagram: "PhaseDiagram", *, ax: "Axes | None" = None) -> "Axes":
    """The most frequent fate at each point: its colour, the stronger the larger its share.

    Fates that are nowhere the most frequent are not in the legend.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    ax = new_axes(ax)
    share = np.stack([diagram.probability(fate) for fate in Fate])
    first = share.argmax(0)
    colours = np.array([to_rgb(FATE_COLOURS[fate.name]) for fate in Fate])
    strength = share.max(0)[..., None]
    ax.pcolormesh(
        diagram.x.values,
        diagram.y.values,
        colours[first] * strength + (1 - strength),
        shading="nearest",
        rasterized=True,
    )
    for axis, set_label, set_scale in (
        (diagram.x, ax.set_xlabel, ax.set_xscale),
        (diagram.y, ax.set_ylabel, ax.set_yscale),
    ):
        set_label(axis.parameter)
        if axis.by_ratios:
            set_scale("log")
    met = [fate for k, fate in enumerate(Fate) if (first == k).any()]
    ax.legend(
        handles=[Patch(color=FATE_COLOURS[fate.name], label=fate.value) for fate in met],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.15),
        frameon=False,
        fontsize="small",
    )
    return ax


def plot_boundaries(diagram: "PhaseDiagram", *, ax: "Axes | None" = None) -> "Axes":
    """Lines between the most frequent fates, to lay over another diagram of the same axes."""
    ax = new_axes(ax)
    first = np.stack([diagram.probability(fate) for fate in Fate]).argmax(0)
    for k in np.unique(first):
        inside = (first == k).astype(float)
        ax.contour(diagram.x.values, diagram.y.values, inside, [0.5], colors="black", linewidths=1)
    return ax


def figure_bytes(figure: "Figure", kind: str) -> bytes:
    """A figure as a file of the given format; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else None
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def check_picture(path: Path | None) -> None:
    """Raise `UsageError` if a file's name does not end as a picture's."""
    if path is not None and path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(f"{path} names no picture format; end it in .png, .pdf or .svg")


def save_axes(ax: "Axes", path: Path) -> None:
    """Save the figure of `ax` whole or not at all, in the format of the file's name."""
    check_picture(path)
    figure = ax.get_figure(root=True)
    assert figure is not None  # only axes that were removed from theirs have none
    write_bytes(path, figure_bytes(figure, path.suffix.removeprefix(".")))
