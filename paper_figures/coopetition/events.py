"""Events of runs, for claims, in the paper's sequences.

These are ours times our learning rate over the paper's.  Conditions give None for a run that is
inconclusive because it ends too early.
"""

import math
from collections.abc import Sequence

from paper_figures.coopetition.paper_values import PAPER_RUNS
from paper_figures.core.claims import FACTOR, Condition, Reading, Value, negation, readings
from paper_figures.core.runs import METRIC, FigureRun

EVENT_TITLES = {  # of `Timeline`
    "emergence": "emergence",
    "flip_peak_at": "Flip's peak",
    "flip_peak": "height of the peak",
    "fade": "fade",
    "ciwl_90": "CIWL 0.9",
}
NO_ICL = 0.6  # ICL accuracy below which there is none; chance is one half
AS_MAIN = "the main run differs in the same way at this learning rate (figure 1)"  # an explanation
LATE = 20.0  # millions of the paper's sequences by which ICL has emerged and faded in all its runs
CIWL_LATE = FACTOR * max(run.ciwl_90 for run in PAPER_RUNS.values())  # the same for CIWL


def has_happened(happened: bool, run: FigureRun, millions: float = LATE) -> bool | None:
    """Return whether something happened; None if it may still, after a run that ends early."""
    return True if happened else False if run.lasts(millions) else None


def has_not_happened(happened: bool, run: FigureRun, millions: float = LATE) -> bool | None:
    """Return the opposite of `has_happened`."""
    return negation(has_happened(happened, run, millions))


def has_event(name: str, millions: float = LATE) -> Condition:
    """Return the condition that an event of `Timeline` happens, by so many millions."""
    return lambda run: has_happened(getattr(run.timeline(), name) is not None, run, millions)


def lacks_event(name: str, millions: float = LATE) -> Condition:
    """Return the condition that an event of `Timeline` does not happen."""
    return lambda run: negation(has_event(name, millions)(run))


emerges = has_event("emergence")  # ICL becomes preferred
never_emerges = lacks_event("emergence")
fades = has_event("fade")  # and no longer is
ciwl_reaches_90 = has_event("ciwl_90", CIWL_LATE)


def stays_at_chance(run: FigureRun) -> bool | None:
    """Return whether ICL accuracy stays about chance."""
    return has_not_happened(run.timeline().icl_peak >= NO_ICL, run)


def comes_earlier(name: str, others: Sequence[FigureRun]) -> Condition:
    """Return the condition that an event comes before it does in the other run of the same seed.

    It is None without such a run, if the event comes in neither, or if one run ends before the
    event has come in the other.
    """
    by_seed = {run.init_seed: run for run in others}

    def holds(run: FigureRun) -> bool | None:
        other_run = by_seed.get(run.init_seed)
        if other_run is None:
            return None
        own, other = event_time(name)(run), event_time(name)(other_run)
        if own is not None and other is not None:
            return own < other
        if own is not None:
            return True if other_run.lasts(own / 1e6) else None
        return False if other is not None and run.lasts(other / 1e6) else None

    return holds


def event_time(name: str) -> Value:
    """Return the time of an event of `Timeline`, None if it does not happen."""

    def value(run: FigureRun) -> float | None:
        time = getattr(run.timeline(), name)
        return None if time is None else time * run.rate_ratio

    return value


def fades_later(
    runs: list[FigureRun], others: list[FigureRun], millions: float = LATE
) -> list[Reading]:
    """Return whether ICL fades later than in the other run of the same seed, and when.

    millions : by which it should have faded
    """

    def holds(run: FigureRun) -> bool | None:
        faded, first = has_event("fade", millions)(run), comes_earlier("fade", others)(run)
        return None if faded and first is None else faded and not first

    return readings(runs, holds, event_time("fade"))


def value_at(evaluator: str, millions: float, metric: str = METRIC) -> Value:
    """Return a curve's value after so many millions of the paper's sequences, or at its end."""
    return lambda run: run.at(evaluator, millions, metric)


def height_of(name: str) -> Value:
    """Return an accuracy of `Timeline`."""
    return lambda run: getattr(run.timeline(), name)


def icl_reaches(run: FigureRun, level: float = 0.75) -> float:
    """Return when ICL accuracy first exceeds a level, in the run's own sequences; inf if never.

    ICL-only runs have this event too, unlike those of Flip accuracy.
    """
    curves = run.curves()
    above = curves.sequences[curves.values["icl"] > level]
    return float(above[0]) if len(above) else math.inf


def icl_loss_below_chance(run: FigureRun) -> float | None:
    """Return when ICL's loss first falls below ln 2; None if it never does.

    ln 2 is the loss of a model that knows which two labels may be right, but not which of them is.
    """
    from coopetition.dynamics.events import crossing_time

    losses = run.curves("loss")
    time = crossing_time(losses.sequences, losses.values["icl"], math.log(2), rising=False)
    return None if time is None else time * run.rate_ratio
