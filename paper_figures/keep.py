"""Keeping what figures need of a sweep where they find it (`sources`).

That is the curves of its finished runs and the tables of its measures.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import to_csv, write_json, write_text
from paper_figures.kept import (
    DATA,
    Rows,
    index,
    path_of,
    read_rows,
    rows_by_run,
    table_record,
    table_records,
)
from transformer.config.scale import Scale
from transformer.experiments.preset import PRESETS
from transformer.measures.history import spaced
from transformer.runs.ensemble import load_runs
from transformer.runs.export import curves_csv, record_of
from transformer.sweeps.measure import FILE, Table
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.train import Train

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
    for run, about in node.lengths(runs).items():
        own = [row for row in rows if row["run_id"] == about["run_id"]]
        own = [row for row in own if row.get("run", run) == run]  # two may be of one id
        if own:
            rows = _thinned(own)
            record = table_record(node.name, node.definitions(), rows)
            yield _Table(node.kind, about["run_id"], rows, record)


def _thinned(rows: Rows) -> Rows:
    """The rows of steps at least `SPACING` apart, and of the last; without steps, all rows."""
    kept = {*spaced(dict.fromkeys(int(row["step"]) for row in rows if "step" in row), SPACING)}
    return [row for row in rows if "step" not in row or int(row["step"]) in kept]


def _runs(node: Train, runs: Path, paper: str) -> Iterator[_Run]:
    for run in load_runs(runs / node.name):
        within = run.path.relative_to((runs / node.name).resolve())
        names = [str(each / within) for each in map(Path, (node.name, *node.also))]
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
