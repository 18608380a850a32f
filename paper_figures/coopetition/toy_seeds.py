"""The minimal model from the twelve published draws, a panel each."""

from collections import Counter

from matplotlib.axes import Axes

from coopetition import Trajectory
from coopetition.dynamics.outcomes import Fate
from coopetition.model.presets import COMPETITION, ICL
from coopetition.plot.style import label_of, line_styles
from paper_figures.claim import Reading
from paper_figures.published import SEEDS, solve_published
from paper_figures.result import FigureResult, Numbers, blank, points


def draw_seeds(*, mu1: float, threshold: float) -> FigureResult:
    """Twelve panels: total, ICL (+ mu1) and CIWL against steps of descent."""
    drawing = blank(13, 8)
    numbers, solutions = [], {}
    for seed, ax in zip(SEEDS, drawing.subplots(3, 4).flat, strict=True):
        trajectory = solve_published(seed, mu1=mu1, threshold=threshold)
        solutions[seed] = trajectory.to_dict()
        numbers += draw_toy(ax, trajectory, f"seed {seed}")
        told = trajectory.fate()
        ax.set_title(f"seed {seed}: {told.value}", fontsize="small")
        solutions[seed]["fate"] = told.name.lower()
    counts = Counter(solution["fate"] for solution in solutions.values())
    return FigureResult(drawing, numbers, {"fates": dict(counts), "solutions": solutions})


def fates(expected: Fate, *, mu1: float, threshold: float) -> list[Reading]:
    """Whether each published draw has a fate."""
    found = {seed: solve_published(seed, mu1=mu1, threshold=threshold) for seed in SEEDS}
    return [Reading(f"seed {seed}", each.fate() is expected) for seed, each in found.items()]


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
    ax.legend(frameon=False, fontsize="small")
    return numbers
