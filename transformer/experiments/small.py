"""Small runs to begin with, and the ones whose curves are kept in the package."""

from transformer.config import DataConfig, EvaluationConfig, ModelConfig, OptimConfig, RunConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.experiments.preset import small


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
