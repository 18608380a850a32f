"""Fit a theory to the train, ICL and CIWL curves of runs."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from coopetition.cli._flags import (
    CurveFlags,
    JsonOutputFlags,
    TheoryFlags,
    read_assignments,
    split_names,
)
from coopetition.tools.flags import default_shown_as


@dataclass(frozen=True, kw_only=True)
class Flags(CurveFlags, TheoryFlags, JsonOutputFlags):
    shared: Annotated[tuple[str, ...], default_shown_as("none")] = ()
    """Parameters that have the same value in all runs, separated by commas or spaces."""
    fixed: Annotated[tuple[str, ...], default_shown_as("none")] = ()
    """Parameters that are not fitted: `mu1=0.1` sets a value, `c=b` makes c equal to b."""
    profile: bool = False
    """Compute intervals by profile likelihood, in some seconds, instead of the first-order ones."""
    jobs: int = 1
    """Number of processes for the starting points; the result does not depend on it."""


def run(flags: Flags) -> None:
    from coopetition.fitting.estimate import fit
    from coopetition.fitting.intervals import profiled
    from coopetition.fitting.registry import theory_of
    from coopetition.plot.fits import plot_fit
    from coopetition.plot.report import report_fit

    flags.check_outputs()
    flags.check_report()
    words = split_names(flags.fixed)
    fixed = read_assignments("--fixed", words, _read_fixed, "NUMBER, or NAME=OTHER")
    result = fit(
        flags.read(as_json=flags.json),
        theory_of(flags.theory),
        shared=split_names(flags.shared),
        fixed=fixed,
        seed=flags.seed,
        n_starts=flags.starts,
        n_jobs=flags.jobs,
    )
    profiles = {}
    if flags.profile:
        result, profiles = profiled(result)
    flags.write_outputs(result, partial(plot_fit, result))
    flags.write_report(lambda path: report_fit(path, result, profiles), as_json=flags.json)


def _read_fixed(text: str) -> float | str:
    """Return a finite number, or the name of a parameter."""
    try:
        number = float(text)
    except ValueError:
        if not text:
            raise
        return text
    if not math.isfinite(number):
        raise ValueError(text)
    return number
