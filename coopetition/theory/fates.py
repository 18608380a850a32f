"""Fates by theory: what can become of ICL and CIWL in the long run.

If both mechanisms have an irreducible error and compete, both are learnt for good, and the flow
goes to infinity with |b|^2 |c|^2 = q^2 and q^5 = 20 alpha S1^2 S2^2 t / N12 (docs/theory.md,
section 8): |b| grows as t^(1/10), |a| and |d| shrink as t^(-1/5), K as t^(-4/5).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from coopetition.dynamics.events import Fate, check_has_fates
from coopetition.model.graph import Model
from coopetition.model.presets import CIWL, COMPETITION, ICL, is_two_strategies
from coopetition.model.reduced import Problem
from coopetition.theory.critical_sets import (
    CriticalSet,
    Kind,
    Position,
    critical_sets,
    list_is_complete,
)
from coopetition.tools.errors import UsageError, check_type


def possible_fates(model: Model) -> frozenset[Fate]:
    """Return the fates that theory allows for long times, from almost every initial state.

    It assumes that the flow ends on a minimum or, if there is none and every mechanism has an
    offset, at infinity with all of them learnt (docs/theory.md, section 6).  This is observed on
    1,000 random problems of `two_strategies` with alpha > 0, and not proved; for other models only
    the list of minima supports it.  The initial state decides between several minima, and whether
    an ICL that does not stay was ever learnt.

    Raises `UsageError` for a model with neither mechanism, and where the list of critical sets may
    not be complete.
    """
    check_type(model, Model, "a Model")
    names = [m.name for m in model.mechanisms]
    check_has_fates(names)
    if not list_is_complete(model):
        raise UsageError("the critical points of this model are not all known; simulate its fates")
    dims, norms = dict.fromkeys(model.factors, 3), dict.fromkeys(model.factors, 1.0)
    problem = Problem.from_numbers(model, dims, norms)
    minima = [each for each in critical_sets(problem) if each.kind is Kind.MINIMUM]
    if not minima and min(m.mu for m in model.mechanisms) == 0:
        raise UsageError("this model has no isolated minima; simulate its fates")
    fates: set[Fate] = set()
    for learnt in _ends(model, minima) if minima else [dict.fromkeys(names, True)]:
        ciwl, others = learnt.get(CIWL, False), set(names) - {ICL, CIWL}
        if learnt.get(ICL, False):
            fates.add(Fate.COEXISTENCE if ciwl else Fate.ICL_PERSISTENT)
            continue
        fates |= {Fate.ICL_TRANSIENT} if ICL in names else set()
        fates |= {Fate.CIWL_ONLY} if CIWL in names else set()
        if not ciwl:
            fates.add(Fate.OTHER if any(learnt[name] for name in others) else Fate.NEVER)
    return frozenset(fates)


def _ends(model: Model, minima: list[CriticalSet]) -> Iterator[dict[str, bool]]:
    """Yield which mechanisms are learnt at the end, in every way that the minima allow."""
    for minimum in minima:
        options = [_options(minimum, m.name, m.factors) for m in model.mechanisms]
        for learnt in itertools.product(*options):
            yield dict(zip((m.name for m in model.mechanisms), learnt, strict=True))


def _options(minimum: CriticalSet, name: str, factors: tuple[str, ...]) -> tuple[bool, ...]:
    """Return whether a mechanism is learnt on a minimum; both where its free factors decide."""
    if name in minimum.learnt:
        return (True,)
    is_zero = any(minimum.positions[f] in (Position.ZERO, Position.ORTHOGONAL) for f in factors)
    return (False,) if is_zero else (False, True)


@dataclass(frozen=True, slots=True)
class CoexistenceAsymptotics:
    """The late flow in which both mechanisms are learnt.

    growth : q^5 / t;  target1, target2 : S1, S2;  size : N12
    """

    growth: float
    target1: float
    target2: float
    size: float

    def shared(self, t: float) -> float:
        """Return the geometric mean of |b| and |c| at a late time."""
        return (self.growth * t) ** 0.1

    def own(self, t: float) -> tuple[float, float]:
        """Return |a| and |d| at a late time."""
        q = self.shared(t) ** 2
        return self.target1 / q, self.target2 / q

    def competition(self, t: float) -> float:
        """Return K at a late time."""
        a, d = self.own(t)
        return (a * d) ** 2 / (2 * self.size)


def coexistence_asymptotics(problem: Problem) -> CoexistenceAsymptotics:
    """Return the late flow of `two_strategies`; `UsageError` unless alpha, mu1, mu2 are above 0.

    It assumes that both are learnt, and unit rates.  Relative corrections fall as t^(-3/5), and in
    the end as t^(-2/5) where |b| and |c| differ; each of |b| and |c| alone is off by t^(-1/5).
    """
    model = problem.model
    numbers = [*problem.mu.values(), *problem.alpha.values()]
    if not is_two_strategies(model) or set(model.rates) != {1.0} or min(numbers) <= 0:
        raise UsageError(
            "coexistence is known for two_strategies with alpha, mu1, mu2 above 0 and rates of 1; "
            f"got {model}"
        )
    icl, ciwl = problem.targets[ICL], problem.targets[CIWL]
    alpha, size = problem.alpha[COMPETITION], problem.sizes[COMPETITION]
    return CoexistenceAsymptotics(20 * alpha * (icl * ciwl) ** 2 / size, icl, ciwl, size)
