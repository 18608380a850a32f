"""Collect the finished runs and tables of a sweep into the data that figures are drawn from."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import to_csv, write_json, write_text
from paper_figures.core.kept_data import (
    DATA,
    Rows,
    count_rows,
    curves_path,
    definition_hash,
    load_index,
    presets_of,
    read_rows,
    rows_by_run,
    table_records,
)
from transformer.config.run import Scale
from transformer.experiments.presets import PRESETS
from transformer.runs.export import curves_csv, describe_run
from transformer.runs.folder import load_runs
from transformer.runs.measures import thin_steps
from transformer.sweeps.measure import FILE, Table
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

SPACING = 0.02  # of kept samples: peaks stay exact, times to 2 %; 1,000 lines take 90 kB


@dataclass(frozen=True, slots=True)
class _Run:
    """A finished run to keep."""

    name: str
    presets: list[str]
    curves: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows to keep of what was measured on one run."""

    kind: str
    run_id: str
    rows: Rows
    record: dict[str, Any]


def keep_finished(
    plan: Plan, runs: Path, paper: str, scale: Scale, data: Path = DATA
) -> tuple[list[str], list[str]]:
    """Keep the finished runs and tables of a sweep of `plan` in the folder `data`.

    A run that diverged is kept until then, once the others of its node are finished.

    If a run exists in two lengths, the longer one is kept for the presets of both.  New rows of a
    run in a table replace its old ones.  After an interruption, the next call continues.

    Returns the names of newly kept runs and tables, and one sentence for each unfinished, foreign
    or damaged node.  Raises `UsageError` if the folder has no finished run of the plan.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs} is not a folder; give that of a sweep")
    finished, tables, left_out = _read_sweep(plan, runs, paper)
    if not finished:
        why = f" ({left_out[0]})" if left_out else ""
        raise UsageError(f"{runs} holds no finished run of the plan {paper} at scale {scale}{why}")
    (data / paper).mkdir(parents=True, exist_ok=True)
    with lock_folder(data):
        new_tables = _keep_tables(tables, paper, data)
        return _keep_runs(finished, paper, scale, data) + new_tables, left_out


def _read_sweep(plan: Plan, runs: Path, paper: str) -> tuple[list[_Run], list[_Table], list[str]]:
    finished, tables, left_out = [], [], []
    for node in plan.nodes.values():
        try:
            is_over = node.is_over(runs) if isinstance(node, Train) else node.is_done(runs)
            if not is_over:
                if isinstance(node, Train | Table) and (runs / node.name).exists():
                    left_out.append(f"{node.name}: not finished")
            elif isinstance(node, Table):
                tables += _tables_of(node, runs)
            elif isinstance(node, Train):
                finished += _runs_of(node, runs, paper)
        except (UserError, OSError) as error:
            left_out.append(f"{node.name}: {error}")
    return finished, tables, left_out


def _tables_of(node: Table, runs: Path) -> Iterator[_Table]:
    rows = read_rows(runs / node.name / FILE, needed="run_id")
    definitions = node.definitions()
    for run, about in node.measured_runs(runs).items():
        own = [row for row in rows if row["run_id"] == about["run_id"]]
        own = _thinned([row for row in own if row.get("run", run) == run])  # two may share an id
        if own:
            n_rows = count_rows(own, next(iter(definitions)))
            measures = {
                name: {"hash": definition_hash(definition), "n_rows": n_rows[name]}
                for name, definition in definitions.items()
                if n_rows[name]
            }
            record = {"node": node.name, "measures": measures}
            yield _Table(node.kind, about["run_id"], own, record)


def _thinned(rows: Rows) -> Rows:
    """Return the rows of steps at least `SPACING` apart and of the last; without steps, all."""
    steps = {*thin_steps(dict.fromkeys(int(row["step"]) for row in rows if "step" in row), SPACING)}
    return [row for row in rows if "step" not in row or int(row["step"]) in steps]


def _runs_of(node: Train, runs: Path, paper: str) -> Iterator[_Run]:
    for run in load_runs(runs / node.name):
        below = run.path.relative_to((runs / node.name).resolve())
        names = [str(each / below) for each in map(Path, (node.name, *node.aliases))]
        presets = [_preset(paper, name, run.config.init_seed) for name in names]
        run.check_measured()
        rows = run.metrics()
        yield _Run(names[0], presets, curves_csv(rows, SPACING), describe_run(run, rows))


def _preset(paper: str, name: str, init_seed: int) -> str:
    """Return the preset of a run, without the seed in the name of one of several."""
    own = f"{paper}/{name}".removesuffix(f"/init_seed={init_seed}")
    return own if own in PRESETS else own.removesuffix(f"_{init_seed}")  # depth_6 is a preset


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder, after whoever else holds it; the system unlocks it on a kill."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _keep_runs(finished: list[_Run], paper: str, scale: Scale, data: Path) -> list[str]:
    """Write the curves of new and longer runs, then the index; return the names of these runs.

    Files that the index no longer names, those of shorter runs, are removed last.
    """
    before = load_index(data)
    entries = {entry["run_id"]: entry for entry in before}
    new = []
    for run_id in dict.fromkeys(run.record["run_id"] for run in finished):
        same = [run for run in finished if run.record["run_id"] == run_id]
        longest = max(same, key=lambda run: run.record["step"])
        old = entries.get(run_id)
        presets = [*(presets_of(old) if old else ()), *(p for run in same for p in run.presets)]
        preset, *also = dict.fromkeys(presets)
        if old and old["step"] >= longest.record["step"]:
            entries[run_id] = old | {"also": also}
            continue
        about = {"paper": paper, "preset": preset, "scale": scale, "also": also}
        entries[run_id] = about | longest.record
        write_text(curves_path(entries[run_id], data), longest.curves)
        new.append(longest.name)
    after = list(entries.values())
    if after != before:
        write_json(data / "index.json", after)
    for path in {curves_path(e, data) for e in before} - {curves_path(e, data) for e in after}:
        path.unlink(missing_ok=True)
    return new


def _keep_tables(tables: list[_Table], paper: str, data: Path) -> list[str]:
    """Write the tables with a run that is new or measured at least as far; return their names."""
    new, records = [], dict(table_records(data))
    for kind in dict.fromkeys(table.kind for table in tables):
        path, name = data / paper / f"{kind}.csv", f"{paper}/{kind}"
        by_run, record = rows_by_run(path), dict(records.get(name, {}))
        before = _csv(by_run)
        for table in tables:
            kept = by_run.get(table.run_id, [])
            if table.kind == kind and _last_step(table.rows) >= _last_step(kept):
                by_run[table.run_id] = table.rows
                record[table.run_id] = table.record
        if _csv(by_run) != before or record != records.get(name):
            write_text(path, _csv(by_run))
            records[name] = record
            write_json(data / "tables.json", records)
            new.append(path.name)
    return new


def _csv(by_run: dict[str, Rows]) -> str:
    return to_csv(row for rows in by_run.values() for row in rows)


def _last_step(rows: Rows) -> int:
    """Return the step of the last measured model; 0 without rows or steps."""
    return max((int(row.get("step", 0)) for row in rows), default=0)
