"""Events of a strategy and fates of ICL and CIWL, found in curves of any source.

A mechanism counts as learnt while its loss is below half of its unlearnt loss (`excess` < 0).
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
FORECAST_EVENTS = ("peak", "crossing", "fade")
RISEN = 0.55  # a smaller peak is within the noise of 1,000 sequences about one half (3.2 s.d.)
DIVERGED_ABOVE = 1e12  # a loss above this does not return


def excess(loss: Any, unlearnt: Any) -> Any:
    """Return a loss relative to the unlearnt one, minus the level below which it is learnt.

    unlearnt : the mechanism's loss when nothing is learnt (`Problem.unlearnt_losses`)
    """
    return loss / unlearnt - LEARNT_BELOW


def crossing_time(
    times: ArrayLike, values: ArrayLike, level: float, *, rising: bool, after: float = -math.inf
) -> float | None:
    """Return the first time after `after` at which a curve crosses `level` in the given direction.

    The curve is linear between samples.  None if it never crosses; a curve that lies beyond the
    level at its first sample crosses it only after it has been on the other side.
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


def find_emergence(sequences: Array, flip: Array) -> float | None:
    """Return when the in-context accuracy of Flip rises through one half, before its peak.

    Earlier rises are noise about one half: the last one counts.  It is the first sample if Flip is
    above one half from there on, and None if the peak is below `RISEN`.
    """
    top = int(np.argmax(flip))
    if flip[top] < RISEN:
        return None
    below = np.flatnonzero(flip[:top] < 0.5)
    before = slice(below[-1] if len(below) else 0, top + 1)
    emergence = crossing_time(sequences[before], flip[before], 0.5, rising=True)
    return float(sequences[0]) if emergence is None else emergence


def first_learnt_time(times: Array, above: Array) -> float | None:
    """Return the first time at which a mechanism is learnt, given its `excess`; None if never.

    Unlike `crossing_time`, this is the first sample if the mechanism is learnt at the start.
    """
    return float(times[0]) if above[0] < 0 else crossing_time(times, above, 0.0, rising=False)


def learnt_duration(times: Array, above: Array) -> Array:
    """Return how long mechanisms are learnt, given curves of their `excess` (n_samples, ...)."""
    below = np.maximum(-above, 0.0)
    size = np.abs(above[:-1]) + np.abs(above[1:])
    part = (below[:-1] + below[1:]) / np.where(size > 0, size, 1.0)
    return np.tensordot(np.diff(times), part, 1)


@dataclass(frozen=True, slots=True)
class Events:
    """Times of a strategy's events, in flow time (steps x step size); None if they do not happen.

    These are events of losses.  A *fade* is not among them: it is the time at which CIWL becomes
    the preferred strategy (`find_forecast_events`).

    emergence : it is learnt for the first time; the start if it is learnt there
    peak : its loss is lowest, after emergence; None if it falls to the end
    crossing : its rival becomes the better learnt of the two, after emergence
    unlearning : its loss rises through the level of emergence again, after its peak
    takeover : its rival is learnt for the first time, as in emergence
    """

    emergence: float | None
    peak: float | None = None
    crossing: float | None = None
    unlearning: float | None = None
    takeover: float | None = None


def find_events(times: Array, strategy: Array, rival: Array | None = None) -> Events:
    """Find the events of a strategy in curves of its `excess` and, if it has one, its rival's."""
    takeover = None if rival is None else first_learnt_time(times, rival)
    emergence = first_learnt_time(times, strategy)
    if emergence is None:
        return Events(None, takeover=takeover)
    crossing = None
    if rival is not None:
        crossing = crossing_time(times, strategy - rival, 0.0, rising=True, after=emergence)
    lowest = np.argmin(np.where(times >= emergence, strategy, np.inf))
    if lowest == len(times) - 1:
        return Events(emergence, crossing=crossing, takeover=takeover)
    peak = float(times[lowest])
    unlearning = crossing_time(times, strategy, 0.0, rising=True, after=peak)
    return Events(emergence, peak, crossing, unlearning, takeover)


def find_forecast_events(sequences: Array, errors: Mapping[str, Array]) -> dict[str, float | None]:
    """Return the times of those `FORECAST_EVENTS` whose curves of errors and preference are given.

    A time is None if the event has not happened by the last sample.

    peak : ICL's error is lowest; not the last sample, after which it may fall further
    crossing : the first sample from the peak on at which CIWL's error is lower than ICL's
    fade : the first sample from the peak on at which CIWL is preferred (`preference` below 0)
    """
    if ICL not in errors:
        return {}
    icl = np.where(np.isfinite(errors[ICL]), errors[ICL], np.inf)
    lowest = int(np.argmin(icl))
    peak = float(sequences[lowest]) if lowest < len(icl) - 1 else None
    leads = {}  # of CIWL
    if CIWL in errors:
        leads["crossing"] = errors[ICL] - errors[CIWL]
    if "preference" in errors:
        leads["fade"] = -errors["preference"]
    found = {"peak": peak}
    for event, lead in leads.items():
        found[event] = None if peak is None else _first_lead(sequences[lowest:], lead[lowest:])
    return found


def _first_lead(sequences: Array, lead: Array) -> float | None:
    """Return when CIWL leads: the first known sample if it leads there."""
    known = np.flatnonzero(np.isfinite(lead))
    if len(known) and lead[known[0]] >= 0:
        return float(sequences[known[0]])
    return crossing_time(sequences, lead, 0.0, rising=True)


class Fate(Enum):
    """The fate of ICL and CIWL; the value is the sentence for the reader."""

    NEVER = "neither was learnt in the given time"
    ICL_PERSISTENT = "ICL was learnt and stays"
    ICL_TRANSIENT = "ICL was learnt and faded"
    CIWL_ONLY = "CIWL was learnt, ICL never"
    COEXISTENCE = "both are learnt in the end"
    DIVERGED = "descent diverged; lower the step size"
    OTHER = "neither was learnt, but another strategy was"


FATES = list(Fate)


def check_has_fates(mechanisms: Iterable[str]) -> None:
    """Raise `UsageError` unless ICL or CIWL is among the names of mechanisms."""
    names = list(mechanisms)
    if ICL not in names and CIWL not in names:
        raise UsageError(
            f"fates are those of mechanisms named {ICL} and {CIWL}; the model has "
            f"{', '.join(names)}: give them these names, or read `Trajectory.events` instead"
        )


def classify_fates(losses: Mapping[str, Array], unlearnt: Mapping[str, Any]) -> NDArray[np.int8]:
    """Return the index in `FATES` of one trajectory or of many, given curves (n_samples, ...).

    unlearnt : each mechanism's loss when nothing is learnt, one number or (...)

    Raises
    ------
    UsageError : neither ICL nor CIWL is among the mechanisms
    """
    check_has_fates(unlearnt)
    total = losses["total"]
    with np.errstate(invalid="ignore", over="ignore"):
        learnt = {name: excess(losses[name], unlearnt[name]) < 0 for name in unlearnt}
    never = np.zeros(total.shape, bool)
    icl, ciwl = learnt.pop(ICL, never), learnt.pop(CIWL, never)
    other = np.any([never[-1], *(curve[-1] for curve in learnt.values())], axis=0)
    cases = {
        Fate.DIVERGED: ~(total[-1] < DIVERGED_ABOVE),
        Fate.COEXISTENCE: icl[-1] & ciwl[-1],
        Fate.ICL_PERSISTENT: icl[-1],
        Fate.ICL_TRANSIENT: icl.any(0),
        Fate.CIWL_ONLY: ciwl.any(0),
        Fate.OTHER: other,
    }
    index = [FATES.index(fate) for fate in cases]
    return np.select(list(cases.values()), index, FATES.index(Fate.NEVER)).astype(np.int8)
