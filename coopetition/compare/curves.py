"""Measured curves against sequences seen, from a run folder or a CSV file."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError, abbreviate, check_type
from coopetition.tools.files import check_readable, html_table, to_frame
from coopetition.tools.run_files import not_a_run, read_manifest, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Curves over common samples.

    Lists, series, tensors and masked arrays are accepted, and kept as float64 arrays; what is
    masked or None is NaN.

    sequences : (n,) sequences seen, rising
    values : name -> (n,); NaN where a curve was not measured
    source : where they come from, in words, for the record
    metric : what was measured, as `loss` or `in_context_accuracy`
    errors : name -> (n,) standard deviations, or one number, of curves of which they are known

    Raises
    ------
    UsageError : samples that are no real numbers, or curves that are not named
    """

    sequences: Array
    values: dict[str, Array]
    source: str = "given"
    metric: str = "loss"
    errors: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sequences = _to_samples("sequences", self.sequences)
        object.__setattr__(self, "sequences", sequences)
        for kind in ("values", "errors"):
            named = getattr(self, kind)
            check_type(named, Mapping, f"the {kind} of curves by name, as {{'icl': [...]}}")
            arrays = {name: _to_samples(f"{kind} of curve {name}", v) for name, v in named.items()}
            object.__setattr__(self, kind, arrays)
        for name, error in self.errors.items():
            if error.ndim == 0:
                self.errors[name] = np.full(sequences.shape, float(error))

    def __repr__(self) -> str:
        names = ", ".join(self.values) or "none"
        span = _ends(self.sequences)
        return f"<Curves {names}: {len(self.sequences)} samples, {span} sequences, {self.source}>"

    def _repr_html_(self) -> str:
        known = {name: np.isfinite(values) for name, values in self.values.items()}
        lines = [
            (name, f"{known[name].sum()} samples", _ends(values[known[name]]))
            for name, values in self.values.items()
        ]
        return html_table([("curve", "measured", "first to last"), *lines])

    def to_frame(self) -> "DataFrame":
        """A row a sample: `sequences`, and every curve."""
        return to_frame({"sequences": self.sequences, **self.values})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The curves against sequences seen, with a legend; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_measured

        return plot_measured(self, ax=ax)

    def between(self, first: float = 0.0, last: float = math.inf) -> "Curves":
        """The part from `first` to `last` sequences."""
        return self._at((self.sequences >= first) & (self.sequences <= last))

    def thinned(self, n: int) -> "Curves":
        """At most `n` samples of each curve, evenly spread, its first and its last among them.

        Curves that were measured at different samples are thinned each by itself.
        """
        kept = {
            name: _evenly(np.flatnonzero(np.isfinite(values)), n)
            for name, values in self.values.items()
        }
        if all(len(kept[name]) == np.isfinite(v).sum() for name, v in self.values.items()):
            return self
        values = {name: np.full(len(self.sequences), np.nan) for name in kept}
        for name, rows in kept.items():
            values[name][rows] = self.values[name][rows]
        return replace(self, values=values)._at(np.unique(np.concatenate([*kept.values()])))

    def _at(self, kept: NDArray[Any]) -> "Curves":
        return replace(
            self,
            sequences=self.sequences[kept],
            values={name: curve[kept] for name, curve in self.values.items()},
            errors={name: error[kept] for name, error in self.errors.items()},
        )

    def select(self, names: tuple[str, ...]) -> "Curves":
        """Only these curves; a missing one raises `UsageError`."""
        missing = [name for name in names if name not in self.values]
        if missing:
            raise UsageError(f"no curve {', '.join(missing)}; there are {', '.join(self.values)}")
        errors = {name: self.errors[name] for name in names if name in self.errors}
        return replace(self, values={name: self.values[name] for name in names}, errors=errors)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, of which `of_dict` makes the same curves."""
        return {
            "sequences": self.sequences.tolist(),
            "values": {name: values.tolist() for name, values in self.values.items()},
            "source": self.source,
            "metric": self.metric,
            "errors": {name: values.tolist() for name, values in self.errors.items()},
        }

    @classmethod
    def of_dict(cls, saved: dict[str, Any]) -> Self:
        """The inverse of `to_dict`, also of what went through JSON (null is NaN)."""
        arrays = {
            kind: {name: np.array(values, float) for name, values in saved[kind].items()}
            for kind in ("values", "errors")
        }
        return cls(
            np.array(saved["sequences"], float),
            arrays["values"],
            saved["source"],
            saved["metric"],
            arrays["errors"],
        )


def _evenly(indices: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """At most `n` of the indices, evenly spread, the first and the last among them."""
    if len(indices) <= n:
        return indices
    return indices[np.unique(np.linspace(0, len(indices) - 1, n).round().astype(int))]


def _to_samples(name: str, given: Any) -> Array:
    """Numbers of any container as float64, NaN where they are masked or None."""
    try:
        return np.asarray(np.ma.filled(np.ma.asanyarray(given).astype(np.float64), np.nan))
    except (TypeError, ValueError, RuntimeError) as error:  # torch raises the last
        raise UsageError(f"{name} are no real numbers ({error}); give one each sample") from error


def _ends(values: Array) -> str:
    return f"{values[0]:.4g} to {values[-1]:.4g}" if len(values) else "nothing"


def read_curves(path: Path | str, metric: str = "loss") -> Curves:
    """Curves of one metric from a run folder or a CSV file.

    A CSV has a column `sequences` and one for each curve, named `icl` or `icl/loss`; with names of
    the second kind only those of `metric` are read.  What is of no evaluator (`batch_loss`) is one
    curve of its own name.  Blank cells, and `nan`, are not measured.
    """
    path = Path(path)
    if not path.is_dir():
        check_readable(path, "give a run folder or a CSV file")
    columns = _read_run(path) if path.is_dir() else _read_csv(path)
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
    found = Curves(sequences, columns, f"{path.name}, {metric}", metric)
    check_rising(found)
    if any(np.isinf(values).any() for values in columns.values()):
        raise UsageError(f"{path} holds infinite values; leave cells that are unknown blank")
    return found


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
    read_manifest(folder)  # of a format that is known
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
            header = [name.strip() for name in next(csv.reader(file), [])]
            rows = list(csv.DictReader(file, fieldnames=header))  # what is too much is at None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file ({error})") from error
    if not header:
        raise UsageError(f"{path} is empty; expected a column `sequences` and one for each curve")
    if "sequences" not in header:
        raise UsageError(
            f"{path} has the columns {abbreviate(header)}; expected `sequences` among them, with "
            "commas between; for the metrics.jsonl of a run, name the run's folder"
        )
    if len(set(header)) != len(header):
        raise UsageError(f"{path} has two columns of one name in {abbreviate(header)}; rename one")
    columns = {name: np.empty(len(rows)) for name in header}
    for k, row in enumerate(rows):
        where = f"{path}: line {k + 2}"
        if None in row:
            raise UsageError(
                f"{where} has more cells than the {len(header)} columns; write numbers with "
                "decimal points, and one cell a column"
            )
        if None in row.values():
            raise UsageError(
                f"{where} has fewer cells than the {len(header)} columns; leave cells that are "
                "unknown blank, and keep their commas"
            )
        for name, text in row.items():
            columns[name][k] = _number(where, name, text)
    return columns


def _number(where: str, name: str, text: str) -> float:
    if not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{where}: {text!r:.80} in column {name:.80} is not a number") from error
