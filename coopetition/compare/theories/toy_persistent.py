"""The toy with mu1 = 0: ICL without an irreducible error, which stays."""

from coopetition.compare.two_strategies import (
    ALPHA,
    D_ORTHOGONAL,
    PACE,
    STARTS,
    A,
    B,
    C,
    D,
    toy_theory,
)
from coopetition.model.presets import two_strategies

THEORY = toy_theory(
    "toy_persistent",
    "the minimal model with mu1 = 0",
    two_strategies(mu1=0.0),
    (ALPHA, A, B, C, D, D_ORTHOGONAL, PACE),
    STARTS,
)
