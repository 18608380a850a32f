"""Measured curves against sequences seen, from a run folder or a CSV file."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.model.presets import CIWL, ICL
from coopetition.tools.errors import UsageError, abbreviate, check_type
from coopetition.tools.files import check_readable
from coopetition.tools.results import Result
from coopetition.tools.run_files import not_a_run, read_manifest, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

FITTED_CURVES = ("train", ICL, CIWL)  # a fit uses those that were measured


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Curves(Result):
    """Curves over common samples.

    Lists, series, tensors and masked arrays are accepted, and kept as float64 arrays; what is
    masked or None is NaN.

    sequences : (n,) sequences seen, rising
    values : name -> (n,); NaN where a curve was not measured
    source : description of their origin, for the record
    metric : what was measured, as `loss` or `in_context_accuracy`
    std : name -> (n,) standard deviations of samples, or one number, for curves with known errors

    Raises
    ------
    UsageError : samples that are not real numbers, or curves without names
    """

    sequences: Array
    values: dict[str, Array]
    source: str = "given"
    metric: str = "loss"
    std: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sequences = _to_samples("sequences", self.sequences)
        object.__setattr__(self, "sequences", sequences)
        for kind in ("values", "std"):
            named = getattr(self, kind)
            check_type(named, Mapping, f"the {kind} of curves by name, as {{'icl': [...]}}")
            arrays = {name: _to_samples(f"{kind} of curve {name}", v) for name, v in named.items()}
            object.__setattr__(self, kind, arrays)
        for name, std in self.std.items():
            if std.ndim == 0:
                self.std[name] = np.full(sequences.shape, float(std))

    def headline(self) -> str:
        """Return names, number of samples, range and source."""
        names = ", ".join(self.values) or "none"
        extent = _format_range(self.sequences)
        return f"{names}: {len(self.sequences)} samples, {extent} sequences, {self.source}"

    def columns(self) -> dict[str, Array]:
        """Return `sequences` and every curve; a row is a sample."""
        return {"sequences": self.sequences, **self.values}

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the curves against sequences seen, with a legend; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_measured

        return plot_measured(self, ax=ax)

    def between(self, first: float = 0.0, last: float = math.inf) -> "Curves":
        """Return the part from `first` to `last` sequences."""
        return self._at((self.sequences >= first) & (self.sequences <= last))

    def thinned(self, n: int) -> "Curves":
        """Return at most `n` samples of each curve, evenly spread, including first and last.

        Curves that were measured at different samples are thinned separately.
        """
        values, kept = {}, np.zeros(len(self.sequences), bool)
        for name, curve in self.values.items():
            known = np.flatnonzero(np.isfinite(curve))
            if len(known) > n:
                known = known[np.unique(np.linspace(0, len(known) - 1, n).round().astype(int))]
            values[name] = np.full(len(curve), np.nan)
            values[name][known] = curve[known]
            kept[known] = True
        if all(np.array_equal(values[n], curve, True) for n, curve in self.values.items()):
            return self
        return replace(self, values=values)._at(kept)

    def _at(self, kept: NDArray[Any]) -> "Curves":
        return replace(
            self,
            sequences=self.sequences[kept],
            values={name: curve[kept] for name, curve in self.values.items()},
            std={name: std[kept] for name, std in self.std.items()},
        )

    def select(self, names: tuple[str, ...]) -> "Curves":
        """Return only these curves; a missing one raises `UsageError`."""
        missing = [name for name in names if name not in self.values]
        if missing:
            raise UsageError(f"no curve {', '.join(missing)}; there are {', '.join(self.values)}")
        std = {name: self.std[name] for name in names if name in self.std}
        return replace(self, values={name: self.values[name] for name in names}, std=std)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, from which `from_dict` makes the same curves."""
        return {
            "sequences": self.sequences.tolist(),
            "values": {name: values.tolist() for name, values in self.values.items()},
            "source": self.source,
            "metric": self.metric,
            "std": {name: std.tolist() for name, std in self.std.items()},
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """Return the curves of `to_dict`, also after a round trip through JSON (null is NaN)."""
        return cls(**saved)


def _to_samples(name: str, given: Any) -> Array:
    """Return numbers of any container as float64, NaN where they are masked or None."""
    try:
        return np.asarray(np.ma.filled(np.ma.asanyarray(given).astype(np.float64), np.nan))
    except (TypeError, ValueError, RuntimeError) as error:  # torch raises the last
        raise UsageError(f"{name} are not real numbers ({error}); give one per sample") from error


def _format_range(values: Array) -> str:
    return f"{values[0]:.4g} to {values[-1]:.4g}" if len(values) else "nothing"


def read_curves(path: Path | str, metric: str = "loss") -> Curves:
    """Return the curves of one metric from a run folder or a CSV file.

    A CSV has a column `sequences` and one for each curve, named `icl` or `icl/loss`; if any name is
    of the second kind, only columns of `metric` are read.  A column of no evaluator (`batch_loss`)
    is a curve of its own name.  Blank cells, and `nan`, are not measured.
    """
    path = Path(path)
    if path.is_dir():
        columns = _read_run(path)
    else:
        check_readable(path, "give a run folder or a CSV file")
        columns = _read_csv(path)
    sequences = columns.pop("sequences")
    metrics = {name.split("/")[-1]: None for name in columns}
    if metric != "loss" or any("/" in name for name in columns):  # else all are losses
        columns = {
            name.removesuffix(f"/{metric}"): values
            for name, values in columns.items()
            if name.split("/")[-1] == metric
        }
    if not columns:
        raise UsageError(
            f"{path} holds no curves of {metric} (but of {abbreviate([*metrics]) or 'nothing'}); "
            "columns of a metric are named as icl/accuracy, and plain names are losses"
        )
    if len(sequences) < 2:
        raise UsageError(f"{path} has {len(sequences)} rows of measurements; expected two or more")
    curves = Curves(sequences, columns, f"{path.name}, {metric}", metric)
    check_rising(curves)
    if any(np.isinf(values).any() for values in columns.values()):
        raise UsageError(f"{path} holds infinite values; leave cells that are unknown blank")
    return curves


def check_rising(curves: Curves) -> None:
    """Raise `UsageError` unless sequences are finite and rise, and every curve has as many."""
    sequences = np.asarray(curves.sequences)
    rises = np.isfinite(sequences) & (np.diff(sequences, prepend=-np.inf) > 0)
    if not rises.all():
        k = int(np.argmin(rises))
        before = f"{sequences[k - 1]:g}, " if k else ""
        raise UsageError(
            f"{curves.source}: the column sequences must be finite and rise from row to row; "
            f"it has {before}{sequences[k]:g} up to row {k + 1}"
        )
    if len(sequences) and sequences[0] < 0:
        raise UsageError(f"{curves.source}: sequences are counted from 0, not {sequences[0]:g}")
    for name, values in curves.values.items():
        if np.shape(values) != sequences.shape:
            raise UsageError(
                f"curve {name} has {np.shape(values)} samples, not {sequences.shape} as sequences"
            )


def _read_run(folder: Path) -> dict[str, Array]:
    path = folder / "metrics.jsonl"
    if not path.exists():
        raise not_a_run(folder, path.name)
    read_manifest(folder)  # refuses formats of other versions
    rows = read_metrics(path)
    if not rows:
        raise UsageError(f"{path} holds no measurements; train the run first, or restore it")
    try:
        return {
            name: np.array([row[name] for row in rows], float) for name in rows[0] if name != "step"
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not a run's metrics ({error!r})") from error


def _read_csv(path: Path) -> dict[str, Array]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file ({error})") from error
    names = [name.strip() for name in header]
    if not names:
        raise UsageError(f"{path} is empty; expected a column `sequences` and one for each curve")
    if "sequences" not in names:
        raise UsageError(
            f"{path} has the columns {abbreviate(names)}; expected `sequences` among them, with "
            "commas between; for the metrics.jsonl of a run, name the run's folder"
        )
    if len(set(names)) != len(names):
        raise UsageError(f"{path} has two columns of one name in {abbreviate(names)}; rename one")
    columns = {name: np.empty(len(rows)) for name in names}
    for k, row in enumerate(rows):
        where = f"{path}: line {k + 2}"
        if len(row) != len(names):
            raise UsageError(
                f"{where} has {len(row)} cells for {len(names)} columns; leave unknown cells "
                "blank, keep their commas, and write numbers with decimal points"
            )
        for name, text in zip(names, row, strict=True):
            try:
                columns[name][k] = float(text) if text.strip() else math.nan
            except ValueError as error:
                raise UsageError(
                    f"{where}: {text!r:.80} in column {name:.80} is not a number"
                ) from error
    return columns
