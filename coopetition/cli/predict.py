"""Fit a theory to the beginning of a run, and say what it expects of the rest.

Events are read off the fitted theory's curves: `peak` (ICL errs least), `crossing` (CIWL errs less
than ICL), `fade` (CIWL is preferred where the two disagree).
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from coopetition.cli._curves import CurveFlags
from coopetition.cli._outputs import Outputs
from coopetition.tools.errors import UsageError

BEYOND = 3.0  # times the last sample: the horizon where the file has no more


@dataclass(frozen=True, kw_only=True)
class Flags(CurveFlags, Outputs):
    ending: ClassVar[str] = ".json"
    theory: str = "toy"
    """The toy, a variant as `toy_no_sharing`, or a rival as `logistic_race`; a wrong name lists
    all."""
    horizon: float | None = None
    """Sequences to look ahead to (without: the end of the curves, or three times what is known,
    but at most 100 times the length of the known part)."""


def run(flags: Flags) -> None:
    from coopetition.compare.estimate import fit
    from coopetition.compare.forecast import check_horizon, farthest_horizon, forecast
    from coopetition.compare.posterior import draws
    from coopetition.compare.theory import theory_of
    from coopetition.plot.fits import plot_forecast
    from coopetition.plot.report import report_forecast

    flags.check_outputs()
    flags.check_report()
    theory_of(flags.theory)
    if len(flags.curves) != 1:
        raise UsageError(f"{len(flags.curves)} curves are given; a forecast is of one run")
    (path,), (whole,) = flags.curves, flags.read_whole()
    known = flags.part(path, whole)
    first, last = map(float, known.sequences[[0, -1]])
    end = float(whole.sequences[-1])
    ahead = end if end > last else BEYOND * last
    nearest = min(ahead, farthest_horizon(first, last))
    horizon = nearest if flags.horizon is None else flags.horizon
    check_horizon(horizon, first, last)
    result = draws(fit(known, flags.theory, seed=flags.seed, n_starts=flags.starts))
    found = forecast(result, horizon)
    flags.give(found, partial(plot_forecast, found))
    flags.write_report(lambda path: report_forecast(path, found), as_json=flags.json)
