"""Writing a run's metrics; see `coopetition.tools.metrics_file` for what is in the file."""

import json
import os
from pathlib import Path

from coopetition.tools.errors import UserError
from coopetition.tools.metrics_file import Row, complete_lines


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


def metrics_until(path: Path, step: int, every: int) -> bytes:
    """The file's lines up to `step`: a resumed run writes those after it again.

    If one that belongs before `step` is missing (there is one `every` so many steps), raises
    `UserError`: it cannot be made again.
    """
    content = path.read_bytes() if path.exists() else b""
    kept = [(row["step"], text) for row, text in complete_lines(content) if row["step"] <= step]
    missing = sorted(set(range(0, step + 1, every)) - {done for done, _ in kept})
    if missing:
        raise UserError(
            f"{path} lacks step {missing[0]}, which the checkpoint of step {step} "
            "comes after; restore the file, or remove the checkpoints to start anew"
        )
    return b"".join(text for _, text in kept)
