"""Reading what is kept; of a file that is damaged, a line that says so.

Kept are `data/PAPER/RUN_ID.csv`, as `python -m transformer export` writes them, and for each an
entry in `data/index.json`: paper, preset and scale, and what `export` writes beside the curves; and
`data/PAPER/KIND.csv`, what was measured of these runs and their models, by their `run_id`.
`data/tables.json` says how: for each table and run the node of the paper's plan, and for each
measure a hash of its definition and the number of rows.
"""

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UserError

DATA = Path(__file__).parent / "data"

Rows = list[dict[str, str]]


def index(data: Path = DATA) -> list[dict[str, Any]]:
    """What is known of every kept run."""
    return read_json(data / "index.json")


def table_records(data: Path = DATA) -> dict[str, dict[str, Any]]:
    """Return what is known of every kept table, by `PAPER/KIND` and run id."""
    path = data / "tables.json"
    return read_json(path) if path.exists() else {}


def table_record(node: str, definitions: dict[str, dict[str, Any]], rows: Rows) -> dict[str, Any]:
    """Return the record of a run's rows: the node, and by measure hash and number of rows.

    definitions : see `transformer.sweeps.measure.Table`
    """
    n_rows = count_rows(rows, next(iter(definitions)))
    measures = {
        name: {"hash": definition_hash(definition), "n_rows": n_rows[name]}
        for name, definition in definitions.items()
        if n_rows[name]
    }
    return {"node": node, "measures": measures}


def count_rows(rows: Rows, only: str) -> Counter[str]:
    """Return the number of rows by measure; without such a column they are all of `only`."""
    return Counter(row.get("measure", only) for row in rows)


def definition_hash(definition: dict[str, Any]) -> str:
    """Return twelve hexadecimal digits that two definitions share only if they are the same."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:12]


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
