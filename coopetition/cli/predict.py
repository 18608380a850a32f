"""Fit a theory to the beginning of a run, and say what it expects of the rest.

Events are read off the fitted theory's curves: `peak` (ICL errs least), `crossing` (CIWL errs less
than ICL), `fade` (CIWL is preferred where the two disagree).
"""

import math
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
    """The toy, one of its variants, or a rival; a wrong name lists them."""
    horizon: float | None = None
    """Sequences to look ahead to (without: the end of the curves, or three times what is known)."""


def run(flags: Flags) -> None:
    from coopetition.compare.draws import draws
    from coopetition.compare.estimate import fit
    from coopetition.compare.forecast import forecast
    from coopetition.compare.theory import theory_of
    from coopetition.plot.fits import plot_forecast
    from coopetition.plot.report import report_forecast

    flags.check_outputs()
    flags.check_report()
    theory_of(flags.theory)
    if len(flags.curves) != 1:
        raise UsageError(f"{len(flags.curves)} curves are given; a forecast is of one run")
    if flags.horizon is not None and not 0 < flags.horizon < math.inf:
        raise UsageError(f"--horizon {flags.horizon:g}; give a number of sequences above 0")
    whole = flags.read_whole()[0]
    known = flags.read()[0]
    result = draws(fit(known, flags.theory, seed=flags.seed, n_starts=flags.starts))
    last = float(whole.sequences[-1])
    ahead = last if last > flags.until else BEYOND * float(known.sequences[-1])
    found = forecast(result, flags.horizon or ahead)
    flags.give(found, partial(plot_forecast, found))
    flags.write_report(lambda path: report_forecast(path, found), as_json=flags.json)
