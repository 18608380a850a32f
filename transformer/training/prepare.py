"""What runs refer to, looked up and checked before a folder is made."""

import math
from dataclasses import replace

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.data.exemplar_sets import Exemplars, as_read, load_exemplars
from transformer.runs.warm_start import check_warm_start, read_warm_start
from transformer.training.ensemble import shapes_of, source_of
from transformer.training.memory import check_size


def prepare(configs: list[RunConfig], device: str) -> tuple[list[RunConfig], dict[str, Exemplars]]:
    """The configs with what they refer to filled in, and their exemplars, each set once."""
    starts = [read_warm_start(config.start) if config.start.given else None for config in configs]
    ready, exemplars = [], load_each(configs)
    fingerprints = {source: each.fingerprint() for source, each in exemplars.items()}
    for config, start in zip(configs, starts, strict=True):
        shown = exemplars[source_of(config)]
        check_encoder(config, shown.d_features)
        read = as_read(config.data.exemplars, fingerprints[source_of(config)])
        found = replace(config, data=replace(config.data, exemplars=read))
        if start is not None:
            found = replace(found, start=start[0])
            check_warm_start(found.start, start[1], shapes_of(found, shown.d_features))
        exemplars[source_of(found)] = shown
        ready.append(found)
    d_features = {exemplars[source_of(config)].d_features for config in ready}
    check_same_features(d_features)
    check_size(ready, d_features.pop(), device)
    return ready, exemplars


def load_each(configs: list[RunConfig]) -> dict[str, Exemplars]:
    """The exemplars of configs, each set once, by `source_of`."""
    sources = {source_of(config): config.data.exemplars for config in configs}
    return {source: load_exemplars(each) for source, each in sources.items()}


def check_same_features(d_features: set[int]) -> None:
    """Raise `UsageError` unless the exemplars of runs that are trained together are as long."""
    if len(d_features) > 1:
        raise UsageError(
            f"the exemplars have {sorted(d_features)} features, but runs that are trained together "
            "have as many; train them apart"
        )


def check_encoder(config: RunConfig, d_features: int) -> None:
    """Raise `UsageError` if the encoder cannot read so many features."""
    if config.model.encoder == "resnet" and math.isqrt(d_features) ** 2 != d_features:
        raise UsageError(
            f"the ResNet encoder reads square images, but the exemplars have {d_features} "
            "features; choose the linear encoder"
        )
