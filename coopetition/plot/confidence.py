"""Plots of how much worse a fit gets elsewhere: profiles and contours."""

from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.plot.style import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = (0.25, 1, 4, 16)  # of the threshold
LOG_FROM = 10.0  # ratio of the ends of an axis from which it is logarithmic


def plot_profile(profile: Any, *, ax: "Axes | None" = None) -> "Axes":
    """The rise along a parameter and the threshold of 9 in 10; hollow: another is at a limit."""
    ax = new_axes(ax)
    ax.plot(profile.values, profile.rise, "o-", color="black", ms=3)
    limited = np.array(profile.statuses) == "at limit"
    ax.plot(profile.values[limited], profile.rise[limited], "o", mfc="white", color="black", ms=6,
            label="another parameter at its limit")  # fmt: skip
    ax.axhline(profile.threshold, color="grey", ls=":", label="9 in 10")
    ax.set(
        xlabel=profile.parameter,
        ylabel="rise of the misfit",
        ylim=(0, 3 * profile.threshold),
        xscale=_scale(profile.values),
    )
    ax.legend(frameon=False)
    return ax


def plot_contour(contour: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Lines of equal rise, the thick one of 9 in 10; crosses where another is at a limit."""
    ax = new_axes(ax)
    (first, x), (second, y) = contour.values.items()
    levels = [level * contour.threshold for level in LEVELS]
    widths = [2 if level == contour.threshold else 0.8 for level in levels]
    ax.contour(x, y, contour.rise.T, levels, colors="black", linewidths=widths)
    rows, columns = np.nonzero(contour.at_limit)
    ax.plot(x[rows], y[columns], "x", color="grey", ms=3)
    ax.set(xlabel=first, ylabel=second, xscale=_scale(x), yscale=_scale(y))
    return ax


def _scale(values: Any) -> str:
    return "log" if values.min() > 0 and values.max() / values.min() > LOG_FROM else "linear"
