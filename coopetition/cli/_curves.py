"""What commands on measured curves share: which curves, of what, from when to when."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from coopetition.tools.errors import UsageError

if TYPE_CHECKING:
    from coopetition.compare.curves import Curves


@dataclass(frozen=True, kw_only=True)
class CurveFlags:
    curves: tyro.conf.Positional[Path]
    """A run folder, or a CSV with the column sequences and some of train, icl, ciwl."""
    from_: Annotated[float, tyro.conf.arg(name="from")] = 0.0
    """Leave out what came before so many sequences (theories know no earlier phase)."""
    until: float = math.inf
    """Leave out what came after so many sequences."""
    metric: Literal["loss", "in_context_loss", "accuracy", "in_context_accuracy"] = "loss"
    """What of a run folder: a loss in nats, or an accuracy, over all labels or those in context."""
    seed: int = 0
    """Of the random starts."""
    starts: int = 32
    """Starts that are refined."""

    def read(self) -> "Curves":
        """The part of the curves that is asked for."""
        from coopetition.compare.curves import read_curves

        if not math.isfinite(self.from_):
            raise UsageError(f"--from {self.from_}; give a number of sequences")
        if not self.from_ < self.until:
            raise UsageError(f"--until {self.until:g} is not after --from {self.from_:g}")
        return read_curves(self.curves, self.metric).between(self.from_, self.until)
