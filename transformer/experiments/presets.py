"""Named runs: small ones to begin with, then those of the papers."""

from collections.abc import Callable

from transformer.config import DataConfig, EvaluationConfig, RunConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.experiments import coopetition, transience
from transformer.experiments.preset import Preset


def smoke() -> RunConfig:
    """300 steps on 256 glyph classes: does everything work? Some seconds."""
    return RunConfig(
        data=DataConfig(exemplars=GlyphConfig(n_classes=256)),
        evaluation=EvaluationConfig(every=50, n_sequences=500, n_classes=256),
        n_steps=300,
        checkpoint_every=50,
    )


def glyphs() -> RunConfig:
    """12,800 glyph classes, 44,000 steps: the rise and fall of ICL on data that needs no file."""
    return RunConfig(n_steps=44000)


def quick() -> RunConfig:
    """1,500 steps on 1,600 glyph classes: the demo's short version, before anything is learnt."""
    return RunConfig(
        data=DataConfig(exemplars=GlyphConfig(n_classes=1600)),
        evaluation=EvaluationConfig(every=50, n_sequences=500),
        n_steps=1500,
    )


def omniglot() -> RunConfig:
    """The coopetition paper's main run on Omniglot pixels, 60,000 steps; give the data's path."""
    return RunConfig(data=DataConfig(exemplars=OmniglotConfig()))


def _small(make: Callable[[], RunConfig]) -> Preset:
    return Preset(lambda scale: make(), (make.__doc__ or "").splitlines()[0])


PRESETS: dict[str, Preset] = {
    make.__name__: _small(make) for make in (smoke, quick, glyphs, omniglot)
}
for paper, presets in (("coopetition", coopetition.PRESETS), ("transience", transience.PRESETS)):
    PRESETS |= {f"{paper}/{name}": preset for name, preset in presets.items()}
