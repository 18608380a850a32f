"""Fit a theory to the train, ICL and CIWL curves of runs, those that there are."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from coopetition.cli._curves import CurveFlags
from coopetition.cli._outputs import Outputs
from coopetition.tools.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Flags(CurveFlags, Outputs):
    ending: ClassVar[str] = ".json"
    theory: str = "toy"
    """The toy, a variant as `toy_no_sharing`, or a rival as `logistic_race`; a wrong name lists
    all."""
    shared: tuple[str, ...] = ()
    """Parameters that the runs have in common, with commas or spaces between."""
    fixed: tuple[str, ...] = ()
    """Parameters that are not looked for: `mu1=0.1`, or `c=b` for one that equals another."""
    profile: bool = False
    """Intervals by profiles instead of to first order (some seconds more)."""


def run(flags: Flags) -> None:
    from coopetition.compare.estimate import fit
    from coopetition.compare.intervals import profiled
    from coopetition.compare.theory import theory_of
    from coopetition.plot.fits import plot_fit
    from coopetition.plot.report import report_fit

    flags.check_outputs()
    flags.check_report()
    theory_of(flags.theory)
    result = fit(
        flags.read(),
        flags.theory,
        shared=_names(flags.shared),
        fixed=_fixed_once(flags.fixed),
        seed=flags.seed,
        n_starts=flags.starts,
    )
    profiles = {}
    if flags.profile:
        result, profiles = profiled(result)
    flags.give(result, partial(plot_fit, result))
    flags.write_report(lambda path: report_fit(path, result, profiles), as_json=flags.json)


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    """Names that stand apart by commas or spaces."""
    return tuple(name for each in given for name in each.split(",") if name)


def _fixed_once(given: tuple[str, ...]) -> dict[str, float | str]:
    """All that is fixed, each once."""
    pairs = [_fixed(each) for each in _names(given)]
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UsageError(f"--fixed {' '.join(given)}; give each parameter once")
    return found


def _fixed(given: str) -> tuple[str, float | str]:
    """`mu1=0.1` or `c=b`, taken apart."""
    name, equals, value = given.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--fixed {given}; expected NAME=VALUE, or NAME=OTHER")
    try:
        number = float(value)
    except ValueError:
        return name, value
    if not math.isfinite(number):
        raise UsageError(f"--fixed {given}; give a finite number")
    return name, number
