"""Which parameters, and which combinations of them, the curves identify.

A place is where a parameter lies in its search range, from 0 to 1.  X (n, p) is the Jacobian of the
whitened residuals by the places at the best fit (`restricted`).  The Fisher information of the
places is then

    F = X^T X.

Its eigenvectors (X's singular vectors) are independent combinations; one of eigenvalue f has, to
first order, the standard deviation 1 / sqrt(f), where the search range has width 1.  If the
eigenvalue is zero up to rounding, the combination is structurally unidentifiable: no noise level
would help.  If its interval reaches an end of the search range, it is practically unidentifiable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROUNDING = 1e-9  # of the largest singular value: below, a combination has no effect
INVOLVED = 1e-6  # weight from which a parameter belongs to a combination
NAMED = 0.3  # weight from which a parameter appears in the name of a combination
NEAR_BOUND = 1e-3  # of the search range: a place closer to an end than this counts as at the end
IDENTIFIABLE, FIXED, NOT_CONVERGED = "identifiable", "fixed", "not converged"
NO_LOWER_BOUND, NO_UPPER_BOUND, UNCONSTRAINED = "no lower bound", "no upper bound", "unconstrained"
AT_BOUND, UNIDENTIFIABLE = "at bound", "structurally unidentifiable"
AT_LIMIT = "at limit"  # of a point of a profile: another parameter is at an end of its range


@dataclass(frozen=True, slots=True)
class Direction:
    """A combination of parameters: weights of their places in the search range.

    deviation : its standard deviation, in widths of the search range; infinite if it is
        structurally unidentifiable
    """

    deviation: float
    weights: dict[str, float]

    def __str__(self) -> str:
        largest = max(self.weights.values(), key=abs)
        parts = [
            f"{weight / abs(largest) * np.sign(largest):+.2g} {name}"
            for name, weight in self.weights.items()
            if abs(weight) >= NAMED
        ]
        return " ".join(parts)


def find_directions(jacobian: Array, names: Sequence[str]) -> tuple[Direction, ...]:
    """Return independent combinations, the least certain first."""
    _, sizes, vectors = np.linalg.svd(jacobian, full_matrices=len(jacobian) < len(names))
    sizes = np.pad(sizes, (0, len(vectors) - len(sizes)))
    has_effect = sizes > ROUNDING * max(sizes[0], 1e-300)
    deviations = np.full(len(sizes), np.inf)
    deviations[has_effect] = 1 / sizes[has_effect]
    return tuple(
        Direction(float(deviation), dict(zip(names, map(float, vector), strict=True)))
        for deviation, vector in zip(deviations[::-1], vectors[::-1], strict=True)
    )


def standard_deviations(directions: Sequence[Direction], names: Sequence[str]) -> Array:
    """Return first-order deviations of places; infinite if structurally unidentifiable."""
    weights = np.array([[each.weights[name] for name in names] for each in directions])
    spread = np.array([each.deviation for each in directions])
    is_open = np.isinf(spread)
    variance = (weights[~is_open] ** 2 * spread[~is_open, None] ** 2).sum(0)
    variance[(np.abs(weights[is_open]) > INVOLVED).any(0)] = np.inf
    return np.sqrt(variance)


def status_of(x: float, low: float, high: float) -> str:
    """Return the status of a parameter by the places of its value and of its interval's ends."""
    if not NEAR_BOUND < x < 1 - NEAR_BOUND:
        return AT_BOUND
    reaches_low, reaches_high = low < NEAR_BOUND, high > 1 - NEAR_BOUND
    if reaches_low and reaches_high:
        return UNCONSTRAINED
    if reaches_low:
        return NO_LOWER_BOUND
    return NO_UPPER_BOUND if reaches_high else IDENTIFIABLE
