"""The published draws of the minimal model, seeds 0 to 11."""

import json

import numpy as np

from coopetition import Draw, Trajectory, solve, two_strategies
from coopetition.model.draws import canonical_draw
from coopetition.model.presets import PUBLISHED_DIMS
from coopetition.solve.ensemble import Ensemble
from paper_figures.sources import DATA

SEEDS = range(12)


def _numbers() -> dict[str, dict[str, dict[str, float]]]:
    return json.loads((DATA / "minimal_model_draws.json").read_text())["draws"]


def published_draw(seed: int) -> Draw:
    """A published draw, by the numbers that its dynamics depend on."""
    return canonical_draw(PUBLISHED_DIMS, **_numbers()[str(seed)])


def published_ensemble() -> Ensemble:
    """All twelve at once, with the published parameters."""
    numbers = _numbers()
    norms, overlap, orthogonal = (
        np.array([[numbers[str(seed)][part][f] for seed in SEEDS] for f in PUBLISHED_DIMS])
        for part in ("norms", "overlaps", "orthogonal")
    )
    lengths = np.array([[float(n)] * len(SEEDS) for n in PUBLISHED_DIMS.values()])
    return Ensemble(two_strategies(), lengths, norms, overlap, orthogonal, {})


def solve_published(seed: int = 7, *, mu1: float = 0.1, threshold: float = 1e-6) -> Trajectory:
    """A published trajectory: descent with step 1."""
    return solve(two_strategies(mu1=mu1), published_draw(seed), threshold=threshold)
