"""The minimal model of two strategies that share b and c and compete by a and d."""

from coopetition.compare.two_strategies import (
    ALPHA,
    D_ORTHOGONAL,
    MU1,
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
    "toy",
    "the minimal model",
    two_strategies(),
    (ALPHA, MU1, A, B, C, D, D_ORTHOGONAL, PACE),
    STARTS,
)
