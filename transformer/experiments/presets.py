"""Presets: runs with a name. Each paper has its file in this folder; the runs of none are here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_args

from coopetition.tools.errors import UsageError
from transformer.config import DataConfig, EvaluationConfig, ModelConfig, OptimConfig, RunConfig
from transformer.config.registry import Registry
from transformer.config.run import Scale
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig

SCALES: tuple[Scale, ...] = get_args(Scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named run at one scale."""

    config: RunConfig
    description: str
    """The figures that show it, and how it differs from others."""
    starts_from: str = ""
    """The preset whose checkpoint it starts from; `train` takes that run as `start.path`."""
    seeds: tuple[int, ...] = ()
    """Initial seeds of the runs in the paper's plan; empty: one run with the seed of the config."""
    together: bool = False
    """Whether the plan trains the runs of all seeds in one node."""


@dataclass(frozen=True, slots=True)
class ScaledPreset:
    """A preset at each of its scales."""

    define: Callable[[Scale], Preset]
    scales: tuple[Scale, ...]

    def at(self, scale: Scale) -> Preset:
        """Return the preset at a scale; raise `UsageError` for a scale that it lacks."""
        check_scale(scale, self.scales)
        return self.define(scale)

    def config(self, scale: Scale) -> RunConfig:
        """Return the config at a scale; raise `UsageError` for a scale that it lacks."""
        return self.at(scale).config


PRESETS: Registry[ScaledPreset] = Registry("preset", "transformer.experiments")
"""The presets by name; `preset` adds one."""


def check_scale(scale: Scale, scales: tuple[Scale, ...]) -> None:
    """Raise `UsageError` unless runs exist at a scale."""
    if scale not in scales:
        raise UsageError(f"scale {scale} does not exist here; choose one of {', '.join(scales)}")


def register_presets(
    paper: str, define: Callable[[Scale], dict[str, Preset]], scales: tuple[Scale, ...]
) -> None:
    """Add the presets of a paper, as PAPER/NAME. They have the same names at every scale."""
    define = cache(define)
    for name in define("smoke"):
        entry = ScaledPreset(lambda scale, name=name: define(scale)[name], scales)
        PRESETS.register(f"{paper}/{name}")(entry)


def preset(make: Callable[[], RunConfig]) -> Callable[[], RunConfig]:
    """Register a run of one size, by the name and the docstring's first line of its function."""
    description = (make.__doc__ or "").split("\n")[0]
    entry = ScaledPreset(lambda scale: Preset(config=make(), description=description), SCALES)
    PRESETS.register(make.__name__)(entry)
    return make


def with_data(config: RunConfig, **changes: Any) -> RunConfig:
    """Return the run with changed sequences or exemplars."""
    return replace(config, data=replace(config.data, **changes))


def with_model(config: RunConfig, **changes: Any) -> RunConfig:
    """Return the run with a changed model."""
    return replace(config, model=replace(config.model, **changes))


def with_optim(config: RunConfig, **changes: Any) -> RunConfig:
    """Return the run with a changed optimiser."""
    return replace(config, optim=replace(config.optim, **changes))


@preset
def smoke() -> RunConfig:
    """300 steps on 256 glyph classes, in a few seconds: only tests the installation."""
    return RunConfig(
        data=DataConfig(exemplars=GlyphConfig(n_classes=256)),
        evaluation=EvaluationConfig(every=50, n_sequences=500, n_classes=256),
        n_steps=300,
        checkpoint_every=50,
    )


@preset
def demo() -> RunConfig:
    """Run of `coopetition demo`: ICL emerges and fades on handwriting, within minutes."""
    return RunConfig(
        model=ModelConfig(initialiser="paper"),
        data=DataConfig(exemplars=OmniglotConfig(n_classes=6400, standardised=True)),
        optim=OptimConfig(learning_rate=6e-4),
        n_steps=18000,
    )


@preset
def quick() -> RunConfig:
    """1,500 steps on 1,600 glyph classes, to try out commands: too short to learn anything."""
    return RunConfig(
        data=DataConfig(exemplars=GlyphConfig(n_classes=1600)),
        evaluation=EvaluationConfig(every=50, n_sequences=500),
        n_steps=1500,
        checkpoint_every=500,
    )


@preset
def glyphs() -> RunConfig:
    """44,000 steps on 12,800 glyph classes: ICL emerges and fades, without a data file."""
    return RunConfig(n_steps=44000)


@preset
def omniglot() -> RunConfig:
    """As `coopetition/main` at scale cpu, but on 28 x 28 pixels, for 60,000 steps.

    Initial weights are 12 % narrower than the paper's, and learned positions 50 % wider.
    """
    return RunConfig(data=DataConfig(exemplars=OmniglotConfig()))
