"""A run's curves for other programs: a small CSV file, and TensorBoard events."""

import json
import math
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.files import (
    check_ending,
    check_writable,
    to_csv,
    write_json,
    write_text,
)
from coopetition.tools.run_files import Row
from transformer.config import to_dict
from transformer.runs.folder import RunFolder
from transformer.runs.layout import MANIFEST
from transformer.runs.manifest import read_sessions
from transformer.runs.metrics import thin

NOT_EXPORTED = {"step", "sequences", "seconds"}  # sequences is the first column, seconds differ
DIGITS = 5  # significant; the noise of the evaluation sets is far above
TENSORBOARD_PREFIX = "events.out.tfevents."


def export(run: RunFolder, path: Path, spacing: float = 0.0) -> None:
    """Write the curves to a CSV file, and a description of the run to a JSON file beside it."""
    check_output(run, path)
    if not 0 <= spacing < math.inf:
        raise UsageError(f"--spacing {spacing}: choose a share of 0 (every line) or more")
    run.check_measured()
    rows = run.metrics()
    write_json(path.with_suffix(".json"), describe_run(run, rows))  # first: see `check_output`
    write_text(path, curves_csv(rows, spacing))


def check_output(run: RunFolder, path: Path, table: dict[str, Any] | None = None) -> None:
    """Raise `UsageError` unless a CSV file is free, or an earlier one of the same content.

    The JSON file beside it says what it holds.

    Parameters
    ----------
    table : description of the table to be written, apart from its steps (default: curves)
    """
    check_ending(path, ".csv")
    check_writable(path)
    if run.path in path.resolve().parents:
        raise UsageError(f"--out {path} is in the run's own folder; name another place")
    description = path.with_suffix(".json")
    if not (path.exists() or description.exists()):
        return
    advice = "remove it or choose another name"
    try:
        found = json.loads(description.read_text())
        is_of_run = found["run_id"] == run.config.run_id()
    except (OSError, ValueError, KeyError, TypeError):
        is_of_run = False
    if not is_of_run:
        raise UsageError(f"--out {path} exists already and is not of this run; {advice}")
    kept, wanted = _content_of(found), _content_of(table or {})
    differing = [name for name in kept | wanted if kept.get(name) != wanted.get(name)]
    if differing:
        kind = "curves" if not kept else f"a table of {abbreviate(kept['measures'])}"
        other = f"a table with these {abbreviate(differing)}" if kept and wanted else ""
        expected = other or ("a table" if wanted else "curves")
        raise UsageError(f"--out {path} holds {kind}, not {expected}; {advice}")


def _content_of(description: dict[str, Any]) -> dict[str, Any]:
    """Return what decides the rows of a table, apart from run and steps; nothing for curves."""
    if "measures" not in description:
        return {}
    return {name: each for name, each in description.items() if name not in ("run_id", "steps")}


def curves_csv(rows: list[Row], spacing: float = 0.0) -> str:
    """Return metrics as CSV: a column a metric, five digits, without the time of training.

    With a `spacing`, a line is left out if it follows the one before by less than this share of the
    sequences seen: long runs change slowly late.  The last line, and those in which a metric is
    highest or lowest, stay, so that peaks are as measured.  An event between two lines, such as
    passing a level, happened within this share of the sequences seen.  Where noise makes a curve
    pass a level several times, another passage may be left than the full curve shows first.
    """
    rows = _thin_rows(rows, spacing)
    names = dict.fromkeys(name for row in rows for name in row)
    known = [n for n in names if n not in NOT_EXPORTED and any(r.get(n) is not None for r in rows)]
    return to_csv(
        {"sequences": row["sequences"]}
        | {n: "" if row.get(n) is None else f"{row[n]:.{DIGITS}g}" for n in known}
        for row in rows
    )


def describe_run(run: RunFolder, rows: list[Row]) -> dict[str, Any]:
    """Return what the metrics are of: id, config, versions, machine, status and last step."""
    manifest = json.loads((run.path / MANIFEST).read_text())
    names = ("versions", "git", "device", "threads", "execution")
    return (
        {"run_id": run.config.run_id()}
        | {name: manifest.get(name) for name in names}
        | {
            "config": to_dict(run.config, machine_paths=False),
            "status": run.recorded_status()["status"],
            "step": rows[-1]["step"],
        }
    )


def _thin_rows(rows: list[Row], spacing: float) -> list[Row]:
    """Thin rows to a minimum relative spacing; keep the last, and the extremes of each metric."""
    always: set[int] = set()
    for name in dict.fromkeys(name for row in rows for name in row if "/" in name):
        values = {n: row[name] for n, row in enumerate(rows) if row.get(name) is not None}
        if values:
            always |= {max(values, key=values.__getitem__), min(values, key=values.__getitem__)}
    return [rows[number] for number in thin([row["sequences"] for row in rows], spacing, always)]


def write_tensorboard(run: RunFolder, folder: Path) -> None:
    """Write every metric as a scalar against the step, at the time when it was measured.

    Events that the folder holds are replaced, so that a continued run is shown by writing again.  A
    folder with other files raises `UsageError`.
    """
    run.check_measured()
    old = _list_events(folder)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise UserError("TensorBoard is not installed; run `pip install tensorboard`") from error
    rows = run.metrics()
    with SummaryWriter(str(folder)) as writer:
        for row, when in zip(rows, _times(run, rows), strict=True):
            for name, value in row.items():
                if name != "step" and value is not None:
                    writer.add_scalar(name, value, row["step"], walltime=when)
    for path in old:
        path.unlink()


def _list_events(folder: Path) -> list[Path]:
    """Return the event files in a folder that may not exist, but must hold nothing else."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
    files = sorted(folder.iterdir())
    others = [path.name for path in files if not path.name.startswith(TENSORBOARD_PREFIX)]
    if others:
        raise UsageError(
            f"--out {folder} holds {others[0]}, which is not a TensorBoard file; name a new folder"
        )
    return files


def _times(run: RunFolder, rows: list[Row]) -> list[float]:
    """Return when each row was measured, in seconds since 1970.

    A row is counted from the beginning of its session, by the seconds of training since then.
    """
    seconds = [row["seconds"] or 0.0 for row in rows]
    starts = []  # first step of each session, and when the run would have begun without breaks
    for first, began in read_sessions(run.path):
        before = [s for row, s in zip(rows, seconds, strict=True) if 0 < row["step"] <= first]
        starts.append((first, began - max(before, default=0.0)))
    if not starts:  # older versions recorded no sessions: take the last change of the metrics
        starts = [(0, run.metrics_path.stat().st_mtime - seconds[-1])]
    starts[0] = (0, starts[0][1])  # rows of sessions before the first recorded one are its own, too
    return [
        # the last session that began before the row; step 0 is measured in one that begins there
        each + [zero for first, zero in starts if first < row["step"] or first == 0][-1]
        for row, each in zip(rows, seconds, strict=True)
    ]
