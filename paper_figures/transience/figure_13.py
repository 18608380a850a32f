"""Figure 13: token embeddings with another clustering, and in how many runs ICL emerges."""

from paper_figures.core.claims import Claim, Reading
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.figure_7 import LAYOUTS, runs_with_icl
from paper_figures.transience.panels import draw_panels
from transformer.experiments.transience import CLUSTERING_SEEDS

NAMES = [f"{name}, clustering {seed}" for seed in CLUSTERING_SEEDS for name in LAYOUTS.values()]


def draw(*found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL for each clustering and number of tokens of a class."""
    return draw_panels(dict(zip(NAMES, found, strict=True)))


def _some_never_rise(*found: list[FigureRun]) -> list[Reading]:
    """Return one reading of all runs: whether ICL emerges in some, and never rises in others."""
    runs = [run for own in found for run in own]
    if not runs:
        return []
    n = len(runs_with_icl(*found))
    return [Reading.of_several(runs, 0 < n < len(runs), n / len(runs))]


CLAIMS = (
    Claim(
        "on token embeddings, ICL emerges from some initial parameters and not from others",
        _some_never_rise,
        contradiction="ICL emerges in all runs, or in none",
        explanation="ICL rises in none of 12 runs: the weights learn the labels, which are also "
        "given where they are not in the context (IWL accuracy 0.75 to 1 at the end)",
    ),
)

FIGURE = Figure(
    __name__,
    "token embeddings: two clusterings",
    draw,
    tuple(
        Runs(f"transience_tokens/exemplars_{n}_clusters_{seed}", optional=(n, seed) != (10, 4))
        for seed in CLUSTERING_SEEDS
        for n in LAYOUTS
    ),
    CLAIMS,
)
