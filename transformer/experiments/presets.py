"""What a named run is; each paper has its file in this folder, and so have the small ones.

Small runs to begin with, and the ones whose curves are kept in the package.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

from coopetition.tools.errors import UsageError
from transformer.config import DataConfig, EvaluationConfig, ModelConfig, OptimConfig, RunConfig
from transformer.config.registry import Registry
from transformer.config.run import Scale
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig


@dataclass(frozen=True, slots=True)
class Preset:
    """A run by name."""

    make: Callable[[Scale], RunConfig]
    description: str
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
                f"scale {scale} is not among those of this run ({self.description}); choose one of "
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


@small
def smoke() -> RunConfig:
    """300 steps on 256 glyph classes: does everything work? Some seconds."""
    return RunConfig(
        data=DataConfig(exemplars=GlyphConfig(n_classes=256)),
        evaluation=EvaluationConfig(every=50, n_sequences=500, n_classes=256),
        n_steps=300,
        checkpoint_every=50,
    )


@small
def demo() -> RunConfig:
    """`coopetition demo`: ICL on handwriting rises and is replaced, in minutes."""
    return RunConfig(
        model=ModelConfig(initialiser="paper"),
        data=DataConfig(exemplars=OmniglotConfig(n_classes=6400, standardised=True)),
        optim=OptimConfig(learning_rate=6e-4),
        n_steps=18000,
    )


@small
def quick() -> RunConfig:
    """1,500 steps on 1,600 glyph classes, before anything is learnt: for trying things out."""
    return RunConfig(
        data=DataConfig(exemplars=GlyphConfig(n_classes=1600)),
        evaluation=EvaluationConfig(every=50, n_sequences=500),
        n_steps=1500,
        checkpoint_every=500,
    )


@small
def glyphs() -> RunConfig:
    """12,800 glyph classes, 44,000 steps: the rise and fall of ICL on data that needs no file."""
    return RunConfig(n_steps=44000)


@small
def omniglot() -> RunConfig:
    """`coopetition/main` at scale cpu for 60,000 steps, but on 28 x 28 pixels, and with initial
    values that are 12 % narrower than the paper's (positions half as wide again): kept curves.
    """
    return RunConfig(data=DataConfig(exemplars=OmniglotConfig()))
