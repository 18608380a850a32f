"""Measured curves against sequences seen, from a run folder or a CSV file."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coopetition.errors import UsageError

Array = NDArray[np.float64]
METRICS = (
    "loss",
    "accuracy",
    "probability",
    "in_context_loss",
    "in_context_accuracy",
    "in_context_probability",
    "context_probability",
)


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves over common samples.

    sequences : (n,) sequences seen, rising
    values : name -> (n,); NaN where a curve was not measured
    """

    sequences: Array
    values: dict[str, Array]

    def since(self, sequences: float) -> "Curves":
        """The part from so many sequences on."""
        kept = self.sequences >= sequences
        return Curves(self.sequences[kept], {n: v[kept] for n, v in self.values.items()})

    def select(self, names: tuple[str, ...]) -> "Curves":
        """Only these curves; a missing one raises `UsageError`."""
        missing = [name for name in names if name not in self.values]
        if missing:
            raise UsageError(f"no curve {', '.join(missing)}; there are {', '.join(self.values)}")
        return Curves(self.sequences, {name: self.values[name] for name in names})


def read_curves(path: Path, metric: str = "loss") -> Curves:
    """Curves of one metric from a run folder, or all columns of a CSV file.

    A CSV has a column `sequences` and one for each curve; blank cells are not measured.
    """
    if metric not in METRICS:
        raise UsageError(f"metric {metric!r} is unknown; choose one of {', '.join(METRICS)}")
    if path.is_dir():
        return _read_run(path / "metrics.jsonl", metric)
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a run folder or a CSV file")
    return _read_csv(path)


def _read_run(path: Path, metric: str) -> Curves:
    if not path.exists():
        raise UsageError(f"{path.parent} is not a run folder: it has no {path.name}")
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break  # a line that a crash cut short is the last
    suffix = f"/{metric}"
    names = [key.removesuffix(suffix) for key in (rows[0] if rows else {}) if key.endswith(suffix)]
    return _checked(
        path,
        np.array([row["sequences"] for row in rows], float),
        {name: np.array([row[name + suffix] for row in rows], float) for name in names},
    )


def _read_csv(path: Path) -> Curves:
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            names = list(reader.fieldnames or [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file ({error})") from error
    if "sequences" not in names:
        raise UsageError(f"{path} has the columns {', '.join(names)}; expected `sequences`")
    columns = {name: np.array([_number(path, row, name) for row in rows]) for name in names}
    return _checked(path, columns.pop("sequences"), columns)


def _number(path: Path, row: dict[str, str | None], name: str) -> float:
    text = row[name]
    if text is None or not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{path}: {text!r} in column {name} is not a number") from error


def _checked(path: Path, sequences: Array, values: dict[str, Array]) -> Curves:
    if len(sequences) < 2 or not values:
        raise UsageError(f"{path} holds no curves; expected at least two rows of measurements")
    if not (np.isfinite(sequences).all() and (np.diff(sequences) > 0).all()):
        raise UsageError(f"{path}: the column sequences must be finite and rise from row to row")
    return Curves(sequences, values)
