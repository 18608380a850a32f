"""Fates by theory: what can become of ICL and CIWL in the long run.

Mutual toleration: both mechanisms have an irreducible error, compete, and are learnt for good.

Then the flow goes to infinity, with |b|^2 |c|^2 = q^2 and q^5 = 20 alpha S1^2 S2^2 t / N12
(docs/theory.md, section 8): |b| grows as t^(1/10), |a| and |d| shrink as t^(-1/5), K as t^(-4/5).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from coopetition.dynamics.events import Fate, check_told
from coopetition.model.graph import Model
from coopetition.model.presets import CIWL, COMPETITION, ICL, is_two_strategies
from coopetition.model.reduced import Problem
from coopetition.theory.critical_sets import (
    CriticalSet,
    Kind,
    Place,
    critical_sets,
    list_is_complete,
)
from coopetition.tools.errors import UsageError


def possible_fates(model: Model) -> frozenset[Fate]:
    """What theory leaves open for long times, from almost every draw (docs/theory.md, section 6).

    It takes the flow to end on a minimum or, if there is none and every mechanism has an offset, at
    infinity with all of them learnt.  That is observed, on 1,000 random problems of
    `two_strategies` with alpha > 0, and not proved; for other models nothing but the list of minima
    supports it.  Which of several minima it is, and whether ICL came first where it is not to stay,
    is the draw's.  Raises `UsageError` for a model with neither mechanism, and where that list may
    not be complete.
    """
    names = [m.name for m in model.mechanisms]
    check_told(names)
    if not list_is_complete(model):
        raise UsageError("the critical points of this model are not all known; simulate its fates")
    dims, norms = dict.fromkeys(model.factors, 3), dict.fromkeys(model.factors, 1.0)
    problem = Problem.of_numbers(model, dims, norms)
    minima = [each for each in critical_sets(problem) if each.kind is Kind.MINIMUM]
    if not minima and min(m.mu for m in model.mechanisms) == 0:
        raise UsageError("this model has no isolated minima; simulate its fates")
    fates: set[Fate] = set()
    others = [name for name in names if name not in (ICL, CIWL)]
    all_learnt = (ICL in names, CIWL in names, bool(others))
    for icl, ciwl, other in _ends(model, minima, others) if minima else [all_learnt]:
        if icl:
            fates.add(Fate.COEXISTENCE if ciwl else Fate.ICL_PERSISTENT)
        else:
            fates |= {Fate.ICL_TRANSIENT} if ICL in names else set()
            fates |= {Fate.CIWL_ONLY} if CIWL in names else set()
            fates |= set() if ciwl else {Fate.OTHER if other else Fate.NEVER}
    return frozenset(fates)


def _ends(
    model: Model, minima: list[CriticalSet], others: list[str]
) -> Iterator[tuple[bool, bool, bool]]:
    """Whether ICL, CIWL and any other are learnt at the end, in every way that minima allow."""
    for each in minima:
        learnt = [_learnt(model, each, name) for name in (ICL, CIWL, *others)]
        for icl, ciwl, *rest in itertools.product(*learnt):
            yield icl, ciwl, any(rest)


def _learnt(model: Model, minimum: CriticalSet, name: str) -> tuple[bool, ...]:
    factors = next((m.factors for m in model.mechanisms if m.name == name), None)
    if factors is None:
        return (False,)
    if name in minimum.learnt:
        return (True,)
    shut = any(minimum.places[f] in (Place.ZERO, Place.ORTHOGONAL) for f in factors)
    return (False,) if shut else (False, True)


@dataclass(frozen=True, slots=True)
class Toleration:
    """The late flow.

    growth : q^5 / t;  target1, target2 : S1, S2;  size : N12
    """

    growth: float
    target1: float
    target2: float
    size: float

    def shared(self, t: float) -> float:
        """Geometric mean of |b| and |c| at a late time; |b|^2 - |c|^2 stays what it was."""
        return (self.growth * t) ** 0.1

    def own(self, t: float) -> tuple[float, float]:
        """|a| and |d| at a late time."""
        q = self.shared(t) ** 2
        return self.target1 / q, self.target2 / q

    def competition(self, t: float) -> float:
        """K at a late time."""
        a, d = self.own(t)
        return (a * d) ** 2 / (2 * self.size)


def toleration(problem: Problem) -> Toleration:
    """The late flow of `two_strategies`; `UsageError` unless alpha, mu1 and mu2 are above 0.

    Takes it that both are learnt, with unit rates.  Relative corrections fall as t^(-3/5), and in
    the end as t^(-2/5) where |b| and |c| differ; each of |b| and |c| alone is off by t^(-1/5).
    """
    model = problem.model
    numbers = [*problem.mu.values(), *problem.alpha.values()]
    if not is_two_strategies(model) or set(model.rates) != {1.0} or min(numbers) <= 0:
        raise UsageError(
            "toleration is known for two_strategies with alpha, mu1, mu2 above 0 and rates of 1; "
            f"got {model}"
        )
    icl, ciwl = problem.targets[ICL], problem.targets[CIWL]
    alpha, size = problem.alpha[COMPETITION], problem.sizes[COMPETITION]
    return Toleration(20 * alpha * (icl * ciwl) ** 2 / size, icl, ciwl, size)
