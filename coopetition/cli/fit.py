"""Fit a theory to the train, ICL and CIWL curves of a run, those that there are."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from coopetition.cli._curves import CurveFlags
from coopetition.cli._outputs import Outputs


@dataclass(frozen=True, kw_only=True)
class Flags(CurveFlags, Outputs):
    ending: ClassVar[str] = ".json"
    theory: str = "toy"
    """The toy, one of its variants, or a rival; a wrong name lists them."""


def run(flags: Flags) -> None:
    from coopetition.compare.estimate import fit
    from coopetition.compare.theory import theory_of
    from coopetition.plot.fits import plot_fit

    flags.check_outputs()
    theory_of(flags.theory)
    result = fit(flags.read(), flags.theory, seed=flags.seed, n_starts=flags.starts)
    flags.give(result, partial(plot_fit, result))
