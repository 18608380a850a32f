"""The published draws of the minimal model, seeds 0 to 11."""

from coopetition import Trajectory, published_draw, solve, two_strategies
from coopetition.dynamics.ensemble import Ensemble

SEEDS = range(12)


def published_ensemble() -> Ensemble:
    """All twelve at once, with the published parameters."""
    return Ensemble.from_draws(two_strategies(), [published_draw(seed) for seed in SEEDS])


def solve_published(seed: int = 7, *, mu1: float = 0.1, threshold: float = 1e-6) -> Trajectory:
    """A published trajectory: descent with step 1."""
    return solve(two_strategies(mu1=mu1), published_draw(seed), threshold=threshold)
