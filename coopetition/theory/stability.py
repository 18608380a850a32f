"""The Hessian of the loss at a state: its spectrum, its index, and the steps it allows.

In the plane of a factor and its target the Hessian is that of the reduced loss, in (u, w).  At
right angles to both the loss is the same in every direction, so the rest of the spectrum is one
number a factor, as often as there are such directions.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.trajectory import Trajectory
from coopetition.model.problem import Problem, State

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Eigenvalues of the full Hessian (k,), ascending, each with how often it occurs (k,).

    With rates other than 1 they are those of the linearised flow (with the sign turned): of
    sqrt(rate) H sqrt(rate).  Clamped factors are left out.
    """

    values: Array
    multiplicity: NDArray[np.int64]

    def count(self, sign: int, tolerance: float = 1e-9) -> int:
        """Directions whose eigenvalue has this sign (-1, 0, 1), to a tolerance of the largest.

        A model with targets of very different sizes may need a smaller tolerance.
        """
        zero = tolerance * np.abs(self.values).max(initial=0.0)
        signs = np.where(np.abs(self.values) <= zero, 0, np.sign(self.values))
        return int(self.multiplicity[signs == sign].sum())

    @property
    def largest_stable_step(self) -> float:
        """Gradient descent near this state is stable below 2 / (largest eigenvalue)."""
        largest = float(self.values.max(initial=0.0))
        return math.inf if largest == 0 else 2 / largest


def hessian(problem: Problem, state: State) -> Array:
    """Second derivatives of the reduced loss, (2 n_factors, 2 n_factors), overlaps first.

    By a complex step of the gradient, which is a polynomial: exact to rounding.
    """
    h = 1e-30
    rows = []
    for k in range(len(state.entries)):
        ahead = [complex(x) for x in state.entries]
        ahead[k] += 1j * h
        rows.append(np.imag(problem.gradient(state.with_entries(ahead)).entries) / h)
    matrix = np.array(rows)
    return (matrix + matrix.T) / 2


def spectrum(problem: Problem, state: State) -> Spectrum:
    """The Hessian's eigenvalues at a state of the full model, whatever its dimensions.

    One NaN where the Hessian is too large for floating point.
    """
    names = problem.model.factors
    lengths = np.array([problem.dims[f] for f in names])
    rates = np.array(problem.model.rates)
    # a factor of length 1 has an overlap and nothing else
    kept = np.concatenate([rates > 0, (rates > 0) & (lengths > 1)])
    root = np.sqrt(np.concatenate([rates, rates]))[kept]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = root[:, None] * hessian(problem, state)[np.ix_(kept, kept)] * root
    if not np.isfinite(scaled).all():
        return Spectrum(np.full(1, np.nan), np.ones(1, int))
    plane = np.linalg.eigvalsh(scaled)
    beyond = (rates > 0) & (lengths > 2)
    across = (rates * np.array(problem.transverse_curvature(state), float))[beyond]
    values = np.concatenate([plane, across], dtype=np.float64)
    multiplicity = np.concatenate([np.ones(len(plane), int), (lengths - 2)[beyond]])
    order = np.argsort(values, kind="stable")
    return Spectrum(values[order], multiplicity[order])


def largest_stable_step(trajectory: Trajectory) -> float:
    """What the Hessian allows descent where the loss was lowest: 2 / its largest eigenvalue.

    Elsewhere it may allow less.  NaN where the Hessian is too large for floating point.
    """
    total = trajectory.losses["total"]
    lowest = int(np.argmin(np.where(np.isfinite(total), total, np.inf)))
    return spectrum(trajectory.problem, trajectory.state(lowest)).largest_stable_step
