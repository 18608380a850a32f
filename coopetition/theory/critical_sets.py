"""The Hessian of the loss at a state: its spectrum, its index, and the steps it allows.

In the plane of a factor and its target the Hessian is that of the reduced loss, in (u, w).  At
right angles to both the loss is the same in every direction, so the rest of the spectrum is one
number a factor, as often as there are such directions.

Where the flow can rest: the critical sets of a model, their Hessians, and what they attract.

Where the theorem of docs/theory.md, section 5, holds (`theorem_holds`), each mechanism is learnt to
the end or contributes nothing at a critical point.  What is left is a finite list: which mechanisms
are learnt, and for every factor outside them whether it is zero, at right angles to its target, or
free.  `critical_sets` tries them all.

Caveats: unless `list_is_complete`, pulls of several mechanisms on one factor can cancel each other;
such unlearnt points are not listed.  Kind and spectrum are those of a point of a
set in general position; a wide set holds narrower ones at which the Hessian has more zeros (the
origin, in the end).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.trajectory import Trajectory
from coopetition.model.graph import Cost, Mechanism, Model
from coopetition.model.reduced import Problem, State
from coopetition.theory.laws import norm_laws
from coopetition.tools.errors import UsageError, check_type

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


class Place(Enum):
    """Where a factor is in a critical set, from the narrowest to the widest."""

    ZERO = 0
    ORTHOGONAL = 1
    """At right angles to its target, of any length."""
    FREE = 2
    """Anywhere."""
    LEARNT = 3
    """Along its target; only products over whole mechanisms are fixed."""


class Kind(Enum):
    """What a critical set is for the flow."""

    MINIMUM = "a minimum: it attracts, and only its own directions are flat"
    SADDLE = "a saddle: some directions lead down"
    DEGENERATE = "degenerate: flat beyond its own directions, so the Hessian does not decide"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CriticalSet:
    """A set of critical points, with the spectrum at a point of it.

    learnt : names of the mechanisms whose loss is zero on it
    places : where each factor is
    state : a point of the set, at which its free lengths are those of the targets
    dimension : of the set, in the full model
    """

    learnt: frozenset[str]
    places: dict[str, Place]
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
        """The set in one line."""
        words = {
            Place.ZERO: "{} = 0",
            Place.ORTHOGONAL: "{} at right angles to its target",
            Place.FREE: "{} free",
        }
        learnt = [f"{name} learnt" for name in sorted(self.learnt)]
        rest = [words[place].format(f) for f, place in self.places.items() if place in words]
        return ", ".join([*learnt, *rest])


def critical_sets(problem: Problem) -> list[CriticalSet]:
    """The critical sets of one problem, minima first; each is listed at its widest.

    All of them where `list_is_complete`; else those at which no pulls cancel.  Candidates are kept
    if the gradient is exactly zero at a point of general position on them.  Raises `UsageError`
    for a model with clamped factors: those rest anywhere.
    """
    check_type(problem, Problem, "a Problem")
    model = problem.model
    if 0 in model.rates:
        raise UsageError("the model has clamped factors, which rest anywhere; free them")
    found: list[CriticalSet] = []
    # from wide to narrow, so that a set which lies in a wider one is left out
    for learnt in _closed_subsets(model):
        used = {f for m in model.mechanisms if m.name in learnt for f in m.factors}
        for places in _assignments(problem, used):
            if any(_lies_in(places, wider.places) for wider in found):
                continue
            state = _point(problem, places)
            if _rests(problem, state):
                dimension = _dimension(problem, learnt, places)
                found.append(
                    CriticalSet(learnt, places, state, dimension, spectrum(problem, state))
                )
    return sorted(found, key=lambda each: list(Kind).index(each.kind))


def _closed_subsets(model: Model) -> Iterator[frozenset[str]]:
    """Sets of mechanisms that can be learnt without learning another one."""
    for size in range(len(model.mechanisms) + 1):
        for chosen in itertools.combinations(model.mechanisms, size):
            used = {f for m in chosen for f in m.factors}
            names = frozenset(m.name for m in chosen)
            if names == {m.name for m in model.mechanisms if set(m.factors) <= used}:
                yield names


def _assignments(problem: Problem, learnt: set[str]) -> Iterator[dict[str, Place]]:
    """Places of all factors, those outside `learnt` in every way, from wide to narrow."""
    outside = [f for f in problem.model.factors if f not in learnt]
    options = [
        (Place.FREE, Place.ORTHOGONAL, Place.ZERO)
        if problem.dims[f] > 1
        else (Place.FREE, Place.ZERO)
        for f in outside
    ]
    choices = itertools.product(*options)
    for chosen in sorted(choices, key=lambda places: -sum(place.value for place in places)):
        places = dict(zip(outside, chosen, strict=True))
        yield {f: places.get(f, Place.LEARNT) for f in problem.model.factors}


def _lies_in(places: dict[str, Place], wider: dict[str, Place]) -> bool:
    unlearnt = (Place.ZERO, Place.ORTHOGONAL, Place.FREE)
    return all(
        wide in (Place.FREE, places[f])
        or (wide in unlearnt and places[f] in unlearnt and places[f].value <= wide.value)
        for f, wide in wider.items()
    )


def _point(problem: Problem, places: dict[str, Place]) -> State:
    """A point of a set: free factors in general position, of their targets' length."""
    along = {Place.ZERO: 0.0, Place.ORTHOGONAL: 0.0, Place.FREE: 0.6, Place.LEARNT: 1.0}
    across = {Place.ZERO: 0.0, Place.ORTHOGONAL: 1.0, Place.FREE: 0.8, Place.LEARNT: 0.0}
    has_room = {f: float(problem.dims[f] > 1) for f in places}
    return State(
        tuple(places),
        [along[place] * problem.norms[f] for f, place in places.items()],
        [across[place] * problem.norms[f] * has_room[f] for f, place in places.items()],
    )


def _rests(problem: Problem, state: State) -> bool:
    """Does the gradient vanish?  Exactly: its terms are products with a zero, or P - S = 0."""
    return not np.any(problem.gradient(state).entries)


def _dimension(problem: Problem, learnt: frozenset[str], places: dict[str, Place]) -> int:
    mechanisms = [m.factors for m in problem.model.mechanisms if m.name in learnt]
    scaled = [f for f, place in places.items() if place is Place.LEARNT]
    incidence = np.array([[f in part for f in scaled] for part in mechanisms], float)
    rank = int(np.linalg.matrix_rank(incidence)) if incidence.size else 0
    rest = {Place.FREE: 0, Place.ORTHOGONAL: 1}
    wide = sum(problem.dims[f] - rest[place] for f, place in places.items() if place in rest)
    return len(scaled) - rank + int(wide)


def theorem_holds(model: Model) -> bool:
    """Is each mechanism learnt to the end, or not at all, at a critical point?

    It needs a law of the norms with a positive weight on every cost (of those whose strength is not
    0) and mechanisms whose rows in the incidence are independent; clamped factors rest anywhere.
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
    anywhere = [(None, None)] * len(laws)
    found = linprog(np.zeros(len(laws)), A_ub=-weights, b_ub=-np.ones(len(costs)), bounds=anywhere)
    return found.status == 0


def list_is_complete(model: Model) -> bool:
    """Does `critical_sets` list them all?  If so, no pulls of unlearnt mechanisms can cancel.

    Besides `theorem_holds` it needs that no mechanism's factors are all another's, and a cost with
    alpha > 0 that joins any two mechanisms that share a factor (docs/theory.md, section 5).
    """
    pairs = list(itertools.combinations(model.mechanisms, 2))
    nested = any(set(a.factors) <= set(b.factors) for a, b in [*pairs, *(p[::-1] for p in pairs)])
    return (
        theorem_holds(model)
        and not nested
        and all(
            any(_joins(cost, a, b) for cost in _active_costs(model))
            for a, b in pairs
            if set(a.factors) & set(b.factors)
        )
    )


def _active_costs(model: Model) -> list[Cost]:
    return [cost for cost in model.costs if cost.alpha > 0]


def _joins(cost: Cost, a: Mechanism, b: Mechanism) -> bool:
    """Is one end of the cost in `a` and the other in `b`, neither in both?"""
    own_a, own_b = set(a.factors) - set(b.factors), set(b.factors) - set(a.factors)
    x, y = cost.factors
    return (x in own_a and y in own_b) or (y in own_a and x in own_b)
