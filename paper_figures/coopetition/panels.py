"""Panels that several figures share: what heads do, and the minimal model."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from coopetition.model.presets import COMPETITION, ICL, PUBLISHED_SEEDS
from coopetition.plot.style import graded_styles, label_of, line_styles
from paper_figures.core.claims import Reading
from paper_figures.core.figure import FigureResult, Numbers, blank, points
from paper_figures.core.plotting import shared_legend
from paper_figures.core.published import solve_published
from paper_figures.core.runs import KeptTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from coopetition import Trajectory

PaperRange = tuple[float, float, float]  # x, and the lowest and highest of the paper's heads
GREY_BAR: Any = {"color": "grey", "lw": 4, "alpha": 0.6, "solid_capstyle": "butt"}
FATE_TITLES = {
    "icl_transient": "ICL fades",
    "icl_persistent": "ICL stays",
    "never": "no strategy emerges",
}


def draw_heads(
    ax: "Axes", panel: str, table: KeptTable, over: str, *, scale: float = 1.0, **style: Any
) -> Numbers:
    """Draw a line per head: a table's values against one of its columns, in units of `scale`."""
    curves = table.curves("head", over)
    styles = graded_styles(f"head {head}" for head in curves)
    numbers = []
    for name, (x, y) in zip(styles, curves.values(), strict=True):
        look: Any = styles[name] | {"lw": 1} | style
        ax.plot(x / scale, y, label=name, **look)
        numbers += points(panel, name, x, y)
    return numbers


def draw_ranges(ax: "Axes", panel: str, ranges: list[PaperRange], *, scale: float = 1.0) -> Numbers:
    """Draw the range of the paper's heads, where it is known, as grey bars."""
    numbers = []
    for n, (x, low, high) in enumerate(ranges):
        label = "the paper's heads" if n == 0 else None
        ax.plot([x / scale] * 2, [low - 0.005, high + 0.005], label=label, **GREY_BAR)
        numbers += [(panel, "paper, lowest", x, low), (panel, "paper, highest", x, high)]
    return numbers


def draw_toy(ax: "Axes", trajectory: "Trajectory", panel: str) -> Numbers:
    """Draw the minimal model's losses as published: ICL's with its irreducible part mu1."""
    numbers = []
    styles = line_styles(trajectory.losses)
    for name, values in trajectory.losses.items():
        if name == COMPETITION:
            continue
        shown = values + trajectory.model.mechanism(ICL).mu if name == ICL else values
        ax.plot(trajectory.times, shown, label=label_of(name), **styles[name])
        some = slice(None, None, max(1, len(shown) // 500))  # of some thousand steps
        numbers += points(panel, name, trajectory.times[some], shown[some])
    ax.set(xlabel="steps of gradient descent", ylabel="loss (ICL: + mu1)", ylim=(0, None))
    ax.legend(frameon=False)
    return numbers


def draw_published_seeds(*, mu1: float, threshold: float) -> FigureResult:
    """Draw the minimal model from each published draw: losses against steps of descent."""
    drawing = blank(7.2, 5)
    numbers, solutions = [], {}
    axes = drawing.subplots(3, 4)
    for seed, ax in zip(PUBLISHED_SEEDS, axes.flat, strict=True):
        trajectory = solve_published(seed, mu1=mu1, threshold=threshold)
        numbers += draw_toy(ax, trajectory, f"seed {seed}")
        fate = trajectory.fate()
        name = fate.name.lower()
        ax.set_title(f"seed {seed}: {FATE_TITLES.get(name, fate.value)}")
        ax.get_legend().remove()
        solutions[seed] = trajectory.to_dict() | {"fate": name}
    for ax in axes[:, 1:].flat:
        ax.set(ylabel="")
    for ax in axes[:-1].flat:
        ax.set(xlabel="")
    shared_legend(drawing)
    counts = Counter(solution["fate"] for solution in solutions.values())
    return FigureResult(drawing, numbers, {"fates": dict(counts), "solutions": solutions})


def fate_readings(holds: Callable[[str], bool], *, mu1: float, threshold: float) -> list[Reading]:
    """Return a reading of the fate of each published draw, such as "icl_transient"."""
    fates = {
        seed: solve_published(seed, mu1=mu1, threshold=threshold).fate() for seed in PUBLISHED_SEEDS
    }
    return [Reading(f"seed {seed}", holds(fate.name.lower())) for seed, fate in fates.items()]
