"""Many runs as one: which can be trained together, and the folder that holds them."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_json
from transformer.config import OptimConfig, RunConfig, to_dict
from transformer.runs.folder import ENSEMBLE, RunFolder, check_new_folder, create_run, load_run
from transformer.runs.machine import Machine
from transformer.runs.manifest import MANIFEST

_DEFAULT = OptimConfig()
# settings that may differ by run within one step, at a value that makes them comparable
FREE_OPTIM: dict[str, Any] = {
    name: getattr(_DEFAULT, name)
    for name in ("learning_rate", "schedule", "warmup_steps", "decay_steps", "clip_norm", "l2")
}


def vary(base: RunConfig, axes: dict[str, list[str]]) -> dict[str, RunConfig]:
    """Runs by name at every combination of values: field -> values as text, `optim.learning_rate`.

    A name is such as `init_seed=5,optim.learning_rate=1e-3`, of lists and objects their words:
    `interventions=Ablate_heads_0_1`, and `interventions=none` for an empty list.

    Fields that do not exist, values that they do not take, and values given twice raise
    `UsageError`.
    """
    configs = {}
    for values in itertools.product(*axes.values()):
        data = to_dict(base)
        for field, text in zip(axes, values, strict=True):
            _put(data, field, text)
        parts = (f"{field}={_word(text)}" for field, text in zip(axes, values, strict=True))
        name = ",".join(parts)
        if name in configs:
            raise UsageError(f"that makes the run {name} twice; give each value once")
        configs[name] = RunConfig.from_dict(data)
    for name in configs:
        if len(name) > 200:
            raise UsageError(
                f"that makes a folder name of {len(name)} characters, {name[:40]}...; vary fewer "
                "fields, or by shorter values"
            )
    return configs


def _word(text: str) -> str:
    """A value as part of a folder's name."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("_") or "none"


def _put(data: dict[str, Any], field: str, text: str) -> None:
    """Set a nested field to a value that is written as JSON, or as plain text."""
    *path, last = field.split(".")
    table: Any = data
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    if not isinstance(table, dict) or last not in table or isinstance(table[last], dict):
        raise UsageError(f"{field}: there is no such field; name one as in optim.learning_rate")
    try:
        table[last] = json.loads(text)
    except (ValueError, RecursionError):
        table[last] = text


def check_together(configs: dict[str, RunConfig]) -> None:
    """Raise `UsageError`, naming what differs, unless the runs can be one compiled step.

    Free to differ are seeds, learning rates and schedules, penalties, clipping, data modes and all
    other settings of sequences, exemplars of one size, starts, frozen parts and interventions.
    """
    if not configs:
        raise UsageError("no runs are given; give the config of at least one")
    (first, base), *others = configs.items()
    ours = _shared(base)
    for name, config in others:
        theirs = _shared(config)
        if differing := [field for field in ours if theirs[field] != ours[field]]:
            field = differing[0]
            raise UsageError(
                f"runs that are trained together share {field}, but it is {ours[field]} in {first} "
                f"and {theirs[field]} in {name}; train each by a command of its own"
            )


def _shared(config: RunConfig) -> dict[str, Any]:
    """What runs that are trained together have in common."""
    data, evaluation = config.data, config.evaluation
    optim = to_dict(replace(config.optim, **FREE_OPTIM))
    return {
        **{f"model.{name}": value for name, value in to_dict(config.model).items()},
        **{f"optim.{name}": value for name, value in optim.items()},
        "data.exemplars.n_classes": data.exemplars.n_classes,
        "data.context": data.context,
        "data.batch_size": data.batch_size,
        "evaluation.every": evaluation.every,
        "precision": config.precision,
        "n_steps": config.n_steps,
        "checkpoint_every": config.checkpoint_every,
        "checkpoint_at": config.checkpoint_at,
        "checkpoints_per_decade": config.checkpoints_per_decade,
    }


def create_ensemble(path: Path, configs: dict[str, RunConfig], machine: Machine) -> list[RunFolder]:
    """Make a folder of run folders; a path that holds anything already raises `UsageError`."""
    check_new_folder(path)
    runs = [create_run(path / name, config, machine) for name, config in configs.items()]
    write_json(path / ENSEMBLE, {"runs": list(configs)})  # last: what is there is whole
    return runs


def load_runs(path: Path) -> list[RunFolder]:
    """The runs of an ensemble's folder, or the one of a run's folder."""
    index = path / ENSEMBLE
    if not index.exists():
        return [load_run(path)]
    try:
        names = json.loads(index.read_text())["runs"]
        if not (names and isinstance(names, list) and all(isinstance(n, str) for n in names)):
            raise ValueError("expected a list of names")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{index} is damaged ({error}); resume its runs one by one, or start anew"
        ) from error
    missing = [name for name in names if not (path / name).is_dir()]
    if missing:
        raise UserError(
            f"{path} lacks the run {missing[0]}, which {ENSEMBLE} lists; put it back, or give the "
            "folders of the others one by one"
        )
    return [load_run(path / name) for name in names]


def load_siblings(run: RunFolder) -> list[RunFolder]:
    """A run and those beside it in an ensemble's folder which can be read and have not diverged."""
    siblings = [run]
    for path in run.shared.glob(f"*/{MANIFEST}") if run.shared != run.path else ():
        try:
            sibling = load_run(path.parent)
        except UserError:
            continue  # whoever names it is told
        if sibling.path != run.path and sibling.recorded()["status"] != "diverged":
            siblings.append(sibling)
    return siblings
