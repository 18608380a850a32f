"""Plots of measured curves, and of the model fitted to them."""

from typing import TYPE_CHECKING, Any

from coopetition.plot.style import label_of, line_styles, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEQUENCES = "sequences seen (millions)"


def plot_curves(
    curves: Any, *, ax: "Axes | None" = None, label: bool = True, **style: Any
) -> "Axes":
    """Measured curves against sequences seen, in millions."""
    ax = new_axes(ax)
    styles = line_styles(curves.values)
    for name, values in curves.values.items():
        text = label_of(name) if label else None
        ax.plot(curves.sequences / 1e6, values, label=text, **styles[name] | style)
    ax.set(xlabel=SEQUENCES)
    return ax


def plot_fit(fit: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Measured curves (points) and the fitted model (lines), in millions of sequences."""
    ax = new_axes(ax)
    x = fit.sequences / 1e6
    styles = line_styles(fit.observed)
    for name, values in fit.observed.items():
        ax.plot(x, values, ".", ms=3, alpha=0.5, color=styles[name]["color"])
        label = f"{label_of(name)}: $R^2$ = {fit.curves[name].r2:.3f}"
        ax.plot(x, fit.predicted[name], label=label, **styles[name])
    ax.set(xlabel=SEQUENCES, ylabel="loss")
    ax.legend(frameon=False)
    return ax
