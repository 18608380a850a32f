"""Fates: what becomes of ICL and CIWL, from curves and from theory.

A strategy counts as learnt where its loss is below half of what it is unlearnt.
"""

import itertools
from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.model.declaration import Model
from coopetition.model.presets import CIWL, ICL
from coopetition.model.problem import Reduced
from coopetition.solve.dynamics import DIVERGED
from coopetition.solve.trajectory import Trajectory
from coopetition.theory.critical_points import (
    CriticalSet,
    Kind,
    Place,
    critical_sets,
    list_is_complete,
)
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]


class Fate(Enum):
    """What becomes of the two strategies; the value is the sentence for the reader."""

    NEVER = "neither was learnt in the given time"
    ICL_PERSISTENT = "ICL was learnt and stays"
    ICL_TRANSIENT = "ICL was learnt and faded"
    CIWL_ONLY = "CIWL was learnt, ICL never"
    COEXISTENCE = "both are learnt in the end"
    DIVERGED = "descent diverged; lower the step size"


FATES = list(Fate)


def tell_fates(losses: dict[str, Array], unlearnt: dict[str, Any]) -> NDArray[np.int8]:
    """Index in `FATES` for curves (n_samples, ...) of one trajectory or of many.

    unlearnt : each mechanism's loss when nothing is learnt, one number or (...)
    """
    with np.errstate(invalid="ignore", over="ignore"):
        icl, ciwl = (
            losses[name] < unlearnt[name] / 2
            if name in losses
            else np.zeros(losses["total"].shape, bool)
            for name in (ICL, CIWL)
        )
    told = [
        (~(losses["total"][-1] < DIVERGED), Fate.DIVERGED),
        (icl[-1] & ciwl[-1], Fate.COEXISTENCE),
        (icl[-1], Fate.ICL_PERSISTENT),
        (icl.any(0), Fate.ICL_TRANSIENT),
        (ciwl.any(0), Fate.CIWL_ONLY),
    ]
    return np.select(
        [where for where, _ in told],
        [FATES.index(fate) for _, fate in told],
        FATES.index(Fate.NEVER),
    ).astype(np.int8)


def fate(trajectory: Trajectory) -> Fate:
    """The fate of one trajectory, from every one of its samples."""
    return FATES[int(tell_fates(trajectory.losses, trajectory.reduced.unlearnt()))]


def possible_fates(model: Model) -> frozenset[Fate]:
    """What theory leaves open for long times, from almost every draw (docs/theory.md, section 6).

    It takes the flow to end on a minimum or, if there is none and every mechanism has an offset, at
    infinity with all of them learnt.  That is observed, on 1,000 random problems of
    `two_strategies` with alpha > 0, and not proved; for other models nothing but the list of minima
    supports it.  Which of several minima it is, and whether ICL came first where it is not to stay,
    is the draw's.  Raises `UsageError` where that list may not be complete.
    """
    if not list_is_complete(model):
        raise UsageError("the critical points of this model are not all known; simulate its fates")
    reduced = Reduced(model, dict.fromkeys(model.factors, 3), dict.fromkeys(model.factors, 1.0))
    minima = [each for each in critical_sets(reduced) if each.kind is Kind.MINIMUM]
    if not minima and min(m.offset for m in model.mechanisms) == 0:
        raise UsageError("this model has no isolated minima; simulate its fates")
    names = [m.name for m in model.mechanisms]
    fates: set[Fate] = set()
    for icl, ciwl in [(True, CIWL in names)] if not minima else _ends(model, minima):
        if icl:
            fates.add(Fate.COEXISTENCE if ciwl else Fate.ICL_PERSISTENT)
        else:
            fates |= {Fate.ICL_TRANSIENT} | ({Fate.CIWL_ONLY} if CIWL in names else set())
            fates |= set() if ciwl else {Fate.NEVER}
    return frozenset(fates)


def _ends(model: Model, minima: list[CriticalSet]) -> Iterator[tuple[bool, bool]]:
    """Whether ICL and CIWL are learnt at the end, in every way that the minima leave open."""
    for each in minima:
        yield from itertools.product(_learnt(model, each, ICL), _learnt(model, each, CIWL))


def _learnt(model: Model, minimum: CriticalSet, name: str) -> tuple[bool, ...]:
    factors = next((m.factors for m in model.mechanisms if m.name == name), None)
    if factors is None:
        return (False,)
    if name in minimum.learnt:
        return (True,)
    shut = any(minimum.places[f] in (Place.ZERO, Place.ORTHOGONAL) for f in factors)
    return (False,) if shut else (False, True)
