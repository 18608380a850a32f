"""Resolve what configs refer to, and check it before a folder is made."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig, StartConfig
from transformer.config.model import in_part
from transformer.data.exemplar_sets import (
    NO_FILE,
    Exemplars,
    load_exemplars,
    with_recorded_content,
)
from transformer.runs.folder import load_run
from transformer.training.cost import all_shapes, check_size
from transformer.training.ensemble import ResolvedRun
from transformer.training.machine import Machine

HALF = "/half"  # ends the id of weights in half precision, which differ from the run's own


def prepare(configs: Sequence[RunConfig], machine: Machine) -> list[ResolvedRun]:
    """Resolve new runs and check that they can be trained together; `UsageError` if not.

    Their evaluation sets are not drawn yet.
    """
    _check_sizes_known(configs)
    check_size([*configs], configs[0].data.exemplars.feature_count(), machine)
    starts = [read_start(config.start) for config in configs]
    loaded = _load_each(configs)
    _check_runs(configs, starts, [each.d_features for each, _ in loaded])
    resolved = []
    for config, (start, parameters), each in zip(configs, starts, loaded, strict=True):
        exemplars, fingerprint = each
        read = with_recorded_content(config.data.exemplars, fingerprint)
        config = replace(
            config,
            data=replace(config.data, exemplars=read),
            start=start,
            interventions=tuple(each.resolved() for each in config.interventions),
        )
        resolved.append(ResolvedRun(config, exemplars, fingerprint, start=parameters))
    return resolved


def resolve_recorded(configs: Sequence[RunConfig], *, with_start: bool) -> list[ResolvedRun]:
    """Resolve runs as their folders record them, for example to resume or evaluate them.

    `with_start` also reads the parameters that they start from, which may no longer exist.
    """
    return [
        ResolvedRun(config, *each, start=read_start(config.start)[1] if with_start else {})
        for config, each in zip(configs, _load_each(configs), strict=True)
    ]


def _load_each(configs: Sequence[RunConfig]) -> list[tuple[Exemplars, str]]:
    """Return exemplars and their fingerprint for each config; equal sets are one object."""
    loaded = {}
    for config in configs:
        if config.data.exemplars not in loaded:
            exemplars = load_exemplars(config.data.exemplars)
            loaded[config.data.exemplars] = exemplars, exemplars.fingerprint()
    return [loaded[config.data.exemplars] for config in configs]


def prepare_forecast(configs: Sequence[RunConfig], machine: Machine) -> list[RunConfig]:
    """Check configs as `prepare` does and fill in the ids of their starts; read no exemplars."""
    _check_sizes_known(configs)
    starts = [
        read_start(config.start) if config.start.path else (config.start, {}) for config in configs
    ]
    features = [config.data.exemplars.feature_count() for config in configs]
    check_size([*configs], features[0], machine)
    _check_runs(configs, starts, features)
    return [replace(c, start=start) for c, (start, _) in zip(configs, starts, strict=True)]


def _check_sizes_known(configs: Sequence[RunConfig]) -> None:
    """Raise `UsageError` if a file that is not given decides the number of exemplars."""
    if any(
        0 in (each.data.exemplars.n_classes, each.data.exemplars.n_exemplars) for each in configs
    ):
        raise UsageError(NO_FILE)


def _check_runs(
    configs: Sequence[RunConfig],
    starts: list[tuple[StartConfig, dict[str, Tensor]]],
    n_features: list[int],
) -> None:
    """Raise `UsageError` unless runs can be trained together on exemplars of `n_features`."""
    d_features = n_features[0]
    if len(set(n_features)) > 1:
        raise UsageError(
            f"the exemplars have {sorted(set(n_features))} features, but runs that are trained "
            "together need the same number; train them apart"
        )
    shapes = all_shapes(configs[0], d_features)
    for config, (start, parameters) in zip(configs, starts, strict=True):
        _check_encoder(config, d_features)
        for name, shape in shapes.items() if parameters else ():
            found = tuple(parameters[name].shape) if name in parameters else "missing"
            if found != shape and any(in_part(name, part) for part in start.parts):
                raise UsageError(
                    f"start.path {start.path} does not fit the model: {name} is {found}, expected "
                    f"{shape}; take over other start.parts than {', '.join(start.parts)}"
                )


def _check_encoder(config: RunConfig, d_features: int) -> None:
    """Raise `UsageError` if the ResNet cannot read the exemplars as square images."""
    exemplars = config.data.exemplars
    is_square = exemplars.may_be_images and math.isqrt(d_features) ** 2 == d_features
    if config.model.encoder == "resnet" and not is_square:
        raise UsageError(
            f"the ResNet encoder reads square images, not the {d_features} features of "
            f"{type(exemplars).__name__}; choose --model.encoder linear"
        )


def read_start(start: StartConfig) -> tuple[StartConfig, dict[str, Tensor]]:
    """Return `start` with the id of its source filled in, and the parameters that it names.

    They come from a checkpoint of a run folder, or from a .safetensors file with the names and
    shapes of `transformer.model.parameters`.  A missing source, or another than `run_id` says,
    raises `UsageError`.
    """
    if not start.given:
        return start, {}
    path = Path(start.path)
    if not start.path or not path.exists():
        what = f"start.path {path} does not exist" if start.path else "start.path is missing"
        raise UsageError(
            f"{what}; give a run's folder"
            + (f" (of run {start.run_id})" if start.run_id else "")
            + ", or a .safetensors file of parameters"
        )
    if path.is_file():
        content = path.read_bytes()
        try:
            tensors = load(content)
        except SafetensorError as error:
            raise UsageError(f"start.path {path} is not a .safetensors file ({error})") from error
        found = hashlib.sha256(content).hexdigest()[:12]
    else:
        run = load_run(path)
        if start.step not in run.steps():
            raise UsageError(
                f"start.step={start.step}: {path} has no such checkpoint; it has {run.steps()}"
            )
        tensors, found = run.checkpoint(start.step).tensors, run.config.run_id()
        if any(value.dtype == torch.float16 for value in tensors.values()):
            found += HALF
    if start.run_id not in ("", found):
        raise UsageError(
            f"start.path {path} holds {found}, but start.run_id={start.run_id}; "
            "give the path of that run"
        )
    return replace(start, path=str(path.resolve()), run_id=found), tensors
