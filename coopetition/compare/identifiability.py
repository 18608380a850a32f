"""Which parameters, and which combinations of them, the curves tell.

From the residuals' slopes X (n, p) by the places of the parameters in their search, at the best
fit.  With s^2 the variance of a residual, of the N samples that count out of n (`noise`), the
Fisher information of the places is

    F = (N / n) X^T X / s^2.

Its eigenvectors (X's singular vectors) are combinations that are told apart: one of eigenvalue f
lies, to first order, in an interval of deviation 1 / sqrt(f), where the whole search has width 1.
A combination whose eigenvalue is zero but for rounding is not seen at all, however little noise
there is: it is structurally unidentifiable here.  One that is seen but could lie as far away as an
end of the search is practically so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

UNSEEN = 1e-9  # of the largest slope: below, it is rounding
INVOLVED = 1e-6  # of a combination's direction: a parameter with less is not in it
NAMED = 0.3  # of a combination's direction: what is below is left out of its name
IDENTIFIABLE, OPEN_BELOW, OPEN_ABOVE, OPEN = "identifiable", "open below", "open above", "open"
AT_BOUND, UNSEEN_STATUS = "at bound", "not seen"
NEAR_BOUND = 1e-3  # of the width of a search: nearer to its end is at it


@dataclass(frozen=True, slots=True)
class Direction:
    """A combination of parameters, by how far their places move in it.

    deviation : of its place by first order, in widths of the search; infinite if it is not seen
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


def directions(slopes: Array, information: float, names: Sequence[str]) -> tuple[Direction, ...]:
    """Combinations from the worst told to the best.

    information : N / (n s^2), see the module
    """
    _, sizes, vectors = np.linalg.svd(slopes, full_matrices=len(slopes) < len(names))
    sizes = np.pad(sizes, (0, len(vectors) - len(sizes)))
    seen = sizes > UNSEEN * max(sizes[0], 1e-300)
    deviations = np.full(len(sizes), np.inf)
    deviations[seen] = 1 / (np.sqrt(information) * sizes[seen])
    worst_first = zip(deviations[::-1], vectors[::-1], strict=True)
    return tuple(
        Direction(float(deviation), dict(zip(names, map(float, vector), strict=True)))
        for deviation, vector in worst_first
    )


def deviations(found: Sequence[Direction], names: Sequence[str]) -> Array:
    """Of every parameter's place, to first order; infinite if a combination it is in is unseen."""
    weights = np.array([[each.weights[name] for name in names] for each in found])
    spread = np.array([each.deviation for each in found])
    unseen = np.isinf(spread)
    variance = (weights[~unseen] ** 2 * spread[~unseen, None] ** 2).sum(0)
    variance[(np.abs(weights[unseen]) > INVOLVED).any(0)] = np.inf
    return np.sqrt(variance)


def status(place: float, low: float, high: float, deviation: float) -> str:
    """Of a parameter by the places of its value and of the ends of its interval."""
    if np.isinf(deviation):
        return UNSEEN_STATUS
    if not NEAR_BOUND < place < 1 - NEAR_BOUND:
        return AT_BOUND
    below, above = low < NEAR_BOUND, high > 1 - NEAR_BOUND
    if below and above:
        return OPEN
    if below:
        return OPEN_BELOW
    return OPEN_ABOVE if above else IDENTIFIABLE
