"""What becomes of a strategy: is it learnt, when, for how long; read off curves of any kind.

A mechanism counts as learnt while its loss is below half of what it is unlearnt (`excess` < 0).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coopetition.model.presets import CIWL, ICL
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]
LEARNT_BELOW = 0.5  # of the unlearnt loss
DIVERGED = 1e12  # a loss above this will not come back


def excess(loss: Any, unlearnt: Any) -> Any:
    """How far a mechanism's loss is above the level at which it counts as learnt, over `unlearnt`.

    unlearnt : its loss when nothing is learnt (`Problem.unlearnt`)
    """
    return loss / unlearnt - LEARNT_BELOW


def crossing_time(
    times: ArrayLike, values: ArrayLike, level: float, *, rising: bool, after: float = -math.inf
) -> float | None:
    """First time after `after` at which a curve crosses `level` in the given direction.

    Linear between samples; None if it never does.  A curve that already lies beyond the level at
    its first sample has not crossed it until it has been on the other side.
    """
    times, values = np.asarray(times, float), np.asarray(values, float)
    known = np.isfinite(values) & (times >= after)
    times, values = times[known], values[known]
    distance = values - level if rising else level - values
    crossed = np.flatnonzero((distance[:-1] < 0) & (distance[1:] >= 0))
    if not len(crossed):
        return None
    k = crossed[0]
    part = distance[k] / (distance[k] - distance[k + 1])
    return float(times[k] + part * (times[k + 1] - times[k]))


def learnt_from(times: Array, above: Array) -> float | None:
    """First time at which a mechanism is learnt, by the curve of its `excess`; None if never.

    That is the first sample where it is learnt at the start, unlike `crossing_time`.
    """
    return float(times[0]) if above[0] < 0 else crossing_time(times, above, 0.0, rising=False)


def learnt_for(times: Array, above: Array) -> Array:
    """How long mechanisms are learnt, by curves of their `excess` (n, ...), linear between them."""
    below = np.maximum(-above, 0.0)
    size = np.abs(above[:-1]) + np.abs(above[1:])
    part = (below[:-1] + below[1:]) / np.where(size > 0, size, 1.0)
    return np.tensordot(np.diff(times), part, 1)


@dataclass(frozen=True, slots=True)
class Events:
    """Times of what happens to a strategy, in flow time (steps x step size); None if it does not.

    These are events of losses.  The `fade` of a run's timeline and of a forecast is another event:
    CIWL becomes the preferred strategy.

    emergence : it is learnt for the first time; the start if it is learnt there
    peak : its loss is lowest, after emergence; None if it falls to the end
    crossing : its rival becomes the better learnt of the two, after emergence
    unlearning : its loss rises through the level of emergence again, after its peak
    takeover : its rival is learnt for the first time, likewise
    """

    emergence: float | None
    peak: float | None = None
    crossing: float | None = None
    unlearning: float | None = None
    takeover: float | None = None


def tell_events(times: Array, strategy: Array, rival: Array | None = None) -> Events:
    """Events of a strategy in the curves of its `excess` and, if it has one, of its rival's."""
    takeover = None if rival is None else learnt_from(times, rival)
    emergence = learnt_from(times, strategy)
    if emergence is None:
        return Events(None, takeover=takeover)
    crossing = (
        None
        if rival is None
        else crossing_time(times, strategy - rival, 0.0, rising=True, after=emergence)
    )
    lowest = np.argmin(np.where(times >= emergence, strategy, np.inf))
    if lowest == len(times) - 1:
        return Events(emergence, None, crossing, None, takeover)
    peak = float(times[lowest])
    unlearning = crossing_time(times, strategy, 0.0, rising=True, after=peak)
    return Events(emergence, peak, crossing, unlearning, takeover)


class Fate(Enum):
    """What becomes of ICL and CIWL; the value is the sentence for the reader."""

    NEVER = "neither was learnt in the given time"
    ICL_PERSISTENT = "ICL was learnt and stays"
    ICL_TRANSIENT = "ICL was learnt and faded"
    CIWL_ONLY = "CIWL was learnt, ICL never"
    COEXISTENCE = "both are learnt in the end"
    DIVERGED = "descent diverged; lower the step size"
    OTHER = "neither was learnt, but another strategy was"


FATES = list(Fate)


def check_told(mechanisms: Iterable[str]) -> None:
    """Raise `UsageError` unless fates can be told of mechanisms of these names."""
    names = list(mechanisms)
    if ICL not in names and CIWL not in names:
        raise UsageError(
            f"fates are those of mechanisms named {ICL} and {CIWL}; the model has "
            f"{', '.join(names)}: give them these names, or read `Trajectory.events` instead"
        )


def tell_fates(losses: Mapping[str, Array], unlearnt: Mapping[str, Any]) -> NDArray[np.int8]:
    """Index in `FATES` for curves (n_samples, ...) of one trajectory or of many.

    unlearnt : each mechanism's loss when nothing is learnt, one number or (...)

    Raises
    ------
    UsageError : neither ICL nor CIWL is among the mechanisms
    """
    check_told(unlearnt)
    with np.errstate(invalid="ignore", over="ignore"):
        icl, ciwl = (
            excess(losses[name], unlearnt[name]) < 0
            if name in unlearnt
            else np.zeros(losses["total"].shape, bool)
            for name in (ICL, CIWL)
        )
        others = [
            excess(losses[name][-1], unlearnt[name]) < 0
            for name in unlearnt
            if name not in (ICL, CIWL)
        ]
    told = [
        (~(losses["total"][-1] < DIVERGED), Fate.DIVERGED),
        (icl[-1] & ciwl[-1], Fate.COEXISTENCE),
        (icl[-1], Fate.ICL_PERSISTENT),
        (icl.any(0), Fate.ICL_TRANSIENT),
        (ciwl.any(0), Fate.CIWL_ONLY),
        (np.any(others, axis=0) & np.ones_like(icl[-1]), Fate.OTHER),
    ]
    return np.select(
        [where for where, _ in told],
        [FATES.index(fate) for _, fate in told],
        FATES.index(Fate.NEVER),
    ).astype(np.int8)
