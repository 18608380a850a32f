"""Plots of solutions of the minimal model."""

from typing import TYPE_CHECKING, Any

from coopetition.plot.style import label_of, line_styles, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIME = "time (steps x step size)"


def plot_losses(trajectory: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Each mechanism's loss, and the total, against flow time."""
    ax = new_axes(ax)
    costs = {cost.name for cost in trajectory.model.costs}
    shown = {name: values for name, values in trajectory.losses.items() if name not in costs}
    styles = line_styles(shown)
    for name, values in shown.items():
        ax.plot(trajectory.times, values, label=label_of(name), **styles[name])
    ax.set(xlabel=TIME, ylabel="loss")
    ax.legend(frameon=False)
    return ax


def plot_state(trajectory: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Overlap (solid) and orthogonal part (dashed) of each factor against flow time."""
    ax = new_axes(ax)
    for name, u, w in zip(
        trajectory.model.factors, trajectory.overlap, trajectory.orthogonal, strict=True
    ):
        (line,) = ax.plot(trajectory.times, u, label=f"{name}: overlap")
        ax.plot(trajectory.times, w, "--", color=line.get_color(), label=f"{name}: orthogonal")
    ax.set(xlabel=TIME, ylabel="component")
    ax.legend(frameon=False, ncols=2, fontsize="small")
    return ax
