"""What commands on measured curves share: which curves, of what, from when to when."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from coopetition.cli._outputs import write_said
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_ending, check_writable

if TYPE_CHECKING:
    from coopetition.compare.curves import Curves


@dataclass(frozen=True, kw_only=True)
class PartFlags:
    from_: Annotated[float, tyro.conf.arg(name="from")] = 0.0
    """Leave out what came before so many sequences (theories know no earlier phase)."""
    until: float = math.inf
    """Leave out what came after so many sequences."""
    metric: Literal["loss", "in_context_loss", "accuracy", "in_context_accuracy"] = "loss"
    """What of a run folder: a loss in nats, or an accuracy, over all labels or those in context."""

    def check_part(self) -> None:
        """Raise `UsageError` unless the ends of the part are numbers, in order."""
        if not math.isfinite(self.from_):
            raise UsageError(f"--from {self.from_}; give a number of sequences")
        if not self.from_ < self.until:
            raise UsageError(f"--until {self.until:g} is not after --from {self.from_:g}")

    def part(self, path: Path, curves: "Curves") -> "Curves":
        """The part of a file's curves that is asked for; `UsageError` if there is none."""
        found = curves.between(self.from_, self.until)
        if len(found.sequences) < 2:
            raise UsageError(
                f"{path} has {len(found.sequences)} samples from {self.from_:g} until "
                f"{self.until:g}; choose others for --from and --until"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class CurveFlags(PartFlags):
    curves: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or CSVs with the column sequences and some of train, icl, ciwl; several are
    fitted at once."""
    seed: int = 0
    """Of the random starts."""
    starts: int = 32
    """Starts that are refined."""

    report: Path | None = None
    """Write a page with pictures here (`.html`), which stands by itself."""

    def check_report(self) -> None:
        """Raise `UsageError` if the page cannot be written; before the work, not after."""
        check_ending(self.report, ".html")
        check_writable(self.report)

    def write_report(self, write: Callable[[Path], None], *, as_json: bool) -> None:
        """Write the page, if one is asked for, and say so."""
        if self.report is not None:
            write_said(self.report, write, as_json=as_json)

    def read(self) -> "list[Curves]":
        """The part of the curves that is asked for."""
        return [
            self.part(path, curves)
            for path, curves in zip(self.curves, self.read_whole(), strict=True)
        ]

    def read_whole(self) -> "list[Curves]":
        """The curves, and what comes after `until`."""
        from coopetition.compare.curves import read_curves

        if not self.curves:
            raise UsageError(
                "no curves are given; name a run folder or a CSV file, before flags that take "
                "several values"
            )
        self.check_part()
        return [read_curves(path, self.metric) for path in self.curves]
