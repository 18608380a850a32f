"""Critical sets of a model: where the flow can rest, and the Hessian's spectrum there.

In the plane of a factor and its target the Hessian is that of the reduced loss, in (u, w).  At
right angles to both, the loss is the same in every direction, so the rest of the spectrum is one
number a factor, as often as there are such directions.

Where the theorem of docs/theory.md, section 5, holds (`theorem_holds`), each mechanism is learnt
completely or contributes nothing at a critical point.  This leaves a finite list: which mechanisms
are learnt, and whether every other factor is zero, at right angles to its target, or free.
`critical_sets` tries them all.

Caveats: unless `list_is_complete`, pulls of several mechanisms on one factor can cancel each other;
such unlearnt points are not listed.  Kind and spectrum belong to a point of a set in general
position; a wide set holds narrower ones at which the Hessian has more zeros (the origin, in the
end).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.trajectory import Trajectory
from coopetition.model.graph import Cost, Model
from coopetition.model.laws import norm_laws
from coopetition.model.reduced import Problem, State
from coopetition.tools.errors import UsageError, check_type

Array = NDArray[np.float64]
ZERO_BELOW = 1e-9  # of the largest eigenvalue


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Eigenvalues of the full Hessian (k,), ascending, and the multiplicity (k,) of each.

    With rates other than 1 they belong to the linearised flow (with the opposite sign), that is, to
    sqrt(rate) H sqrt(rate).  Clamped factors are left out.
    """

    values: Array
    multiplicity: NDArray[np.int64]

    def count(self, sign: int) -> int:
        """Return the number of directions whose eigenvalue has this sign: -1, 0 or 1."""
        zero = ZERO_BELOW * np.abs(self.values).max(initial=0.0)
        signs = np.where(np.abs(self.values) <= zero, 0, np.sign(self.values))
        return int(self.multiplicity[signs == sign].sum())

    @property
    def largest_stable_step(self) -> float:
        """2 / (largest eigenvalue): near this state, descent with a smaller step is stable."""
        largest = float(self.values.max(initial=0.0))
        return math.inf if largest == 0 else 2 / largest


def hessian(problem: Problem, state: State) -> Array:
    """Return second derivatives of the reduced loss, (2 n_factors, 2 n_factors), overlaps first.

    They are complex steps of the gradient, which is a polynomial, and so exact to rounding.
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
    """Return the Hessian's eigenvalues at a state of the full model, of any dimensions.

    One NaN where the Hessian is too large for floating point.
    """
    lengths = np.array([problem.dims[f] for f in problem.model.factors])
    rates = np.array(problem.model.rates)
    # a factor of length 1 has an overlap and nothing else
    moving = np.concatenate([rates > 0, (rates > 0) & (lengths > 1)])
    root = np.sqrt(np.concatenate([rates, rates]))[moving]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = root[:, None] * hessian(problem, state)[np.ix_(moving, moving)] * root
    if not np.isfinite(scaled).all():
        return Spectrum(np.full(1, np.nan), np.ones(1, int))
    plane = np.linalg.eigvalsh(scaled)
    beyond = (rates > 0) & (lengths > 2)
    transverse = (rates * np.array(problem.transverse_curvature(state), float))[beyond]
    values = np.concatenate([plane, transverse], dtype=np.float64)
    multiplicity = np.concatenate([np.ones(len(plane), int), (lengths - 2)[beyond]])
    order = np.argsort(values, kind="stable")
    return Spectrum(values[order], multiplicity[order])


def largest_stable_step(trajectory: Trajectory) -> float:
    """Return the stable limit of descent where the loss was lowest: 2 / (largest eigenvalue).

    Elsewhere the limit may be lower.  NaN where the Hessian is too large for floating point.
    """
    total = trajectory.losses["total"]
    lowest = int(np.argmin(np.where(np.isfinite(total), total, np.inf)))
    return spectrum(trajectory.problem, trajectory.state(lowest)).largest_stable_step


class Position(Enum):
    """Position of a factor in a critical set, from the narrowest to the widest."""

    ZERO = 0
    ORTHOGONAL = 1
    """At right angles to its target, of any length."""
    FREE = 2
    """Anywhere."""
    LEARNT = 3
    """Along its target; only products over whole mechanisms are fixed."""


UNLEARNT = {
    Position.FREE: "{} free",
    Position.ORTHOGONAL: "{} at right angles to its target",
    Position.ZERO: "{} = 0",
}


class Kind(Enum):
    """Role of a critical set for the flow."""

    MINIMUM = "a minimum: it attracts, and only its own directions are flat"
    SADDLE = "a saddle: some directions lead down"
    DEGENERATE = "degenerate: flat beyond its own directions, so the Hessian does not decide"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CriticalSet:
    """A set of critical points, with the spectrum at one of them.

    learnt : names of the mechanisms whose loss is zero on it
    positions : where each factor is
    state : a point of the set, at which its free lengths are those of the targets
    dimension : of the set, in the full model
    """

    learnt: frozenset[str]
    positions: dict[str, Position]
    state: State
    dimension: int
    spectrum: Spectrum

    @property
    def kind(self) -> Kind:
        """Minimum, saddle or degenerate, by the Hessian."""
        if self.spectrum.count(-1):
            return Kind.SADDLE
        flat = self.spectrum.count(0)
        return Kind.MINIMUM if flat == self.dimension else Kind.DEGENERATE

    def __repr__(self) -> str:
        return f"<CriticalSet, {self.kind.name.lower()}: {self.describe()}>"

    def describe(self) -> str:
        """Return the set in one line."""
        learnt = [f"{name} learnt" for name in sorted(self.learnt)]
        positions = self.positions.items()
        rest = [UNLEARNT[place].format(f) for f, place in positions if place in UNLEARNT]
        return ", ".join([*learnt, *rest])


def critical_sets(problem: Problem) -> list[CriticalSet]:
    """Return the critical sets of one problem, minima first, each at its widest.

    The list has all of them where `list_is_complete`; else it lacks those at which pulls cancel.  A
    candidate is kept if the gradient is exactly zero at a point of it in general position.  A model
    with clamped factors, which rest anywhere, raises `UsageError`.
    """
    check_type(problem, Problem, "a Problem")
    model = problem.model
    if 0 in model.rates:
        raise UsageError("the model has clamped factors, which rest anywhere; free them")
    found: list[CriticalSet] = []
    # from wide to narrow, so that a set which lies in a wider one is left out
    for learnt in _closed_subsets(model):
        used = {f for m in model.mechanisms if m.name in learnt for f in m.factors}
        for positions in _assignments(problem, used):
            if any(_lies_in(positions, wider.positions) for wider in found):
                continue
            state = _point(problem, positions)
            # exactly: the terms of the gradient are products with a zero, or P - S = 0
            if not np.any(problem.gradient(state).entries):
                dimension = _dimension(problem, learnt, positions)
                at_point = spectrum(problem, state)
                found.append(CriticalSet(learnt, positions, state, dimension, at_point))
    return sorted(found, key=lambda each: list(Kind).index(each.kind))


def _closed_subsets(model: Model) -> Iterator[frozenset[str]]:
    """Yield the sets of mechanisms that can be learnt without learning another one."""
    for size in range(len(model.mechanisms) + 1):
        for chosen in itertools.combinations(model.mechanisms, size):
            used = {f for m in chosen for f in m.factors}
            names = frozenset(m.name for m in chosen)
            if names == {m.name for m in model.mechanisms if set(m.factors) <= used}:
                yield names


def _assignments(problem: Problem, learnt: set[str]) -> Iterator[dict[str, Position]]:
    """Yield positions of all factors, with every choice outside `learnt`, from wide to narrow."""
    outside = [f for f in problem.model.factors if f not in learnt]
    has_room = {f: problem.dims[f] > 1 for f in outside}
    choices = itertools.product(
        *([p for p in UNLEARNT if has_room[f] or p is not Position.ORTHOGONAL] for f in outside)
    )
    for chosen in sorted(choices, key=lambda positions: -sum(each.value for each in positions)):
        positions = dict(zip(outside, chosen, strict=True))
        yield {f: positions.get(f, Position.LEARNT) for f in problem.model.factors}


def _lies_in(positions: dict[str, Position], wider: dict[str, Position]) -> bool:
    return all(
        wide in (Position.FREE, positions[f])
        or (wide in UNLEARNT and positions[f] in UNLEARNT and positions[f].value <= wide.value)
        for f, wide in wider.items()
    )


def _point(problem: Problem, positions: dict[str, Position]) -> State:
    """Return a point of a set: free factors in general position, as long as their targets."""
    parts = {
        Position.ZERO: (0.0, 0.0),
        Position.ORTHOGONAL: (0.0, 1.0),
        Position.FREE: (0.6, 0.8),
        Position.LEARNT: (1.0, 0.0),
    }
    return State(
        tuple(positions),
        [parts[place][0] * problem.norms[f] for f, place in positions.items()],
        [parts[p][1] * problem.norms[f] * (problem.dims[f] > 1) for f, p in positions.items()],
    )


def _dimension(problem: Problem, learnt: frozenset[str], positions: dict[str, Position]) -> int:
    mechanisms = [m.factors for m in problem.model.mechanisms if m.name in learnt]
    scaled = [f for f, place in positions.items() if place is Position.LEARNT]
    incidence = np.array([[f in part for f in scaled] for part in mechanisms], float)
    rank = int(np.linalg.matrix_rank(incidence)) if incidence.size else 0
    fixed = {Position.FREE: 0, Position.ORTHOGONAL: 1}
    wide = sum(problem.dims[f] - fixed[place] for f, place in positions.items() if place in fixed)
    return len(scaled) - rank + int(wide)


def theorem_holds(model: Model) -> bool:
    """Return whether each mechanism is learnt completely, or not at all, at a critical point.

    It needs a law of the norms with a positive weight on every cost with alpha > 0, mechanisms
    whose rows in the incidence are independent, and no clamped factors, which rest anywhere.
    """
    from scipy.optimize import linprog

    rows = np.array([[f in m.factors for f in model.factors] for m in model.mechanisms], float)
    if 0 in model.rates or np.linalg.matrix_rank(rows) < len(rows):
        return False
    costs = [cost.name for cost in _active_costs(model)]
    laws = norm_laws(model)
    if not costs or not laws:
        return not costs
    weights = np.array([[law.costs.get(name, 0) for law in laws] for name in costs], float)
    unbounded = [(None, None)] * len(laws)
    found = linprog(np.zeros(len(laws)), A_ub=-weights, b_ub=-np.ones(len(costs)), bounds=unbounded)
    return found.status == 0


def list_is_complete(model: Model) -> bool:
    """Return whether `critical_sets` lists all: no pulls of unlearnt mechanisms can cancel.

    Besides `theorem_holds` it needs that no mechanism's factors are all another's, and a cost with
    alpha > 0 that joins any two mechanisms that share a factor (docs/theory.md, section 5).
    """
    pairs = [
        (set(a.factors), set(b.factors)) for a, b in itertools.combinations(model.mechanisms, 2)
    ]
    ends = [set(cost.factors) for cost in _active_costs(model)]
    return theorem_holds(model) and all(
        a - b and b - a and (not a & b or any(_joins(pair, a, b) for pair in ends))
        for a, b in pairs
    )


def _active_costs(model: Model) -> list[Cost]:
    return [cost for cost in model.costs if cost.alpha > 0]


def _joins(ends: set[str], a: set[str], b: set[str]) -> bool:
    """Return whether one end of a cost is in `a` alone and the other in `b` alone."""
    return bool(ends & (a - b) and ends & (b - a))
