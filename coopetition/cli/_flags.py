"""Flags that commands share: a model, a theory, measured curves, and files for the results."""

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

import tyro
from tyro.extras import literal_type_from_choices

from coopetition.model.graph import Model
from coopetition.model.presets import MODELS, named_model
from coopetition.plot.style import check_picture, save_plot
from coopetition.tools.console import print_json, print_written
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_ending, check_writable
from coopetition.tools.flags import default_shown_as

T = TypeVar("T")

Metric = Literal["loss", "in_context_loss", "accuracy", "in_context_accuracy"]

if TYPE_CHECKING:
    from coopetition.compare.curves import Curves

    ModelName = str
else:
    ModelName = literal_type_from_choices(tuple(MODELS))


@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    model: ModelName = "two_strategies"
    """Name of the model: the published one (`two_strategies`) or a variant of it."""
    alpha: Annotated[float | None, default_shown_as("the model's value, usually 0.1")] = None
    """Strength of competition."""
    mu1: Annotated[float | None, default_shown_as("the model's value, 0.1")] = None
    """Irreducible error of ICL; above 0, ICL is transient."""
    mu2: Annotated[float | None, default_shown_as("the model's value, 0")] = None
    """Irreducible error of CIWL."""
    mu3: Annotated[float | None, default_shown_as("the model's value")] = None
    """Irreducible error of IWL (only `three_strategies` has it)."""

    def numbers(self) -> dict[str, float]:
        """Return the given numbers of the model, by name."""
        given = {name: getattr(self, name) for name in ("alpha", "mu1", "mu2", "mu3")}
        return {name: value for name, value in given.items() if value is not None}

    def named(self) -> Model:
        """Return the model."""
        return named_model(self.model, **self.numbers())


@dataclass(frozen=True, kw_only=True)
class TheoryFlags:
    theory: str = "toy"
    """Name of the theory: `toy`, a variant such as `toy_no_sharing`, or a rival such as
    `logistic_race`. The error for an unknown name lists all."""


def split_names(words: Iterable[str]) -> tuple[str, ...]:
    """Return names that are separated by commas or spaces."""
    return tuple(name for word in words for name in word.split(",") if name)


def read_assignments(
    flag: str, words: Iterable[str], read: Callable[[str], T], expected: str
) -> dict[str, T]:
    """Return the values of `NAME=VALUE` words by name; a mistake raises `UsageError`."""
    values: dict[str, T] = {}
    for word in split_names(words):
        name, _, text = word.partition("=")
        try:
            value = read(text)
        except ValueError as error:
            raise UsageError(f"{flag} {word}; expected NAME={expected}") from error
        if not name:
            raise UsageError(f"{flag} {word}; expected NAME={expected}")
        if name in values:
            raise UsageError(f"{flag} {' '.join(words)}; give each parameter once")
        values[name] = value
    return values


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    ending: ClassVar[str] = ".npz"
    out: Annotated[Path | None, default_shown_as("not saved")] = None
    """Save the whole result to this file: `.json` for a fit or a forecast, `.npz` otherwise."""
    plot: Annotated[Path | None, default_shown_as("no plot")] = None
    """Save a plot to this file (`.png`, `.pdf` or `.svg`)."""
    json: bool = False
    """Print one JSON object."""

    def check_outputs(self) -> None:
        """Raise `UsageError` if a file cannot be written, before the work."""
        check_ending(self.out, self.ending)
        check_picture(self.plot)
        for path in (self.out, self.plot):
            check_writable(path)

    def write_outputs(self, result: Any, plot: Callable[..., Any], **more: float) -> None:
        """Print the result, and more numbers; then write the requested files."""
        if self.json:
            print_json(more | result.to_dict())
        else:
            print(result.summary())
            for name, value in more.items():
                print(f"{name} {value:.1f}")
        if self.out is not None:
            write_file(self.out, result.save, as_json=self.json)
        if self.plot is not None:
            write_file(self.plot, partial(save_plot, plot), as_json=self.json)


def write_file(path: Path, write: Callable[[Path], None], *, as_json: bool) -> None:
    """Write a file, in a folder that is made if needed, and name both."""
    if not path.parent.exists():
        print(f"made the folder {path.parent}", file=sys.stderr)
    write(path)
    print_written(path, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class PartFlags:
    from_: Annotated[float, tyro.conf.arg(name="from")] = 0.0
    """First sample to use, in sequences seen. Leave out the early phase: no theory describes it."""
    until: Annotated[float, default_shown_as("the last sample")] = math.inf
    """Last sample to use, in sequences seen."""
    metric: Metric = "loss"
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
    """Run folders, or CSV files with a column `sequences` and one for each curve (`train`, `icl`,
    `ciwl`). Several runs are fitted together."""
    seed: int = 0
    """Random seed for the starting points of the fit."""
    starts: int = 32
    """Number of starting points of the least-squares optimiser; the best optimum is the fit."""
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
