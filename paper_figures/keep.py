"""Keeping what figures need of a sweep where they find it (`sources`).

That is the curves of its finished runs and the tables of its measures.
"""

import csv
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_json, write_text
from coopetition.tools.tables import to_csv
from paper_figures.sources import DATA, index, path_of
from transformer.config.scale import Scale
from transformer.experiments.preset import PRESETS
from transformer.runs.ensemble import load_runs
from transformer.runs.export import curves_csv, record_of
from transformer.sweeps.measure import FILE, RECORD, Measure
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
    """A measure's rows, and how many steps the run of each had, by the run's name."""

    measure: str
    rows: list[dict[str, str]]
    steps: dict[str, int]

    def by_run(self) -> dict[str, list[dict[str, str]]]:
        """Rows by `run_id`: of the same run in two lengths, the longer's."""
        longest: dict[str, str] = {}  # name by run_id
        for row in self.rows:
            name = longest.setdefault(row["run_id"], row["run"])
            if self.steps[row["run"]] > self.steps[name]:
                longest[row["run_id"]] = row["run"]
        return {
            run_id: [row for row in self.rows if row["run"] == name]
            for run_id, name in longest.items()
        }


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
        longest = {entry["run_id"]: entry["step"] for entry in index(data)}
        kept = _keep_tables(tables, data / paper, longest)
        return _keep_runs(finished, paper, scale, data) + kept, left_out


def _read(plan: Plan, runs: Path, paper: str) -> tuple[list[_Run | _Table], list[str]]:
    found, left_out = [], []
    for node in plan.nodes.values():
        try:
            if node.is_done(runs):
                found += _read_node(node, runs, paper)
            elif isinstance(node, Train | Measure) and (runs / node.name).exists():
                left_out.append(f"{node.name}: not finished")
        except (UserError, OSError) as error:
            left_out.append(f"{node.name}: {error}")
    return found, left_out


def _read_node(node: Node, runs: Path, paper: str) -> list[_Run | _Table]:
    if isinstance(node, Measure):
        measured = json.loads((runs / node.name / RECORD).read_text())["runs"]
        steps = {name: run["step"] for name, run in measured.items()}
        return [_Table(node.measure, _rows(runs / node.name / FILE), steps)]
    if not isinstance(node, Train):
        return []
    found: list[_Run | _Table] = []
    for run in load_runs(runs / node.name):
        within = run.path.relative_to(runs / node.name)
        names = [str(each / within) for each in map(Path, (node.name, *node.also))]
        presets = [_preset(paper, name, run.config.init_seed) for name in names]
        run.check_measured()
        rows = run.metrics()
        found.append(_Run(names[0], presets, curves_csv(rows, SPACING), record_of(run, rows)))
    return found


def _preset(paper: str, name: str, init_seed: int) -> str:
    """The preset that a run is of; one of several seeds has its own in the run's name."""
    own = f"{paper}/{name}"
    return own if own in PRESETS else own.removesuffix(f"_{init_seed}")


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


def _keep_tables(tables: list[_Table], folder: Path, longest: dict[str, int]) -> list[str]:
    """Write the tables of which a run is new, or as long as the one whose curves are kept.

    `longest` : steps of the kept runs, by run_id.
    """
    new = []
    for measure in dict.fromkeys(table.measure for table in tables):
        path = folder / f"{measure}.csv"
        by_run: dict[str, list[dict[str, str]]] = {}
        for row in _rows(path) if path.exists() else []:
            by_run.setdefault(row["run_id"], []).append(row)
        before = to_csv(row for rows in by_run.values() for row in rows)
        for table in (each for each in tables if each.measure == measure):
            for run_id, rows in table.by_run().items():
                if run_id not in by_run or table.steps[rows[0]["run"]] >= longest.get(run_id, 0):
                    by_run[run_id] = rows
        after = to_csv(row for rows in by_run.values() for row in rows)
        if after != before:
            write_text(path, after)
            new.append(path.name)
    return new


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
