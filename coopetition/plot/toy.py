"""Plots of the minimal model: solutions and phase diagrams."""

from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.model.presets import CIWL, ICL, IWL
from coopetition.plot.style import COLOURS, label_of, legend_position, line_styles, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


TIME = "time (steps x step size)"


def plot_losses(trajectory: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw each mechanism's loss, and the total, against flow time."""
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
    """Draw overlap (solid) and orthogonal part (dashed) of each factor against flow time."""
    ax = new_axes(ax)
    for name, u, w in zip(
        trajectory.model.factors, trajectory.overlap, trajectory.orthogonal, strict=True
    ):
        (line,) = ax.plot(trajectory.times, u, label=f"{name}: overlap")
        ax.plot(trajectory.times, w, "--", color=line.get_color(), label=f"{name}: orthogonal")
    ax.set(xlabel=TIME, ylabel="component")
    ax.legend(frameon=False, ncols=2, fontsize="small")
    return ax


# different hues, since each is also drawn paler, down to white
FATE_COLOURS = {
    "NEVER": "#BBBBBB",
    "ICL_PERSISTENT": COLOURS[ICL],
    "ICL_TRANSIENT": "#F0E442",
    "CIWL_ONLY": COLOURS[CIWL],
    "COEXISTENCE": "#009E73",
    "DIVERGED": "#000000",
    "OTHER": COLOURS[IWL],
}
SHADING = "most frequent fate\n(paler: less frequent)"


def plot_phases(diagram: Any, *, ax: "Axes | None" = None, legend: bool = True) -> "Axes":
    """Draw the most frequent fate at each point, paler where it is less frequent.

    legend : whether to draw a legend under the axes, of fates that are the most frequent somewhere
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    ax = new_axes(ax)
    fates, share = _shares(diagram)
    first, strength = share.argmax(0), share.max(0)[..., None]
    colours = np.array([to_rgb(FATE_COLOURS[fate.name]) for fate in fates])
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
        if axis.log:
            set_scale("log")
    if not legend:
        return ax
    met = [fate for k, fate in enumerate(fates) if (first == k).any()]
    ax.legend(
        handles=[Patch(color=FATE_COLOURS[fate.name], label=fate.value) for fate in met],
        title=SHADING if share.max(0).min() < 1 else None,
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        **legend_position(ax),
    )
    return ax


def plot_boundaries(diagram: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw lines between the most frequent fates, over another diagram of the same axes."""
    ax = new_axes(ax)
    first = _shares(diagram)[1].argmax(0)
    for k in np.unique(first):
        inside = (first == k).astype(float)
        ax.contour(diagram.x.values, diagram.y.values, inside, [0.5], colors="black", linewidths=1)
    return ax


def _shares(diagram: Any) -> tuple[list[Any], Any]:
    """Return the fates, and the share (n_fates, ny, nx) of the draws with each."""
    shares = diagram.shares()
    return list(shares), np.stack(list(shares.values()))
