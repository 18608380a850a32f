"""Results as tables: CSV, a data frame, or a few rows of HTML for a notebook."""

import csv
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from coopetition.tools.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame


def to_frame(columns: Mapping[str, Any]) -> "DataFrame":
    """Columns as a data frame; `UserError` without pandas, which is an optional dependency."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UserError("tables need pandas; install it beside this package") from error
    return DataFrame(dict(columns))


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV, with a column for every name in any of them; blank where a row has none."""
    rows = list(rows)
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows of text as a table in Markdown."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def html_table(rows: Iterable[Iterable[str]]) -> str:
    """Rows of text as an HTML table, the first cell of each its title."""
    lines = []
    for title, *cells in rows:
        told = "".join(f"<td style='text-align: left'>{html.escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th>{html.escape(title)}</th>{told}</tr>")
    return f"<table>{''.join(lines)}</table>"
