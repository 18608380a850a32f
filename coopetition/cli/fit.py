"""Fit a theory to the train, ICL and CIWL curves of a run, those that there are."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from coopetition.cli._outputs import Outputs
from coopetition.tools.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Flags(Outputs):
    ending: ClassVar[str] = ".json"
    curves: tyro.conf.Positional[Path]
    """A run folder, or a CSV with the column sequences and some of train, icl, ciwl."""
    from_: Annotated[float, tyro.conf.arg(name="from")] = 0.0
    """Leave out what came before so many sequences (the toy knows no earlier phase)."""
    until: float = math.inf
    """Leave out what came after so many sequences."""
    theory: str = "toy"
    """The toy, one of its variants, or a rival; a wrong name lists them."""
    metric: Literal["loss", "in_context_loss", "accuracy", "in_context_accuracy"] = "loss"
    """What of a run folder: a loss in nats, or an accuracy, over all labels or those in context."""
    seed: int = 0
    """Of the random starts."""
    starts: int = 32
    """Starts that are refined."""


def run(flags: Flags) -> None:
    from coopetition.compare.curves import read_curves
    from coopetition.compare.estimate import fit
    from coopetition.compare.theory import theory_of
    from coopetition.plot.fits import plot_fit

    if not math.isfinite(flags.from_):
        raise UsageError(f"--from {flags.from_}; give a number of sequences")
    if not flags.from_ < flags.until:
        raise UsageError(f"--until {flags.until:g} is not after --from {flags.from_:g}")
    theory_of(flags.theory)
    flags.check_outputs()
    curves = read_curves(flags.curves, flags.metric).between(flags.from_, flags.until)
    result = fit(curves, flags.theory, seed=flags.seed, n_starts=flags.starts)
    flags.give(result, partial(plot_fit, result))
