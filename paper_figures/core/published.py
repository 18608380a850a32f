"""The published draws of the minimal model, seeds 0 to 11, and losses of the main run."""

from typing import TYPE_CHECKING

from coopetition.model.presets import PUBLISHED_SEEDS
from paper_figures.core.kept_data import DATA

if TYPE_CHECKING:
    from coopetition import Curves, Trajectory
    from coopetition.dynamics.batch import ProblemBatch

LOSSES_FROM = 3e6  # sequences; before that, the losses are interpolated between a few points


def published_batch() -> "ProblemBatch":
    """Return all twelve draws as one batch, with the published parameters."""
    from coopetition import published_draw, two_strategies
    from coopetition.dynamics.batch import ProblemBatch

    return ProblemBatch.from_draws(
        two_strategies(), [published_draw(seed) for seed in PUBLISHED_SEEDS]
    )


def solve_published(seed: int = 7, *, mu1: float = 0.1, threshold: float = 1e-6) -> "Trajectory":
    """Return a published trajectory: gradient descent with step 1."""
    from coopetition import published_draw, solve, two_strategies

    return solve(two_strategies(mu1=mu1), published_draw(seed), threshold=threshold)


def published_curves() -> "Curves":
    """Return the losses of the paper's main run, read off its figure 5b."""
    from coopetition import read_curves

    return read_curves(DATA / "published" / "figure_5b_loss.csv", first=LOSSES_FROM)
