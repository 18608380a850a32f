"""Fit the minimal model to the train, ICL and CIWL loss curves of a run, those that there are."""

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
    metric: Literal["loss", "in_context_loss"] = "loss"
    """Which loss of a run folder, in nats: over all labels, or over those in context."""
    seed: int = 0
    """Of the random starts."""
    starts: int = 32
    """Starts that are refined."""


def run(flags: Flags) -> None:
    from coopetition.compare.curves import read_curves
    from coopetition.compare.estimate import fit
    from coopetition.plot.fits import plot_fit

    if not math.isfinite(flags.from_):
        raise UsageError(f"--from {flags.from_}; give a number of sequences")
    flags.check_outputs()
    curves = read_curves(flags.curves, flags.metric).between(flags.from_)
    result = fit(curves, seed=flags.seed, n_starts=flags.starts)
    flags.give(result, partial(plot_fit, result))
