"""A run's curves as a small file to keep, share and draw.

A run's curves as TensorBoard events (extra `tensorboard`).
"""

import json
import math
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import check_writable, to_csv, write_json, write_text
from coopetition.tools.run_files import Row
from transformer.config import to_dict
from transformer.runs.folder import RunFolder
from transformer.runs.manifest import MANIFEST, read_sessions

NOT_EXPORTED = {"step", "sequences", "seconds"}  # the first two are one; no two runs share the last
DIGITS = 5  # significant; the evaluation sets' noise is far above


def export(run: RunFolder, path: Path, spacing: float = 0.0) -> None:
    """Write `path` (`curves_csv`) and its `.json` (`record_of`)."""
    if path.suffix != ".csv":
        raise UsageError(f"--out {path} must end in .csv; the JSON has the same name")
    if path.resolve().parent == run.path.resolve():
        raise UsageError(f"--out {path} is in the run's own folder; name another place")
    if not 0 <= spacing < math.inf:
        raise UsageError(f"--spacing {spacing}: choose a share of 0 (every line) or more")
    check_writable(path)
    run.check_measured()
    rows = run.metrics()
    write_text(path, curves_csv(rows, spacing))
    write_json(path.with_suffix(".json"), record_of(run, rows))


def curves_csv(rows: list[Row], spacing: float = 0.0) -> str:
    """All that metric lines measured but the time it took, to five digits: a column a metric.

    With a `spacing`, lines that come sooner after the one before than this share of the sequences
    seen are left out, but for the last and those in which a metric is highest or lowest: long runs
    change slowly late.  So peaks are as measured, and what happens between two lines (a level is
    passed, say) happened within this share of the sequences seen; where a curve passes a level
    several times within its noise, other passages may be left than all lines show.
    """
    rows = _spaced(rows, spacing)
    names = dict.fromkeys(name for row in rows for name in row)
    known = [n for n in names if n not in NOT_EXPORTED and any(r.get(n) is not None for r in rows)]
    return to_csv(
        {"sequences": row["sequences"]} | {name: _digits(row.get(name)) for name in known}
        for row in rows
    )


def record_of(run: RunFolder, rows: list[Row]) -> dict[str, Any]:
    """What a run's metric lines are of: config, versions, how the run ended, the last line's step.

    Of the machine that it was made on the device, the threads and the execution.
    """
    manifest = json.loads((run.path / MANIFEST).read_text())
    names = ("run_id", "versions", "git", "device", "threads", "execution")
    return {name: manifest.get(name) for name in names} | {
        "config": to_dict(run.config, machine_paths=False),
        "status": run.recorded()["status"],
        "step": rows[-1]["step"],
    }


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.{DIGITS}g}"


def _spaced(rows: list[Row], spacing: float) -> list[Row]:
    extreme = _extreme(rows)
    kept: list[Row] = []
    due = 0.0
    for number, row in enumerate(rows):
        if row["sequences"] >= due or number in extreme:
            kept.append(row)
            due = row["sequences"] * (1 + spacing)
    return kept


def _extreme(rows: list[Row]) -> set[int]:
    """The numbers of the rows in which a metric is highest or lowest, first, and of the last."""
    found = {len(rows) - 1}
    for name in dict.fromkeys(name for row in rows for name in row if "/" in name):
        values = {n: row[name] for n, row in enumerate(rows) if row.get(name) is not None}
        if values:
            found |= {max(values, key=values.__getitem__), min(values, key=values.__getitem__)}
    return found


EVENTS = "events.out.tfevents."  # how TensorBoard's files begin


def write_tensorboard(run: RunFolder, folder: Path) -> None:
    """Write every metric as a scalar against the step, at the time when it was measured.

    Events that are in the folder already are replaced, so that a run that has gone on is shown by
    writing again.  A folder that holds anything else raises `UsageError`.
    """
    run.check_measured()
    old = _old_events(folder)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise UserError(
            "TensorBoard is not installed; pip install 'coopetition[tensorboard]'"
        ) from error
    rows = run.metrics()
    with SummaryWriter(str(folder)) as writer:
        for row, when in zip(rows, _times(run, rows), strict=True):
            for name, value in row.items():
                if name != "step" and value is not None:
                    writer.add_scalar(name, value, row["step"], walltime=when)
    for path in old:
        path.unlink()


def _old_events(folder: Path) -> list[Path]:
    """The event files in a folder that holds nothing else, or is not there."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
    there = sorted(folder.iterdir())
    others = [path.name for path in there if not path.name.startswith(EVENTS)]
    if others:
        raise UsageError(
            f"--out {folder} holds {others[0]}, no file of TensorBoard's; name a new folder"
        )
    return there


def _times(run: RunFolder, rows: list[Row]) -> list[float]:
    """When each row was measured, in seconds since 1970.

    A session's rows follow its beginning by the seconds that it had trained.  A run of a version
    that recorded no sessions is taken to end when its metrics were last written.
    """
    seconds = [row["seconds"] or 0.0 for row in rows]
    sessions = read_sessions(run.path)
    if not sessions:
        end = run.metrics_path.stat().st_mtime
        return [end - seconds[-1] + each for each in seconds]

    def trained(until: int) -> float:
        """Seconds of training before a session that begins at a step."""
        done = [s for r, s in zip(rows, seconds, strict=True) if 0 < r["step"] <= until]
        return max(done, default=0.0)

    zeros = [(first, began - trained(first)) for first, began in sessions]
    return [
        # the last session that began before; step 0 is measured in one that begins there
        each + [zero for first, zero in zeros if first < row["step"] or first == 0][-1]
        for row, each in zip(rows, seconds, strict=True)
    ]
