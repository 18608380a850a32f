"""The minimal model from the twelve published draws, a panel each."""

from collections import Counter
from collections.abc import Callable

from matplotlib.axes import Axes

from coopetition import Trajectory
from coopetition.dynamics.events import Fate
from coopetition.model.presets import COMPETITION, ICL
from coopetition.plot.style import label_of, line_styles
from paper_figures.core.claims import Reading
from paper_figures.core.figure import FigureResult, Numbers, blank, points
from paper_figures.core.plotting import legend_of_all
from paper_figures.core.published import SEEDS, solve_published

SHORT = {  # in titles
    Fate.ICL_TRANSIENT: "ICL fades",
    Fate.ICL_PERSISTENT: "ICL stays",
    Fate.NEVER: "neither comes",
}


def draw_seeds(*, mu1: float, threshold: float) -> FigureResult:
    """Twelve panels: total, ICL (+ mu1) and CIWL against steps of descent."""
    drawing = blank(7.2, 5)
    numbers, solutions = [], {}
    axes = drawing.subplots(3, 4)
    for seed, ax in zip(SEEDS, axes.flat, strict=True):
        trajectory = solve_published(seed, mu1=mu1, threshold=threshold)
        solutions[seed] = trajectory.to_dict()
        numbers += draw_toy(ax, trajectory, f"seed {seed}")
        told = trajectory.fate()
        ax.set_title(f"seed {seed}: {SHORT.get(told, told.value)}")
        ax.get_legend().remove()
        solutions[seed]["fate"] = told.name.lower()
    for ax in axes[:, 1:].flat:
        ax.set(ylabel="")
    for ax in axes[:-1].flat:
        ax.set(xlabel="")
    legend_of_all(drawing)
    counts = Counter(solution["fate"] for solution in solutions.values())
    return FigureResult(drawing, numbers, {"fates": dict(counts), "solutions": solutions})


def fates(expected: Callable[[Fate], bool], *, mu1: float, threshold: float) -> list[Reading]:
    """Whether the fate of each published draw is one that is expected."""
    found = {seed: solve_published(seed, mu1=mu1, threshold=threshold) for seed in SEEDS}
    return [Reading(f"seed {seed}", expected(each.fate())) for seed, each in found.items()]


def draw_toy(ax: Axes, trajectory: Trajectory, panel: str) -> Numbers:
    """Losses as published: ICL's with its irreducible part mu1."""
    numbers = []
    styles = line_styles(trajectory.losses)
    for name, values in trajectory.losses.items():
        if name == COMPETITION:
            continue
        shown = values + trajectory.model.mechanism(ICL).mu if name == ICL else values
        ax.plot(trajectory.times, shown, label=label_of(name), **styles[name])
        kept = slice(None, None, max(1, len(shown) // 500))  # of some thousand steps
        numbers += points(panel, name, trajectory.times[kept], shown[kept])
    ax.set(xlabel="steps of gradient descent", ylabel="loss (ICL: + mu1)", ylim=(0, None))
    ax.legend(frameon=False)
    return numbers
