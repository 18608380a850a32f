"""Fates by theory: what can become of ICL and CIWL in the long run."""

import itertools
from collections.abc import Iterator

from coopetition.dynamics.outcomes import Fate, check_told
from coopetition.model.declaration import Model
from coopetition.model.presets import CIWL, ICL
from coopetition.model.problem import Problem
from coopetition.theory.critical_points import (
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
