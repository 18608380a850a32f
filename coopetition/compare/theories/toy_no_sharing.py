"""The toy with b and c split in two, which start alike: rivalry alone."""

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
from coopetition.model.presets import no_sharing

THEORY = toy_theory(
    "toy_no_sharing",
    "the minimal model without sharing",
    no_sharing(),
    (ALPHA, MU1, A, B, C, D, D_ORTHOGONAL, PACE),
    STARTS | {"f": ("b",), "g": ("b", "c")},
)
