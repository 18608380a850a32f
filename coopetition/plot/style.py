"""What all plots share: colours and names by strategy, new axes, saving."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coopetition.model.presets import CIWL, ICL, IWL
from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: the same strategy has the same colour everywhere, and no other one has it
COLOURS = {
    "train": "#000000",
    "total": "#000000",
    ICL: "#0072B2",
    CIWL: "#D55E00",
    "flip": "#009E73",
    IWL: "#CC79A7",
}
FURTHER = ("#E69F00", "#56B4E9", "#882255", "#F0E442", "#332288")  # of what has no colour above
DASHES = ("-", "-.", ":")  # one for each time that the further colours have been used up
LABELS = {
    "train": "train",
    "total": "total loss",
    ICL: "ICL",
    CIWL: "CIWL",
    "flip": "Flip (ICL over CIWL)",
    IWL: "IWL",
}
PRINT: Any = {  # matplotlib's settings for a figure of a paper, drawn in inches of its page
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 6.5,
    "lines.linewidth": 1.2,
    "figure.titlesize": 9,
}
BELOW = 0.36  # inches under axes that ticks and their label take
PICTURES = (".png", ".pdf", ".svg")


def line_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each curve: a strategy's own, or one that no strategy has."""
    names = list(names)
    others = [name for name in names if name not in COLOURS]
    styles = {}
    for name in names:
        turn, place = divmod(others.index(name) if name in others else 0, len(FURTHER))
        colour = COLOURS.get(name, FURTHER[place])
        styles[name] = {"color": colour, "linestyle": DASHES[turn % len(DASHES)]}
    return styles


def graded_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colours of curves that are numbered, as heads or ever later starts, from dark to light."""
    from matplotlib import colormaps

    names = list(names)
    shades = colormaps["viridis"].resampled(len(names) + 1)  # but for the last, which is too light
    return {name: {"color": shades(k)} for k, name in enumerate(names)}


def label_of(name: str) -> str:
    """A curve's name for a legend."""
    return LABELS.get(name, name)


def under(ax: "Axes") -> dict[str, Any]:
    """Where a legend goes that stands under axes, ticks and their label; for `ax.legend`."""
    from matplotlib.transforms import ScaledTranslation

    below = ScaledTranslation(0, -BELOW, ax.figure.dpi_scale_trans)
    return {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, 0),
        "bbox_transform": ax.transAxes + below,
    }


def new_axes(ax: "Axes | None") -> "Axes":
    """`ax`, or the axes of a new figure of pyplot, which a notebook or `pyplot.show` displays."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(6, 4), layout="constrained")[1]


def figure_bytes(figure: "Figure", kind: str) -> bytes:
    """A figure as a file of the given format; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else None
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def check_picture(path: Path | None) -> None:
    """Raise `UsageError` if a file's name does not end as a picture's."""
    if path is not None and path.suffix.lower() not in PICTURES:
        raise UsageError(f"{path} names no picture format; end it in .png, .pdf or .svg")


def save_plot(plot: Callable[..., Any], path: Path) -> None:
    """Write what `plot(ax=...)` draws, whole or not at all, in the format of the file's name.

    The figure is not pyplot's: nothing is left open.
    """
    from matplotlib.figure import Figure

    check_picture(path)
    figure = Figure(figsize=(6, 4), layout="constrained")
    plot(ax=figure.subplots())
    write_bytes(path, figure_bytes(figure, path.suffix.lower().removeprefix(".")))
