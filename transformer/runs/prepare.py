"""What runs refer to, looked up and checked before a folder is made."""

import math
from dataclasses import replace

from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig, StartConfig
from transformer.data.exemplar_sets import Exemplars, load_exemplars, with_recorded_content
from transformer.runs.warm_start import check_warm_start, read_warm_start
from transformer.training.ensemble import source_of
from transformer.training.memory import all_shapes, check_size

Start = tuple[StartConfig, dict[str, Tensor]] | None  # as `read_warm_start` gives it


def prepare(configs: list[RunConfig], device: str) -> tuple[list[RunConfig], dict[str, Exemplars]]:
    """The configs with what they refer to filled in, and their exemplars, each set once."""
    starts = [read_warm_start(config.start) if config.start.given else None for config in configs]
    loaded = load_each(configs)
    sources = [source_of(config) for config in configs]
    check_runs(configs, starts, [loaded[source].d_features for source in sources], device)
    fingerprints = {source: each.fingerprint() for source, each in loaded.items()}
    ready, exemplars = [], {}
    for config, start, source in zip(configs, starts, sources, strict=True):
        read = with_recorded_content(config.data.exemplars, fingerprints[source])
        data = replace(config.data, exemplars=read)
        config = replace(config, data=data, start=start[0] if start else config.start)
        found = tuple(each.resolved() for each in config.interventions)
        ready.append(replace(config, interventions=found))
        exemplars[source_of(ready[-1])] = loaded[source]
    return ready, exemplars


def check_runs(
    configs: list[RunConfig], starts: list[Start], d_features: list[int], device: str
) -> None:
    """Raise `UsageError` unless runs can be trained together on exemplars of so many features."""
    if len(set(d_features)) > 1:
        raise UsageError(
            f"the exemplars have {sorted(set(d_features))} features, but runs that are trained "
            "together have as many; train them apart"
        )
    for config, start in zip(configs, starts, strict=True):
        _check_encoder(config, d_features[0])
        if start is not None:
            check_warm_start(*start, all_shapes(config, d_features[0]))
    check_size(configs, d_features[0], device)


def load_each(configs: list[RunConfig]) -> dict[str, Exemplars]:
    """The exemplars of configs, each set once, by `source_of`."""
    sources = {source_of(config): config.data.exemplars for config in configs}
    return {source: load_exemplars(each) for source, each in sources.items()}


def _check_encoder(config: RunConfig, d_features: int) -> None:
    """Raise `UsageError` if the encoder cannot read the exemplars, or so many features."""
    exemplars = config.data.exemplars
    if config.model.encoder == "resnet" and not exemplars.may_be_images:
        raise UsageError(
            f"the ResNet encoder reads images, but exemplars of {type(exemplars).__name__} are "
            "none; choose --model.encoder linear"
        )
    if config.model.encoder == "resnet" and math.isqrt(d_features) ** 2 != d_features:
        raise UsageError(
            f"the ResNet encoder reads square images, but the exemplars have {d_features} "
            "features; choose the linear encoder"
        )
