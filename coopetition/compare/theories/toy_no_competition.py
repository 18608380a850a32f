"""The toy without the cost: sharing alone."""

from coopetition.compare.two_strategies import (
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
from coopetition.model.presets import no_competition

THEORY = toy_theory(
    "toy_no_competition",
    "the minimal model without competition",
    no_competition(),
    (MU1, A, B, C, D, D_ORTHOGONAL, PACE),
    STARTS,
)
