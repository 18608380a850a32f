"""Where the flow can rest: all critical sets of a model, their Hessians, and what they attract.

Let T_m = (prod of the other mechanisms' L + mu) (R_m - S_m P_m) / N_m.  At a critical point
x . dL/dx vanishes for every factor, so

    sum_{m with x} T_m + sum_{k with x} 2 alpha_k K_k = 0      for each x.

If some law of the norms (`coopetition.laws`) has a positive weight on every cost, then every K is
zero; if, besides, the mechanisms' rows in the incidence are independent, every T is zero; and then
each mechanism is learnt to the end (L = 0) or contributes nothing (P = 0).  `theorem_holds` checks
the two conditions.  What is left is a finite list: which mechanisms are learnt, and for every
factor outside them whether it is zero, at right angles to its target, or free.  `critical_sets`
tries them all.

Caveat: pulls of two mechanisms on one factor can cancel each other where there is no competition
(alpha = 0); such unlearnt saddles are not listed.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from coopetition.laws import norm_laws
from coopetition.model import CIWL, COMPETITION, ICL, Model
from coopetition.reduced import Numbers, Reduced
from coopetition.stability import Spectrum, spectrum


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


@dataclass(frozen=True, slots=True)
class CriticalSet:
    """A set of critical points, with the spectrum at a point of it.

    learnt : names of the mechanisms whose loss is zero on it
    places : where each factor is
    overlap, orthogonal : a point of the set, at which its free lengths are those of the targets
    dimension : of the set, in the full model
    """

    learnt: frozenset[str]
    places: dict[str, Place]
    overlap: list[float]
    orthogonal: list[float]
    dimension: int
    spectrum: Spectrum

    @property
    def kind(self) -> Kind:
        """Minimum, saddle or degenerate, by the Hessian."""
        if self.spectrum.count(-1):
            return Kind.SADDLE
        flat = self.spectrum.count(0)
        return Kind.MINIMUM if flat == self.dimension else Kind.DEGENERATE

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


def critical_sets(reduced: Reduced) -> list[CriticalSet]:
    """Every critical set of a problem, minima first; each is listed at its widest.

    Candidates are kept if the gradient vanishes at a point of general position on them.
    """
    model = reduced.model
    found: list[CriticalSet] = []
    # from wide to narrow, so that a set which lies in a wider one is left out
    for learnt in _closed_subsets(model):
        used = {f for m in model.mechanisms if m.name in learnt for f in m.factors}
        for places in _assignments(model, used):
            if any(_lies_in(places, wider.places) for wider in found):
                continue
            u, w = _point(reduced, places)
            if _rests(reduced, u, w):
                dimension = _dimension(reduced, learnt, places)
                found.append(CriticalSet(learnt, places, u, w, dimension, spectrum(reduced, u, w)))
    return sorted(found, key=lambda each: list(Kind).index(each.kind))


def _closed_subsets(model: Model) -> Iterator[frozenset[str]]:
    """Sets of mechanisms that can be learnt without learning another one."""
    for size in range(len(model.mechanisms) + 1):
        for chosen in itertools.combinations(model.mechanisms, size):
            used = {f for m in chosen for f in m.factors}
            names = frozenset(m.name for m in chosen)
            if names == {m.name for m in model.mechanisms if set(m.factors) <= used}:
                yield names


def _assignments(model: Model, learnt: set[str]) -> Iterator[dict[str, Place]]:
    outside = [f for f in model.factors if f not in learnt]
    wide_to_narrow = (Place.FREE, Place.ORTHOGONAL, Place.ZERO)
    choices = itertools.product(wide_to_narrow, repeat=len(outside))
    for chosen in sorted(choices, key=lambda places: -sum(place.value for place in places)):
        places = dict(zip(outside, chosen, strict=True))
        yield {f: places.get(f, Place.LEARNT) for f in model.factors}


def _lies_in(places: dict[str, Place], wider: dict[str, Place]) -> bool:
    unlearnt = (Place.ZERO, Place.ORTHOGONAL, Place.FREE)
    return all(
        wide in (Place.FREE, places[f])
        or (wide in unlearnt and places[f] in unlearnt and places[f].value <= wide.value)
        for f, wide in wider.items()
    )


def _point(reduced: Reduced, places: dict[str, Place]) -> tuple[Numbers, Numbers]:
    """A point of a set: free factors in general position, of their targets' length."""
    along = {Place.ZERO: 0.0, Place.ORTHOGONAL: 0.0, Place.FREE: 0.6, Place.LEARNT: 1.0}
    across = {Place.ZERO: 0.0, Place.ORTHOGONAL: 1.0, Place.FREE: 0.8, Place.LEARNT: 0.0}
    has_room = {f: float(reduced.dims[f] > 1) for f in places}
    return (
        [along[place] * reduced.norms[f] for f, place in places.items()],
        [across[place] * reduced.norms[f] * has_room[f] for f, place in places.items()],
    )


def _rests(reduced: Reduced, u: Numbers, w: Numbers) -> bool:
    """Does the gradient vanish, to rounding of the terms that it is a sum of?"""
    slope_u, slope_w = reduced.gradient(u, w)
    size = max(1.0, reduced.losses(u, w)["total"], *reduced.norms.values())
    return float(np.abs(slope_u + slope_w).max()) <= 1e-13 * size


def _dimension(reduced: Reduced, learnt: frozenset[str], places: dict[str, Place]) -> int:
    mechanisms = [m.factors for m in reduced.model.mechanisms if m.name in learnt]
    scaled = [f for f, place in places.items() if place is Place.LEARNT]
    incidence = np.array([[f in part for f in scaled] for part in mechanisms], float)
    rank = int(np.linalg.matrix_rank(incidence)) if incidence.size else 0
    rest = {Place.FREE: 0, Place.ORTHOGONAL: 1}
    wide = sum(reduced.dims[f] - rest[place] for f, place in places.items() if place in rest)
    return len(scaled) - rank + int(wide)


def theorem_holds(model: Model) -> bool:
    """Are the critical points of the model those of `critical_sets`, by the argument above?

    It needs a law of the norms with a positive weight on every cost (of those whose strength is not
    0), and mechanisms whose rows in the incidence are independent.
    """
    from scipy.optimize import linprog

    moving = [f for f, rate in zip(model.factors, model.rates, strict=True) if rate]
    rows = np.array([[f in m.factors for f in moving] for m in model.mechanisms], float)
    if np.linalg.matrix_rank(rows) < len(rows):
        return False
    costs = [cost.name for cost in model.costs if cost.strength > 0]
    laws = norm_laws(model)
    if not costs or not laws:
        return not costs
    weights = np.array([[law.costs.get(name, 0) for law in laws] for name in costs], float)
    anywhere = [(None, None)] * len(laws)
    found = linprog(np.zeros(len(laws)), A_ub=-weights, b_ub=-np.ones(len(costs)), bounds=anywhere)
    return found.status == 0


@dataclass(frozen=True, slots=True)
class Toleration:
    """Where the flow goes when both mechanisms have an irreducible error and compete.

    Then nothing but the unlearnt saddles is critical, and the flow runs to infinity with both
    learnt: with q = |b|^2 = |c|^2 large, a = S1/q and d = S2/q, and the budget law becomes

        dq/dt = 8 alpha K = 4 alpha S1^2 S2^2 / (N12 q^4).

    Hence q^5 = 20 alpha S1^2 S2^2 t / N12: |b| grows as t^(1/10), |a| and |d| shrink as t^(-1/5),
    K as t^(-4/5).  For `two_strategies` with its published rates.
    """

    q5_per_time: float
    target1: float
    target2: float
    size: float

    def shared(self, t: float) -> float:
        """|b| = |c| at a late time."""
        return (self.q5_per_time * t) ** 0.1

    def own(self, t: float) -> tuple[float, float]:
        """|a| and |d| at a late time."""
        q = self.shared(t) ** 2
        return self.target1 / q, self.target2 / q

    def competition(self, t: float) -> float:
        """K at a late time."""
        a, d = self.own(t)
        return (a * d) ** 2 / (2 * self.size)


def toleration(reduced: Reduced) -> Toleration:
    """The late flow of `two_strategies` with alpha, mu1 and mu2 above 0."""
    icl, ciwl = reduced.targets[ICL], reduced.targets[CIWL]
    alpha, size = reduced.strengths[COMPETITION], reduced.sizes[COMPETITION]
    return Toleration(20 * alpha * (icl * ciwl) ** 2 / size, icl, ciwl, size)
