"""A run's curves as a small file to keep, share and draw."""

import csv
import io
import json
import math
from pathlib import Path

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_json, write_text
from coopetition.tools.metrics_file import Row
from transformer.config import to_dict
from transformer.runs.folder import RunFolder

NOT_EXPORTED = {"step", "sequences", "seconds"}  # the first two are one; no two runs share the last
DIGITS = 5  # significant; the evaluation sets' noise is far above


def export(run: RunFolder, path: Path, spacing: float = 0.0) -> None:
    """Write `path` (CSV: sequences, every metric) and its `.json` (config, versions).

    With a `spacing`, lines that come sooner after the one before than this share of the sequences
    seen are left out, but for the last: long runs change slowly late.

    All that the run measured but the time it took, to five digits, under the names of its metrics.
    Of the machine that it was made on the JSON says the device, the threads and the execution.
    """
    if path.suffix != ".csv":
        raise UsageError(f"--out {path} must end in .csv; the JSON has the same name")
    if path.resolve().parent == run.path.resolve():
        raise UsageError(f"--out {path} is in the run's own folder; name another place")
    if not 0 <= spacing < math.inf:
        raise UsageError(f"--spacing {spacing}: choose a share of 0 (every line) or more")
    rows = run.metrics()
    if not rows:
        raise UserError(f"{run.path} has no metrics yet; train it first")
    rows = _spaced(rows, spacing)
    measured = {name for row in rows for name, value in row.items() if value is not None}
    columns = [name for name in rows[0] if name in measured - NOT_EXPORTED]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sequences", *columns])
    for row in rows:
        values = (row.get(name) for name in columns)
        writer.writerow(
            [row["sequences"], *("" if v is None else f"{v:.{DIGITS}g}" for v in values)]
        )
    write_text(path, text.getvalue())
    manifest = json.loads((run.path / "manifest.json").read_text())
    kept = {
        name: manifest.get(name)
        for name in ("run_id", "versions", "git", "device", "threads", "execution")
    }
    write_json(
        path.with_suffix(".json"),
        kept
        | {"config": to_dict(run.config, leave_out="machine")}
        | {"status": run.recorded()["status"], "step": rows[-1]["step"]},
    )


def _spaced(rows: list[Row], spacing: float) -> list[Row]:
    kept: list[Row] = []
    for row in rows:
        if not kept or row["sequences"] >= kept[-1]["sequences"] * (1 + spacing) or row is rows[-1]:
            kept.append(row)
    return kept
