"""Reading what is kept; of a file that is damaged, a line that says so.

Kept are `data/PAPER/RUN_ID.csv`, as `python -m transformer export` writes them, and for each an
entry in `data/index.json`: paper, preset and scale, and what `export` writes beside the curves; and
`data/PAPER/KIND.csv`, what was measured of these runs and their models, by their `run_id`.
`data/tables.json` says how: for each table and run the node of the paper's plan, and for each
measure a hash of its definition and the number of rows.

Keeping what figures need of a sweep where they find it (`sources`).

That is the curves of its finished runs and the tables of its measures.
"""

import csv
import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import to_csv, write_json, write_text
from transformer.config.run import Scale
from transformer.experiments.presets import PRESETS
from transformer.runs.export import curves_csv, record_of
from transformer.runs.folder import load_runs
from transformer.runs.measures import thin_steps
from transformer.sweeps.measure import FILE, Table
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.train import Train

DATA = Path(__file__).parents[1] / "data"

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


SPACING = 0.02  # of `curves_csv`: peaks exactly, times to 2 %; 1,000 lines take 90 kB


@dataclass(frozen=True, slots=True)
class _Run:
    """A finished run as it is to be kept."""

    name: str
    presets: list[str]
    curves: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Table:
    """What was measured of a run."""

    name: str
    run_id: str
    rows: Rows
    record: dict[str, Any]


def keep_finished(
    plan: Plan, runs: Path, paper: str, scale: Scale, data: Path = DATA
) -> tuple[list[str], list[str]]:
    """Keep every finished run of a sweep of `plan` in `runs`, and what was measured.

    The names of runs and tables that are kept now, and a sentence on each node that is there but
    unfinished, foreign or damaged.  Of the same run in two lengths the longer is kept, for the
    presets of both; in a table the rows of a run take the place of those that were kept of it.

    A folder that holds no finished run of the plan raises `UsageError`.  A kill leaves what is kept
    as it was or with newer curves and tables, which the next call lists.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs} is not a folder; give that of a sweep")
    found, left_out = _read(plan, runs, paper)
    finished = [each for each in found if isinstance(each, _Run)]
    tables = [each for each in found if isinstance(each, _Table)]
    if not finished:
        why = f" ({left_out[0]})" if left_out else ""
        raise UsageError(f"{runs} holds no finished run of the plan {paper} at scale {scale}{why}")
    with _held(data):
        kept = _keep_tables(tables, paper, data)
        return _keep_runs(finished, paper, scale, data) + kept, left_out


def _read(plan: Plan, runs: Path, paper: str) -> tuple[list[_Run | _Table], list[str]]:
    found, left_out = [], []
    for node in plan.nodes.values():
        try:
            if node.is_done(runs):
                found += _read_node(node, runs, paper)
            elif isinstance(node, Train | Table) and (runs / node.name).exists():
                left_out.append(f"{node.name}: not finished")
        except (UserError, OSError) as error:
            left_out.append(f"{node.name}: {error}")
    return found, left_out


def _read_node(node: Node, runs: Path, paper: str) -> list[_Run | _Table]:
    if isinstance(node, Table):
        return [*_tables(node, runs)]
    return [*_runs(node, runs, paper)] if isinstance(node, Train) else []


def _tables(node: Table, runs: Path) -> Iterator[_Table]:
    rows = read_rows(runs / node.name / FILE, needed="run_id")
    for run, about in node.measured_runs(runs).items():
        own = [row for row in rows if row["run_id"] == about["run_id"]]
        own = [row for row in own if row.get("run", run) == run]  # two may be of one id
        if own:
            rows = _thinned(own)
            record = table_record(node.name, node.definitions(), rows)
            yield _Table(node.kind, about["run_id"], rows, record)


def _thinned(rows: Rows) -> Rows:
    """The rows of steps at least `SPACING` apart, and of the last; without steps, all rows."""
    kept = {*thin_steps(dict.fromkeys(int(row["step"]) for row in rows if "step" in row), SPACING)}
    return [row for row in rows if "step" not in row or int(row["step"]) in kept]


def _runs(node: Train, runs: Path, paper: str) -> Iterator[_Run]:
    for run in load_runs(runs / node.name):
        within = run.path.relative_to((runs / node.name).resolve())
        names = [str(each / within) for each in map(Path, (node.name, *node.aliases))]
        presets = [_preset(paper, name, run.config.init_seed) for name in names]
        run.check_measured()
        rows = run.metrics()
        yield _Run(names[0], presets, curves_csv(rows, SPACING), record_of(run, rows))


def _preset(paper: str, name: str, init_seed: int) -> str:
    """The preset that a run is of; one of several seeds has its own in the run's name."""
    own = f"{paper}/{name}"
    if own in PRESETS:
        return own
    return own.removesuffix(f"/init_seed={init_seed}").removesuffix(f"_{init_seed}")


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder, after whoever else holds it; the system frees it on a kill."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _keep_runs(finished: list[_Run], paper: str, scale: Scale, data: Path) -> list[str]:
    """Write the curves of runs that are not kept in their length, then the index.

    Files that it no longer names, those of a plan whose runs were shorter, go last.
    """
    entries = {entry["run_id"]: entry for entry in index(data)}
    before = {path_of(entry, data) for entry in entries.values()}
    new = []
    for run_id in dict.fromkeys(run.record["run_id"] for run in finished):
        same = [run for run in finished if run.record["run_id"] == run_id]
        longest = max(same, key=lambda run: run.record["step"])
        old = entries.get(run_id)
        presets = [old["preset"], *old.get("also", ())] if old else []
        preset, *also = dict.fromkeys([*presets, *(name for run in same for name in run.presets)])
        if old and old["step"] >= longest.record["step"]:
            entries[run_id] = old | {"also": also}
            continue
        about = {"paper": paper, "preset": preset, "scale": scale, "also": also}
        entries[run_id] = about | longest.record
        write_text(path_of(entries[run_id], data), longest.curves)
        new.append(longest.name)
    if list(entries.values()) != index(data):
        write_json(data / "index.json", list(entries.values()))
    for path in before - {path_of(entry, data) for entry in entries.values()}:
        path.unlink(missing_ok=True)
    return new


def _keep_tables(tables: list[_Table], paper: str, data: Path) -> list[str]:
    """Write the tables of which a run is new, or measured as far as it is there, or further."""
    new, records = [], table_records(data)
    for name in dict.fromkeys(table.name for table in tables):
        path = data / paper / f"{name}.csv"
        by_run = rows_by_run(path)
        of_runs = dict(records.get(f"{paper}/{name}", {}))
        before = to_csv(row for rows in by_run.values() for row in rows)
        for table in tables:
            there = by_run.get(table.run_id, [])
            if table.name == name and _last_step(table.rows) >= _last_step(there):
                by_run[table.run_id] = table.rows
                of_runs[table.run_id] = table.record
        after = to_csv(row for rows in by_run.values() for row in rows)
        if after != before or of_runs != records.get(f"{paper}/{name}"):
            write_text(path, after)
            records[f"{paper}/{name}"] = of_runs
            write_json(data / "tables.json", records)
            new.append(path.name)
    return new


def _last_step(rows: Rows) -> int:
    """That of the last model that was measured; 0 of none, and where steps are not told."""
    return max((int(row.get("step", 0)) for row in rows), default=0)
