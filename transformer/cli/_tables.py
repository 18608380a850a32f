"""Tables for reading, or the same as JSON."""

import json
from collections.abc import Iterable
from typing import Any

from coopetition.tools.command_line import print_json


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
