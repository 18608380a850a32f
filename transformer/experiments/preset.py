"""What a named run is; each paper has its file in this folder, and so have the small ones."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.config.registry import Registry
from transformer.config.scale import Scale


@dataclass(frozen=True, slots=True)
class Preset:
    """A run by name."""

    make: Callable[[Scale], RunConfig]
    what: str
    """Where it belongs, and what is special about it."""
    after: str = ""
    """The preset whose checkpoint it starts from; its folder is to be given as `start.path`."""
    seeds: tuple[int, ...] = ()
    """Initial seeds of which the paper's plan has a run each; only the config's own without."""
    together: bool = False
    """Whether the plan trains the runs of all seeds as one, in one node."""
    scales: tuple[Scale, ...] = ("smoke", "cpu", "paper")
    """Scales that `make` takes."""

    def config(self, scale: Scale) -> RunConfig:
        """Return the run at a scale; raise `UsageError` for a scale that it does not have."""
        if scale not in self.scales:
            raise UsageError(
                f"scale {scale} is not among those of this run ({self.what}); choose one of "
                + ", ".join(self.scales)
            )
        return self.make(scale)


PRESETS: Registry[Preset] = Registry("preset", "transformer.experiments")


def small(make: Callable[[], RunConfig]) -> Callable[[], RunConfig]:
    """A decorator that registers a run of one scale, by its name and the start of its docstring."""
    what = " ".join((make.__doc__ or "").split("\n\n")[0].split())
    preset = Preset(lambda scale: make(), what, scales=get_args(Scale))
    PRESETS.register(make.__name__)(preset)
    return make


def with_data(config: RunConfig, **changes: Any) -> RunConfig:
    """The same run with other sequences or exemplars."""
    return replace(config, data=replace(config.data, **changes))


def with_model(config: RunConfig, **changes: Any) -> RunConfig:
    """The same run with another model."""
    return replace(config, model=replace(config.model, **changes))


def with_optim(config: RunConfig, **changes: Any) -> RunConfig:
    """The same run with another optimiser."""
    return replace(config, optim=replace(config.optim, **changes))
