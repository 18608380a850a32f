"""Events of runs in the paper's sequences: ours times our learning rate over the paper's."""

import math
from collections.abc import Callable, Sequence

from paper_figures.coopetition.paper_seeds import PAPER
from paper_figures.core.claims import FACTOR, Reading
from paper_figures.core.plotting import METRIC
from paper_figures.core.runs import FigureRun

NO_ICL = 0.6  # ICL accuracy below which there is none; chance is one half
AS_MAIN = "it is as in the main run at this learning rate (figure 1)"  # an explanation
LATE = 20.0  # millions of the paper's sequences by which ICL has emerged and faded in all its runs
CIWL_LATE = FACTOR * max(each.ciwl_90 for each in PAPER.values())  # the same, of CIWL


def readings(
    runs: Sequence[FigureRun],
    holds: Callable[[FigureRun], bool | None],
    value: Callable[[FigureRun], float | None] = lambda run: None,
) -> list[Reading]:
    """A reading of each run."""
    return [Reading.of(run, holds(run), value(run)) for run in runs]


def happened_by(happened: bool, run: FigureRun, millions: float = LATE) -> bool | None:
    """Whether something happened; None if it has not yet in a run that ends before `millions`."""
    if happened:
        return True
    return False if run.lasts(millions) else None


def not_by(happened: bool, run: FigureRun, millions: float = LATE) -> bool | None:
    """The opposite of `happened_by`."""
    return _opposite(happened_by(happened, run, millions))


def _opposite(found: bool | None) -> bool | None:
    return None if found is None else not found


def happens(name: str, millions: float = LATE) -> Callable[[FigureRun], bool | None]:
    """Whether an event of `Timeline` does; None if not yet in a run that ends before `millions`."""

    def holds(run: FigureRun) -> bool | None:
        return happened_by(getattr(run.timeline(), name) is not None, run, millions)

    return holds


def never(name: str, millions: float = LATE) -> Callable[[FigureRun], bool | None]:
    """The opposite of `happens`."""
    holds = happens(name, millions)
    return lambda run: _opposite(holds(run))


emerges = happens("emergence")  # ICL comes to be preferred
never_emerges = never("emergence")
fades = happens("fade")  # and no longer is
ciwl_comes = happens("ciwl_90", CIWL_LATE)


def never_learnt(run: FigureRun) -> bool | None:
    """Whether ICL accuracy stays about chance."""
    return not_by(run.timeline().icl_peak >= NO_ICL, run)


def earlier(name: str, others: Sequence[FigureRun]) -> Callable[[FigureRun], bool | None]:
    """Whether an event comes before it does in the other run of the same seed.

    None if there is none, if it has come in neither, or not yet in one that ends before it has come
    in the other.
    """
    by_seed = {run.init_seed: run for run in others}
    time = event(name)

    def holds(run: FigureRun) -> bool | None:
        beside = by_seed.get(run.init_seed)
        if beside is None:
            return None
        own, other = time(run), time(beside)
        if own is None:
            return None if other is None or not run.lasts(other / 1e6) else False
        if other is None:
            return True if beside.lasts(own / 1e6) else None
        return own < other

    return holds


def event(name: str) -> Callable[[FigureRun], float | None]:
    """The time of an event of `Timeline`, in the paper's sequences; None where it is not."""

    def time(run: FigureRun) -> float | None:
        found = getattr(run.timeline(), name)
        return None if found is None else found * run.rate_ratio

    return time


def height(name: str) -> Callable[[FigureRun], float | None]:
    """An accuracy of `Timeline`."""
    return lambda run: getattr(run.timeline(), name)


def icl_above(run: FigureRun, level: float = 0.75) -> float:
    """When ICL accuracy is first above a level, in the run's own sequences; infinite if never.

    ICL-only runs have this event too, unlike those of Flip accuracy.
    """
    curves = run.curves(METRIC)
    above = curves.sequences[curves.values["icl"] > level]
    return float(above[0]) if len(above) else math.inf
