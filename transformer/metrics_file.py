"""A run's metrics: lines of JSON, appended as they come; the last may be cut short by a crash.

A line is a flat object: `step`, `sequences`, `batch_loss` (mean since the line before) and
`<evaluator>/<metric>`; a number that is undefined is null.  `pandas.read_json(path, lines=True)`
reads the file.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coopetition.errors import UserError
from coopetition.files import write_bytes

Row = dict[str, Any]


class MetricsFile:
    """Appends metric lines, each on disk before training goes on."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab")  # noqa: SIM115 - closed by close()

    def append(self, row: Row) -> None:
        """Add one line."""
        self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: Path) -> list[Row]:
    """The lines so far, but for a last one that was cut short by a crash.

    If one is damaged before the last, raises `UserError`.
    """
    lines = list(_complete_lines(path))
    if path.exists():
        rest = path.read_bytes()[sum(len(text) for _, text in lines) :]
        if b"\n" in rest[:-1]:
            raise UserError(
                f"line {len(lines) + 1} of {path} is damaged, and it is not the last; restore it"
            )
    return [row for row, _ in lines]


def cut_metrics(path: Path, step: int, every: int) -> None:
    """Forget lines after `step`: a resumed run writes them again.

    If one that belongs before `step` is missing (there is one `every` so many steps), raises
    `UserError`: it cannot be made again.
    """
    kept = [(row["step"], text) for row, text in _complete_lines(path) if row["step"] <= step]
    missing = sorted(set(range(0, step + 1, every)) - {done for done, _ in kept})
    if missing:
        raise UserError(
            f"{path} lacks step {missing[0]}, which the checkpoint of step {step} "
            "comes after; restore the file, or remove the checkpoints to start anew"
        )
    write_bytes(path, b"".join(text for _, text in kept))


def _complete_lines(path: Path) -> Iterator[tuple[Row, bytes]]:
    """Each whole metric line, parsed and as it stands; ends at the first that is not whole."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for text in file:
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                return
            if not (text.endswith(b"\n") and isinstance(row, dict) and _is_metrics(row)):
                return
            yield row, text


def _is_metrics(row: Row) -> bool:
    numbers = all(value is None or _is_number(value) for value in row.values())
    return numbers and all(type(row.get(name)) is int for name in ("step", "sequences"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
