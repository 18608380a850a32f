"""Variants of a config, and which of them can be trained together."""

import itertools
import json
import re
from dataclasses import replace
from typing import Any

from coopetition.tools.errors import UsageError
from transformer.config.optim import OptimConfig
from transformer.config.plain import to_dict
from transformer.config.run import RunConfig

MAX_NAME = 200  # characters of a folder's name

_DEFAULT = OptimConfig()
# optimiser settings that may differ between runs of one step, each at its default
FREE_OPTIM: dict[str, Any] = {
    name: getattr(_DEFAULT, name)
    for name in (
        "learning_rate",
        "rate_factors",
        "schedule",
        "warmup_steps",
        "decay_steps",
        "clip_norm",
        "l2",
    )
}


def vary(base: RunConfig, axes: dict[str, list[str]]) -> dict[str, RunConfig]:
    """Return runs by name at every combination of values.

    A name is such as `init_seed=5,optim.learning_rate=1e-3`.  Lists and objects appear by their
    words, as in `interventions=Ablate_heads_0_1`, an empty list as `interventions=none`.  Fields
    that do not exist, invalid values, and values given twice raise `UsageError`.

    Parameters
    ----------
    axes : field (`optim.learning_rate`) -> its values, as text
    """
    configs = {}
    for values in itertools.product(*axes.values()):
        name = ",".join(f"{field}={_words(text)}" for field, text in zip(axes, values, strict=True))
        if name in configs:
            raise UsageError(f"that makes the run {name} twice; give each value once")
        if len(name) > MAX_NAME:
            raise UsageError(
                f"that makes a folder name of {len(name)} characters, {name[:40]}...; vary fewer "
                "fields, or by shorter values"
            )
        configs[name] = with_texts(base, dict(zip(axes, values, strict=True)))
    return configs


def with_texts(base: RunConfig, texts: dict[str, str]) -> RunConfig:
    """Return a run with other values, as text by field (`optim.learning_rate`).

    Fields that do not exist, and invalid values, raise `UsageError`.
    """
    data = to_dict(base)
    for field, text in texts.items():
        _set_field(data, field, text)
    return RunConfig.from_dict(data)


def _words(text: str) -> str:
    """Return a value as part of a folder's name."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("_") or "none"


def _set_field(data: dict[str, Any], field: str, text: str) -> None:
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

    They may differ in seeds, learning rates and schedules, penalties, clipping, data modes and
    other settings of sequences, exemplars of one size, starts, frozen parts and interventions.
    """
    if not configs:
        raise UsageError("no runs are given; give the config of at least one")
    (first, base), *others = configs.items()
    ours = _common_settings(base)
    for name, config in others:
        theirs = _common_settings(config)
        if differing := [field for field in ours if theirs[field] != ours[field]]:
            field = differing[0]
            raise UsageError(
                f"runs that are trained together share {field}, but it is {ours[field]} in {first} "
                f"and {theirs[field]} in {name}; train each by a command of its own"
            )


def _common_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that must agree between runs that are trained together."""
    data = config.data
    optim = to_dict(replace(config.optim, **FREE_OPTIM))
    return {
        **{f"model.{name}": value for name, value in to_dict(config.model).items()},
        **{f"optim.{name}": value for name, value in optim.items()},
        "data.exemplars.n_classes": data.exemplars.n_classes,
        "data.context": data.context,
        "data.batch_size": data.batch_size,
        "evaluation.every": config.evaluation.every,
        "precision": config.precision,
        "keep_half": config.keep_half,
        "n_steps": config.n_steps,
        "checkpoint_every": config.checkpoint_every,
        "checkpoint_at": config.checkpoint_at,
        "checkpoints_per_decade": config.checkpoints_per_decade,
    }
