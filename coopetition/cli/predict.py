"""Fit a theory to the beginning of a run (until --until), and forecast the rest.

The forecast has the times of three events: `peak` (ICL's error is lowest), `crossing` (CIWL's error
falls below ICL's) and `fade` (CIWL becomes preferred where the two disagree).  Curves of accuracy
that include `flip` show which strategy is preferred in the known part.  A forecast samples the
posterior, which takes seconds to minutes, depending on the theory.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from coopetition.cli._flags import CurveFlags, JsonOutputFlags, TheoryFlags
from coopetition.tools.errors import UsageError
from coopetition.tools.flags import default_shown_as

BEYOND = 3.0  # times the last sample: the horizon if the file ends with the known part


@dataclass(frozen=True, kw_only=True)
class Flags(CurveFlags, TheoryFlags, JsonOutputFlags):
    horizon: Annotated[
        float | None,
        default_shown_as("the end of the curves, or three times the last sample if all is known"),
    ] = None
    """End of the forecast, in sequences seen: at most 100 times the length of the known part."""


def run(flags: Flags) -> None:
    from coopetition.fitting.estimate import fit
    from coopetition.fitting.forecast import check_horizon, farthest_horizon, forecast
    from coopetition.fitting.posterior import sample_posterior
    from coopetition.fitting.registry import theory_of
    from coopetition.plot.fits import plot_forecast
    from coopetition.plot.report import report_forecast

    flags.check_outputs()
    flags.check_report()
    theory = theory_of(flags.theory)
    if len(flags.curves) != 1:
        raise UsageError(f"{len(flags.curves)} logs are given; forecast one run at a time")
    (selection,) = flags.select_all()
    known, end = flags.read_fitted(selection, as_json=flags.json), selection.end()
    first, last = map(float, known.sequences[[0, -1]])
    default = min(end if end > last else BEYOND * last, farthest_horizon(first, last))
    horizon = default if flags.horizon is None else flags.horizon
    check_horizon(horizon, first, last)
    posterior = sample_posterior(fit(known, theory, seed=flags.seed, n_starts=flags.starts))
    result = forecast(posterior, horizon, measured=known)
    flags.write_outputs(result, partial(plot_forecast, result))
    flags.write_report(lambda path: report_forecast(path, result), as_json=flags.json)
