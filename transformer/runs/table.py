"""Tables of runs: a line for each, and their metrics in long form."""

import warnings
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from transformer.config import RunConfig, to_dict
from transformer.config.evaluators import summary_evaluators
from transformer.config.plain import flatten
from transformer.runs.checkpoint import is_complete
from transformer.runs.folder import RunFolder, load_run
from transformer.runs.layout import MANIFEST
from transformer.runs.manifest import PluginMissing

SEEDS = ("init_seed", "data_seed", "eval_seed")


def find_runs(folder: Path | str) -> dict[str, Path]:
    """Return the run folders in a folder or below it, by their relative path, sorted.

    If the folder itself is a run, its name stands for the path.  Hidden folders are left out, such
    as those of copies that are not complete.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one that holds runs")
    found = (path.parent.relative_to(folder) for path in folder.rglob(MANIFEST))
    shown = sorted(each for each in found if not any(part[0] == "." for part in each.parts))
    return {str(each) if each.parts else folder.resolve().name: folder / each for each in shown}


def list_runs(folder: Path | str) -> list[dict[str, Any]]:
    """Return a row for each run in a folder or below it, by path."""
    return [row_of(path) | {"run": name} for name, path in find_runs(folder).items()]


def row_of(path: Path) -> dict[str, Any]:
    """Return the status of a run, or why it cannot be read.

    `step` is that of the last metrics, `checkpoint` that of the newest weights whose file is
    complete.  Their contents are not verified, since that would read all of them.
    """
    evaluators = summary_evaluators()
    row: dict[str, Any] = dict.fromkeys(
        ("run", "run_id", "status", "step", "checkpoint", "n_steps", *evaluators, "message")
    )
    row["run"] = path.name
    try:
        run = load_run(path)
        row |= run.current_status() | {"run_id": run.config.run_id(), "n_steps": run.config.n_steps}
        metrics = run.metrics()
    except PluginMissing as error:
        return row | {"status": "needs a plugin", "message": str(error)}
    except (UserError, OSError) as error:
        return row | {"status": "unreadable", "message": str(error)}
    files = {step: run.checkpoint_path(step) for step in reversed(run.steps())}
    row["checkpoint"] = next((step for step, file in files.items() if is_complete(file)), None)
    if files and (newest := max(files)) != row["checkpoint"]:
        row["message"] = f"{files[newest]} is damaged; `show` says whether the run can be resumed"
    if metrics:
        last = metrics[-1]
        row["step"] = last["step"]
        row |= {name: last.get(f"{name}/in_context_accuracy") for name in evaluators}
    return row


def runs_table(folder: Path | str) -> list[dict[str, Any]]:
    """Return the metrics of all runs in a folder or below it: a row a run, step and metric.

    Columns: `run` (its relative path), `run_id`, the three seeds, every other setting in which the
    runs differ (`optim.learning_rate`), the metrics of training (`step`, `sequences`, `batch_loss`,
    ...), `evaluator`, `metric` and `value` (None where it is undefined).
    `pandas.DataFrame(runs_table(folder))` is the table as a data frame.  A run that cannot be read
    is skipped with a warning.
    """
    found: list[tuple[str, RunConfig, list[dict[str, Any]]]] = []
    for name, path in find_runs(folder).items():
        try:
            run = load_run(path)
            found.append((name, run.config, _long_rows(run)))
        except (UserError, OSError) as error:
            warnings.warn(f"{name} is left out: {error}", stacklevel=2)
    settings = _differing_settings([config for _, config, _ in found])
    return [
        {"run": name, "run_id": config.run_id()} | own | row
        for (name, config, rows), own in zip(found, settings, strict=True)
        for row in rows
    ]


def _long_rows(run: RunFolder) -> list[dict[str, Any]]:
    """Return the metrics of a run, a row for each step, evaluator and metric."""
    rows = []
    for line in run.metrics():
        of_training = {name: value for name, value in line.items() if "/" not in name}
        for name, value in line.items():
            evaluator, slash, metric = name.partition("/")
            if slash:
                rows.append(
                    of_training | {"evaluator": evaluator, "metric": metric, "value": value}
                )
    return rows


def _differing_settings(configs: list[RunConfig]) -> list[dict[str, Any]]:
    """Return the seeds of each run and the settings in which runs differ; None for missing ones."""
    flat = [flatten(to_dict(config)) for config in configs]
    names = dict.fromkeys(name for each in flat for name in each)
    differ = [name for name in names if len({repr(each.get(name)) for each in flat}) > 1]
    shown = [*SEEDS, *(name for name in differ if name not in SEEDS)]
    return [{name: each.get(name) for name in shown} for each in flat]
