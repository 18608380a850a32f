"""What runs there are."""

from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from transformer.runs.folder import load_run
from transformer.runs.manifest import NAME


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """A row for each run in a folder or below it, by path.

    `step` is that of the last evaluation.  Checkpoints are not read: `show` checks them.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one that holds runs")
    found = sorted(path.parent for path in folder.rglob(NAME))
    return [row_of(path) | {"run": str(path.relative_to(folder))} for path in found]


def row_of(path: Path) -> dict[str, Any]:
    """How one run stands; one that cannot be read says why."""
    row: dict[str, Any] = dict.fromkeys(
        ("run", "run_id", "status", "step", "n_steps", "icl", "flip", "ciwl", "message")
    )
    row["run"] = path.name
    try:
        run = load_run(path)
        row |= run.standing() | {"run_id": run.config.run_id(), "n_steps": run.config.n_steps}
        metrics = run.metrics()
    except (UserError, OSError) as error:
        return row | {"status": "unreadable", "message": str(error)}
    if metrics:
        last = metrics[-1]
        row["step"] = last["step"]
        row |= {name: last.get(f"{name}/in_context_accuracy") for name in ("icl", "flip", "ciwl")}
    return row
