"""What a named run is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from transformer.config import RunConfig

Scale = Literal["paper", "cpu"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A run by name."""

    make: Callable[[Scale], RunConfig]
    what: str
    """Where it belongs, and what is special about it."""
    after: str = ""
    """The preset whose checkpoint it starts from; its folder is to be given as `start.path`."""


def with_data(config: RunConfig, **changes: Any) -> RunConfig:
    """The same run with other sequences or exemplars."""
    return replace(config, data=replace(config.data, **changes))


def with_model(config: RunConfig, **changes: Any) -> RunConfig:
    """The same run with another model."""
    return replace(config, model=replace(config.model, **changes))


def with_optim(config: RunConfig, **changes: Any) -> RunConfig:
    """The same run with another optimiser."""
    return replace(config, optim=replace(config.optim, **changes))
