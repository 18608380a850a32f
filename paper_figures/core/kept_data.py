"""Read the files of kept runs and tables; report a damaged file in one line.

`data/PAPER/RUN_ID.csv` holds the curves of a run, as `python -m transformer export` writes them.
`data/index.json` has an entry for each: paper, preset, scale and the run's record.
`data/PAPER/KIND.csv` holds the rows of a table that was measured on these runs, by `run_id`.
`data/tables.json` records, for each table and run, the plan's node, and for each measure the hash
of its definition and its number of rows.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, get_args

from coopetition.tools.errors import UserError

DATA = Path(__file__).parents[1] / "data"
KeptScale = Literal["cpu", "gpu", "paper"]
SCALES: tuple[KeptScale, ...] = get_args(KeptScale)
SCALE: KeptScale = "cpu"  # of the runs that figures show by default

Rows = list[dict[str, str]]
P = ParamSpec("P")
T = TypeVar("T")


def load_index(data: Path = DATA) -> list[dict[str, Any]]:
    """Return the entries of all kept runs; none in a new folder."""
    path = data / "index.json"
    return _read_cached_json(path) if path.exists() else []


def table_records(data: Path = DATA) -> dict[str, dict[str, Any]]:
    """Return the records of all kept tables, by `PAPER/KIND` and run id."""
    path = data / "tables.json"
    return _read_cached_json(path) if path.exists() else {}


def presets_of(entry: dict[str, Any]) -> list[str]:
    """Return the presets that a kept run belongs to; the first is its own."""
    return [entry["preset"], *entry.get("also", ())]


def curves_path(entry: dict[str, Any], data: Path = DATA) -> Path:
    """Return the file of a kept run's curves."""
    return data / entry["paper"] / f"{entry['run_id']}.csv"


def read_json(path: Path) -> Any:
    """Return the content of a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged_file_error(path, f"{error}") from error


def cache_until_changed(
    maxsize: int,
) -> Callable[[Callable[Concatenate[Path, P], T]], Callable[Concatenate[Path, P], T]]:
    """Return a decorator that caches what a function reads, until its file is written again.

    The path of the file is the first argument of the function.
    """

    def decorate(read: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
        @lru_cache(maxsize)
        def read_version(path: Path, modified: int, *args: P.args, **kwargs: P.kwargs) -> T:
            return read(path, *args, **kwargs)

        @wraps(read)
        def read_newest(path: Path, *args: P.args, **kwargs: P.kwargs) -> T:
            return read_version(path, path.stat().st_mtime_ns, *args, **kwargs)

        return read_newest

    return decorate


_read_cached_json = cache_until_changed(8)(read_json)


def read_rows(path: Path, *, needed: str) -> Rows:
    """Return the rows of a table as text; it must have the column `needed`."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            columns, rows = table.fieldnames or (), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise damaged_file_error(path, f"{error}") from error
    if needed not in columns:
        raise damaged_file_error(path, f"no column {needed}")
    for k, row in enumerate(rows):
        if None in row or None in row.values():
            raise damaged_file_error(path, f"line {k + 2} has not as many cells as columns")
    return rows


def rows_by_run(path: Path) -> dict[str, Rows]:
    """Return the rows of a table by run; none if there is no such file."""
    by_run: dict[str, Rows] = {}
    for row in read_rows(path, needed="run_id") if path.exists() else []:
        by_run.setdefault(row["run_id"], []).append(row)
    return by_run


def read_other_rows(path: Path, column: str, values: Collection[str]) -> Rows:
    """Return the rows of a table without these values in a column; none if there is no file."""
    rows = read_rows(path, needed=column) if path.exists() else []
    return [row for row in rows if row[column] not in values]


def count_rows(rows: Rows, only: str) -> Counter[str]:
    """Return the number of rows by measure; without such a column they are all of `only`."""
    return Counter(row.get("measure", only) for row in rows)


def definition_hash(definition: dict[str, Any]) -> str:
    """Return twelve hexadecimal digits that two definitions share only if they are the same."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:12]


def damaged_file_error(path: Path, why: str) -> UserError:
    """Return the error of a file that is not as it was written, with advice for a kept one."""
    how = f", for example by `git checkout -- {path}`" if path.is_relative_to(DATA) else ""
    return UserError(f"{path} is damaged ({why}); restore it{how}")
