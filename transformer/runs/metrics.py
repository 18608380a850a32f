"""Writing a run's metrics; `coopetition.tools.run_files` says what is in the file."""

import itertools
import json
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from coopetition.tools.files import for_all
from coopetition.tools.run_files import Row, complete_lines
from transformer.config.evaluators import summary_evaluators


def append_row(path: Path, row: Row) -> None:
    """Add one line to a file of metrics; a crash of the machine may lose it until `sync`."""
    with open(path, "ab") as file:
        file.write(json.dumps(row, allow_nan=False).encode() + b"\n")


def sync(paths: Iterable[Path]) -> None:
    """Flush files of metrics to disk, all at once, which takes hardly longer than one."""
    for_all(_sync_file, paths)


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def metrics_until(path: Path, step: int) -> tuple[float, bytes]:
    """Return the seconds trained until a step, and the file's lines up to it.

    A resumed run writes later lines again.
    """
    kept = [(row, text) for row, text in whole_lines(path) if row["step"] <= step]
    seconds = kept[-1][0].get("seconds") if kept else None
    return seconds or 0.0, b"".join(text for _, text in kept)


def first_missing(path: Path, every: int, last: int) -> int:
    """Return the first evaluated step (every `every` steps, and the last) without a line.

    A run can continue only from a checkpoint before it, since lines are not made again.
    """
    steps = {row["step"] for row, _ in whole_lines(path)}
    missing = next(step for step in itertools.count(0, every) if step not in steps)
    return missing if last in steps else min(missing, last)


def whole_lines(path: Path) -> list[tuple[Row, bytes]]:
    """Return the lines before the first that is damaged, parsed and as bytes."""
    return list(complete_lines(path.read_bytes() if path.exists() else b""))


def thin(positions: Sequence[float], spacing: float, always: Collection[int] = ()) -> list[int]:
    """Return which of rising positions remain at a minimum relative spacing.

    The last remains, and so do those whose numbers are in `always`.
    """
    kept: list[int] = []
    due = 0.0
    for number, position in enumerate(positions):
        if position >= due or number in always or number == len(positions) - 1:
            kept.append(number)
            due = position * (1 + spacing)
    return kept


def summarise(rows: Collection[Row]) -> str:
    """Return metrics of one step in a few words: batch loss and in-context accuracies.

    For several runs: their number, and the lowest and highest value of each.
    """
    columns = {"loss": "batch_loss"}
    columns |= {name: f"{name}/in_context_accuracy" for name in summary_evaluators()}
    shown = [f"{len(rows)} runs:"] if len(rows) > 1 else []
    for name, column in columns.items():
        values = [row[column] for row in rows if row.get(column) is not None]
        digits = 3 if name == "loss" else 2
        ends = sorted({f"{end:.{digits}f}" for end in (min(values), max(values))} if values else ())
        if ends or name == "loss":
            shown.append(f"{name} {'-'.join(ends) or 'nan'}")
    return "  ".join(shown)
