"""Reading what is kept; of a file that is damaged, a line that says so.

Kept are `data/PAPER/RUN_ID.csv`, as `python -m transformer export` writes them, and for each an
entry in `data/index.json`: paper, preset and scale, and what `export` writes beside the curves; and
`data/PAPER/KIND.csv`, what was measured of these runs and their models, by their `run_id`.
"""

import csv
import json
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UserError

DATA = Path(__file__).parent / "data"

Rows = list[dict[str, str]]


def index(data: Path = DATA) -> list[dict[str, Any]]:
    """What is known of every kept run."""
    return read_json(data / "index.json")


def path_of(entry: dict[str, Any], data: Path = DATA) -> Path:
    """The file of a kept run's curves."""
    return data / entry["paper"] / f"{entry['run_id']}.csv"


def read_json(path: Path) -> Any:
    """What a file of JSON holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"{error}") from error


def read_rows(path: Path, *, needed: str) -> Rows:
    """The rows of a table, as text; it has a column `needed`."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            columns, rows = table.fieldnames or (), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, f"{error}") from error
    if needed not in columns:
        raise damaged(path, f"no column {needed}")
    for k, row in enumerate(rows):
        if None in row or None in row.values():
            raise damaged(path, f"line {k + 2} has not as many cells as columns")
    return rows


def rows_by_run(path: Path, by: str = "run_id") -> dict[str, Rows]:
    """The rows of a kept table by the column that tells runs; none where there is no such file."""
    by_run: dict[str, Rows] = {}
    for row in read_rows(path, needed=by) if path.exists() else []:
        by_run.setdefault(row[by], []).append(row)
    return by_run


def damaged(path: Path, why: str) -> UserError:
    """The mistake of a kept file that is not as it was written."""
    return UserError(f"{path} is damaged ({why}); restore it")
