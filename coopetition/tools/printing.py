"""What commands print: tables for reading, or the same as JSON, and what was written where."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coopetition.tools.files import to_json


def print_json(content: Any) -> None:
    """Print one JSON object."""
    print(to_json(content), end="")


def print_wrote(*paths: Path, as_json: bool = False) -> None:
    """Say what was written; beside a JSON object, on standard error."""
    print(f"wrote {' and '.join(map(str, paths))}", file=sys.stderr if as_json else sys.stdout)


def print_table(table: dict[str, Any], *, as_json: bool) -> None:
    """Names and values, one a line."""
    if as_json:
        print_json(table)
        return
    for name, value in table.items():
        shown = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else value
        print(f"{name:24} {shown}")


def print_rows(
    rows: Iterable[dict[str, Any]], *, as_json: bool, shown: tuple[str, ...] = ()
) -> None:
    """A table of rows with the same names, or of those `shown`; JSON objects as they come."""
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    rows = list(rows)
    names = shown or tuple(rows[0])
    cells = [names, *(tuple(_cell(row[name]) for name in names) for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(names))]
    for row in cells:
        padded = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
