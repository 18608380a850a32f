"""Colours and names by strategy, new axes, and saving of plots."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coopetition.model.presets import CIWL, ICL, IWL
from coopetition.tools.errors import UsageError, check_type
from coopetition.tools.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette; a strategy has the same colour everywhere, and no other curve has it
COLOURS = {
    "train": "#000000",
    "total": "#000000",
    ICL: "#0072B2",
    CIWL: "#D55E00",
    "flip": "#009E73",
    IWL: "#CC79A7",
}
FURTHER = ("#E69F00", "#56B4E9", "#882255", "#F0E442", "#332288")  # for other curves
DASHES = ("-", "-.", ":")  # the next one each time the further colours are used up
LABELS = {
    "train": "train",
    "total": "total loss",
    ICL: "ICL",
    CIWL: "CIWL",
    "flip": "Flip (ICL over CIWL)",
    IWL: "IWL",
}
PRINT: Any = {  # matplotlib's settings for a figure of a paper, in inches of its page
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 6.5,
    "lines.linewidth": 1.2,
    "figure.titlesize": 9,
}
BELOW = 0.36  # inches under axes for ticks and their label
PICTURES = (".png", ".pdf", ".svg")


def line_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return colour and dashes of each curve: the strategy's, or a colour of no strategy."""
    names = list(names)
    others = [name for name in names if name not in COLOURS]
    styles = {}
    for name in names:
        turn, k = divmod(others.index(name) if name in others else 0, len(FURTHER))
        colour = COLOURS.get(name, FURTHER[k])
        styles[name] = {"color": colour, "linestyle": DASHES[turn % len(DASHES)]}
    return styles


def graded_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return colours from dark to light, for numbered curves as of heads or start times."""
    from matplotlib import colormaps

    names = list(names)
    shades = colormaps["viridis"].resampled(len(names) + 1)  # without the last, which is too light
    return {name: {"color": shades(k)} for k, name in enumerate(names)}


def label_of(name: str) -> str:
    """Return a curve's name for a legend."""
    return LABELS.get(name, name)


def legend_position(ax: "Axes") -> dict[str, Any]:
    """Return arguments of `ax.legend` that place a legend under the axes and their label."""
    from matplotlib.transforms import ScaledTranslation

    below = ScaledTranslation(0, -BELOW, ax.figure.dpi_scale_trans)
    return {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, 0),
        "bbox_transform": ax.transAxes + below,
    }


def new_axes(ax: "Axes | None") -> "Axes":
    """Return `ax`, or axes of a new pyplot figure, which a notebook or `pyplot.show` displays.

    Anything else than axes, such as the name of a file, raises `UsageError`.
    """
    if ax is not None:
        from matplotlib.axes import Axes

        check_type(ax, Axes, "matplotlib's axes (a plot is saved by `ax.figure.savefig(path)`)")
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(6, 4), layout="constrained")[1]


def figure_bytes(figure: "Figure", kind: str) -> bytes:
    """Return the bytes of a figure's file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else None
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def check_picture(path: Path | None) -> None:
    """Raise `UsageError` unless a file's name has the ending of a picture."""
    if path is not None and path.suffix.lower() not in PICTURES:
        raise UsageError(f"{path} has no ending of a picture format; end it in .png, .pdf or .svg")


def save_plot(plot: Callable[..., Any], path: Path) -> None:
    """Write what `plot(ax=...)` draws, in the format of the file's name; no figure stays open."""
    from matplotlib.figure import Figure

    check_picture(path)
    figure = Figure(figsize=(6, 4), layout="constrained")
    plot(ax=figure.subplots())
    write_bytes(path, figure_bytes(figure, path.suffix.lower().removeprefix(".")))
