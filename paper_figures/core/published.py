"""The published draws of the minimal model, seeds 0 to 11."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coopetition import Trajectory
    from coopetition.dynamics.batch import ProblemBatch

SEEDS = range(12)


def published_batch() -> "ProblemBatch":
    """Return all twelve draws as one batch, with the published parameters."""
    from coopetition import published_draw, two_strategies
    from coopetition.dynamics.batch import ProblemBatch

    return ProblemBatch.from_draws(two_strategies(), [published_draw(seed) for seed in SEEDS])


def solve_published(seed: int = 7, *, mu1: float = 0.1, threshold: float = 1e-6) -> "Trajectory":
    """Return a published trajectory: gradient descent with step 1."""
    from coopetition import published_draw, solve, two_strategies

    return solve(two_strategies(mu1=mu1), published_draw(seed), threshold=threshold)
