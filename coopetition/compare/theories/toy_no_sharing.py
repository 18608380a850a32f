"""The toy with b and c split in two, which start alike: rivalry alone."""

from coopetition.compare.two_strategies import (
    ALPHA,
    D_ORTHOGONAL,
    MU1,
    PACE,
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
    {"a": "a", "b": "b", "c": "c", "d": "d", "f": "b", "g": "c"},
)
