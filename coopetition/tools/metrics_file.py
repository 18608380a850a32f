"""The metrics file of a run: lines of JSON, the last of which may be cut short by a crash.

A line is a flat object: `step`, `sequences`, `batch_loss` (mean since the line before), of the last
step `learning_rate` and `gradient_norm` (of its loss, before it, over all that is trained, without
penalties and clipping), `seconds` in training since the run's start, over all sessions, and
`<evaluator>/<metric>`; a number that is undefined is null.  `pandas.read_json(path, lines=True)`
reads the file.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UserError

Row = dict[str, Any]


def read_metrics(path: Path) -> list[Row]:
    """The lines so far, but for a last one that was cut short by a crash.

    If one is damaged before the last, raises `UserError`.
    """
    content = path.read_bytes() if path.exists() else b""
    lines = list(complete_lines(content))
    rest = content[sum(len(text) for _, text in lines) :]
    if b"\n" in rest[:-1]:
        raise UserError(
            f"line {len(lines) + 1} of {path} is damaged, and it is not the last; restore it"
        )
    return [row for row, _ in lines]


def complete_lines(content: bytes) -> Iterator[tuple[Row, bytes]]:
    """Each whole line, parsed and as it stands; ends at the first that is not whole."""
    for text in io.BytesIO(content):
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
