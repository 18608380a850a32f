"""Flags that commands share: a model, a theory, measured curves, and files for the results."""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
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
Paths = Annotated[
    tyro.conf.Positional[tuple[Path, ...]],
    tyro.conf.arg(metavar="PATH [PATH ...]", help_behavior_hint="(required)"),
]

if TYPE_CHECKING:
    from coopetition.fitting.curves import Curves
    from coopetition.fitting.reading import Selection

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
    `logistic_race`. The error for an unknown name lists all. With `_readout` after the name it is
    fitted to accuracies, with `flip` as a fourth curve."""


def split_names(words: Iterable[str]) -> tuple[str, ...]:
    """Return names that are separated by commas or spaces."""
    return tuple(name for word in words for name in word.split(",") if name)


def read_assignments(
    flag: str, words: Sequence[str], read: Callable[[str], T], expected: str
) -> dict[str, T]:
    """Return the values of `NAME=VALUE` words by name; a mistake raises `UsageError`."""
    values: dict[str, T] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            value = read(text)
        except ValueError as error:
            raise UsageError(f"{flag} {word}; expected NAME={expected}") from error
        if not name:
            raise UsageError(f"{flag} {word}; expected NAME={expected}")
        if name in values:
            raise UsageError(f"{flag} {' '.join(words)}; give each name once")
        values[name] = value
    return values


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    ending: ClassVar[str] = ".npz"
    out: Annotated[Path | None, default_shown_as("not saved")] = None
    """Save the whole result to this `.npz` file."""
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
        self.write_files(result, plot)

    def write_files(self, result: Any, plot: Callable[..., Any]) -> None:
        """Write the requested files of a result."""
        if self.out is not None:
            write_file(self.out, result.save, as_json=self.json)
        if self.plot is not None:
            write_file(self.plot, partial(save_plot, plot), as_json=self.json)


@dataclass(frozen=True, kw_only=True)
class JsonOutputFlags(OutputFlags):
    ending: ClassVar[str] = ".json"
    out: Annotated[Path | None, default_shown_as("not saved")] = None
    """Save the whole result to this `.json` file."""


def write_file(path: Path, write: Callable[[Path], None], *, as_json: bool) -> None:
    """Write a file, in a folder that is made if needed, and name both."""
    if not path.parent.exists():
        print(f"made the folder {path.parent}", file=sys.stderr)
    write(path)
    print_written(path, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class LogFlags:
    """Which part of a log is read, and what its columns mean."""

    from_: Annotated[
        float | None,
        tyro.conf.arg(
            name="from",
            help_behavior_hint="(default: the first sample; for fits of losses over all labels, "
            "nine tenths of the time of emergence, if the log has the accuracy of Flip)",
        ),
    ] = None
    """First sample to use, in sequences seen. Leave out the early phase: no theory describes it."""
    until: Annotated[float, default_shown_as("the last sample")] = math.inf
    """Last sample to use, in sequences seen."""
    metric: Metric = "loss"
    """Metric of the curves: loss (nats) or accuracy, over all labels or over those in context."""
    columns: Annotated[
        tuple[str, ...], default_shown_as("names as in our files, or those with one reading")
    ] = ()
    """Columns of another tool's log: `train=train/loss icl=eval/icl_loss`."""
    x: Annotated[str | None, default_shown_as("sequences, or the only column of steps")] = None
    """Column of sequences or steps."""
    batch_size: Annotated[float | None, default_shown_as("1 for a column of sequences")] = None
    """Sequences per step, or per unit of the column --x."""
    duplicates: Literal["error", "last", "mean"] = "error"
    """Steps that repeat or fall, as in a resumed run: with `last`, a row replaces the earlier rows
    of this and of later steps; with `mean`, the rows of a step are averaged."""

    def check_part(self) -> None:
        """Raise `UsageError` unless the ends of the part are numbers, in order."""
        first = 0.0 if self.from_ is None else self.from_
        if not math.isfinite(first):
            raise UsageError(f"--from {first}; give a number of sequences")
        if not first < self.until:
            raise UsageError(f"--until {self.until:g} is not after --from {first:g}")

    def select(self, path: Path) -> "Selection":
        """Return the curves of a log, of which a part can be read."""
        from coopetition.fitting.reading import select_curves

        self.check_part()
        columns = read_assignments("--columns", self.columns, _read_name, "COLUMN") or None
        return select_curves(
            path, self.metric, columns=columns, x=self.x, batch_size=self.batch_size
        )

    def read_part(
        self, selection: "Selection", *, first: float | None, print_cautions: bool
    ) -> "Curves":
        """Return the part from `first` on, and print its notes; also cautions, if no table does."""
        curves = selection.curves(first, self.until, self.duplicates)
        for note in curves.notes:
            print(note, file=sys.stderr)
        for caution in curves.cautions if print_cautions else ():
            print(f"CAUTION: {caution}", file=sys.stderr)
        return curves


def _read_name(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


@dataclass(frozen=True, kw_only=True)
class CurveFlags(LogFlags):
    curves: Paths
    """Run folders, or logs of other tools: CSV, JSON lines, TensorBoard, wandb, Lightning, Hugging
    Face (docs/fit_your_own_log.md). `fit` and `compare` fit several runs together; `predict` takes
    one."""
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

    def read(self, *, as_json: bool) -> "list[Curves]":
        """Return the requested part of the curves, of which a theory describes some."""
        return [self.read_fitted(each, as_json=as_json) for each in self.select_all()]

    def select_all(self) -> "list[Selection]":
        """Return the curves of every log."""
        if not self.curves:
            raise UsageError(
                "no curves are given; name a run folder or a log, before flags that take several "
                "values"
            )
        return [self.select(path) for path in self.curves]

    def read_fitted(self, selection: "Selection", *, as_json: bool) -> "Curves":
        """Return the requested part; by default it starts where theories describe it."""
        selection.check_fitted()
        return self.read_part(selection, first=self.from_, print_cautions=as_json)
