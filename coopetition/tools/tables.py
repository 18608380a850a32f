"""Results as tables: a data frame, or a few rows of HTML for a notebook."""

import html
from collections.abc import Iterable, Mapping
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


def html_table(rows: Iterable[Iterable[str]]) -> str:
    """Rows of text as an HTML table, the first cell of each its title."""
    lines = []
    for title, *cells in rows:
        told = "".join(f"<td style='text-align: left'>{html.escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th>{html.escape(title)}</th>{told}</tr>")
    return f"<table>{''.join(lines)}</table>"
