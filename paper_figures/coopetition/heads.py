"""How figures draw what heads do, and what the paper's heads do beside it."""

from collections.abc import Mapping

from matplotlib.axes import Axes

from coopetition.plot.style import graded_styles
from paper_figures.core.figure import Numbers, points
from paper_figures.core.runs import KeptTable

Band = tuple[float, float, float]  # x, and the lowest and highest of the paper's heads there
PAPER = {"color": "grey", "lw": 4, "alpha": 0.6, "solid_capstyle": "butt"}


def draw_heads(
    ax: Axes, panel: str, table: KeptTable, over: str, *, scale: float = 1.0, **style: object
) -> Numbers:
    """The values of a table against one of its columns (in units of `scale`), a line a head."""
    curves = table.curves("head", over)
    styles = graded_styles(f"head {head}" for head in curves)
    numbers = []
    for head, (x, y) in curves.items():
        name = f"head {head}"
        ax.plot(x / scale, y, label=name, **(styles[name] | {"lw": 1} | style))  # pyright: ignore
        numbers += points(panel, name, x, y)
    return numbers


def draw_published(ax: Axes, panel: str, bands: list[Band], *, scale: float = 1.0) -> Numbers:
    """The range of the paper's heads, where it is known, as grey bars."""
    numbers = []
    for n, (x, low, high) in enumerate(bands):
        label = "the paper's heads" if n == 0 else None
        ax.plot([x / scale] * 2, [low - 0.005, high + 0.005], label=label, **PAPER)  # pyright: ignore
        numbers += [(panel, "paper, lowest", x, low), (panel, "paper, highest", x, high)]
    return numbers


def compared(name: str, ours: Mapping[str, float], paper: Mapping[str, float]) -> str:
    """Numbers of ours and the paper's, in a line."""
    each = (f"{key} {value:.3f} ({paper[key]:.3f})" for key, value in ours.items() if key in paper)
    return f"{name}, ours (the paper's): {', '.join(each)}"
