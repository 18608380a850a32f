"""Plots of the theory's results.  Each takes `ax` and returns it; colours are fixed by strategy."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from coopetition.errors import UsageError
from coopetition.files import write_bytes
from coopetition.model import CIWL, ICL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from coopetition.trajectory import Trajectory

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


def save_axes(ax: "Axes", path: Path) -> None:
    """Save the figure of `ax` whole or not at all, in the format of the file's name."""
    kind = path.suffix.removeprefix(".")
    if kind not in ("png", "pdf", "svg"):
        raise UsageError(f"{path} names no picture format; end it in .png, .pdf or .svg")
    buffer = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else None  # the same plot, the same bytes
    ax.get_figure(root=True).savefig(buffer, format=kind, dpi=150, metadata=metadata)
    write_bytes(path, buffer.getvalue())
