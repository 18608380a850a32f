"""Flags of commands on measured curves: which curves, which metric, which part."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from coopetition.cli._outputs import write_file
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_ending, check_writable
from coopetition.tools.flags import default_shown_as

if TYPE_CHECKING:
    from coopetition.compare.curves import Curves


@dataclass(frozen=True, kw_only=True)
class PartFlags:
    from_: Annotated[float, tyro.conf.arg(name="from")] = 0.0
    """Sequences seen at the first sample to use; no theory describes the early phase."""
    until: Annotated[float, default_shown_as("the last sample")] = math.inf
    """Sequences seen at the last sample to use."""
    metric: Literal["loss", "in_context_loss", "accuracy", "in_context_accuracy"] = "loss"
    """Metric of the curves: loss (nats) or accuracy, over all labels or over those in context."""

    def check_part(self) -> None:
        """Raise `UsageError` unless the ends of the part are numbers, in order."""
        if not math.isfinite(self.from_):
            raise UsageError(f"--from {self.from_}; give a number of sequences")
        if not self.from_ < self.until:
            raise UsageError(f"--until {self.until:g} is not after --from {self.from_:g}")

    def select_part(self, path: Path, curves: "Curves") -> "Curves":
        """Return the requested part of a file's curves; `UsageError` if it has no two samples."""
        part = curves.between(self.from_, self.until)
        if len(part.sequences) < 2:
            raise UsageError(
                f"{path} has {len(part.sequences)} samples from {self.from_:g} until "
                f"{self.until:g}; choose others for --from and --until"
            )
        return part


@dataclass(frozen=True, kw_only=True)
class CurveFlags(PartFlags):
    curves: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help_behavior_hint="(required)")
    ]
    """Run folders, or CSV files with the column sequences and some of train, icl and ciwl. Several
    are fitted together."""
    seed: int = 0
    """Random seed for the starting points of the fit."""
    starts: int = 32
    """Number of starting points from which the fit is refined."""
    report: Annotated[Path | None, default_shown_as("no report")] = None
    """Write a report with text and plots to this `.html` file."""

    def check_report(self) -> None:
        """Raise `UsageError` if the page cannot be written, before the work."""
        check_ending(self.report, ".html")
        check_writable(self.report)

    def write_report(self, write: Callable[[Path], None], *, as_json: bool) -> None:
        """Write the page, if it is requested."""
        if self.report is not None:
            write_file(self.report, write, as_json=as_json)

    def read(self) -> "list[Curves]":
        """Return the requested part of the curves."""
        whole = self.read_whole()
        return [self.select_part(*pair) for pair in zip(self.curves, whole, strict=True)]

    def read_whole(self) -> "list[Curves]":
        """Return the whole curves."""
        from coopetition.compare.curves import read_curves

        if not self.curves:
            raise UsageError(
                "no curves are given; name a run folder or a CSV file, before flags that take "
                "several values"
            )
        self.check_part()
        return [read_curves(path, self.metric) for path in self.curves]
