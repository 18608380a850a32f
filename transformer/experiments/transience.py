"""The runs of the transience paper (Singh et al. 2023).

All models have MLPs, 8 pairs in context and bursts of 3.  Values that the paper does not state are
marked "chosen here".

- Scale *paper*: 12 layers, 1,600 Omniglot characters at 105 x 105 through a jointly trained ResNet,
  warm-up and inverse square root to 3e-4, 50 million steps.
- Scale *gpu*: the same model and data, 500,000 steps at a constant 3e-4 after the warm-up (chosen
  here: the paper's schedule has fallen to 2.7e-5 by then, and ICL would fade later).
- Scale *cpu*: 2 layers, a linear map of standardised 28 x 28 pixels, 6,400 classes, Adam at a
  constant 6e-4 (chosen here: with 1,600 classes such models learn CIWL at once and no ICL).
  Features of a frozen network have a rate of 1e-3 (chosen here: at 6e-4 ICL comes late).
- Scale *smoke*: 16 classes of procedural glyphs and 40 steps, in which nothing is learnt.

No drawing stands twice in a sequence (Chan et al. draw the two extra items apart), except in
`matched`, with fewer than 9 exemplars of a class, and on features and tokens, which have the
sampler of the coopetition paper.
The ResNet's batch norms span the 288 images of a batch (on eight devices, as Chan et al. trained,
36 each).
"""

from dataclasses import dataclass, replace
from typing import Any

from transformer.config import (
    DataConfig,
    EvaluationConfig,
    ExemplarConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
)
from transformer.config.model import Encoder
from transformer.config.run import Scale
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.data.exemplars.tokens import TokenConfig
from transformer.experiments.presets import (
    SCALES,
    Preset,
    register_presets,
    with_data,
    with_model,
    with_optim,
)

SEEDS = (5, 6, 7)
P_BURSTY = (0.5, 0.9, 1.0)  # chosen here
DEPTHS = (2, 4, 6, 12)  # chosen here
EXEMPLARS = (1, 5, 10, 20)  # chosen here
CLASSES = (1600, 3200, 6400, 12800)  # the ends are the paper's
L2 = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)  # chosen here; the paper's threshold is 1e-4
ZIPF = (0.5, 1.0, 1.5, 2.0)  # chosen here
WIDTHS = (32, 64, 128)
MODULE_L2 = 1e-4  # chosen here
BATCH_FACTOR = 4  # chosen here
FROZEN_RATE = 1e-3  # chosen here, at scale cpu
# lengths at scale cpu, over the default run's: each run takes at most 15 minutes of one core
CPU_LENGTHS = {
    "l2_3e-05": 1.7,
    "l2_0.0001": 1.7,
    "matched": 1.7,
    "depth_6": 0.65,
    "depth_12": 0.35,
    "classes_12800": 1.5,
    "width_32_icl_only": 0.5,
    "width_32_iwl_only": 0.5,
    "width_64_icl_only": 0.5,
    "width_64_iwl_only": 0.5,
    "width_128": 0.9,
    "width_128_icl_only": 0.5,
    "width_128_iwl_only": 0.5,
    "resnet": 0.08,
    "l2_mlp": 0.08,
    "l2_attention": 0.08,
    "l2_encoder": 0.08,
}
# steps at scale cpu of runs that may keep ICL: three times the default run's half-decay
LONG_STEPS = {"l2_3e-05": 72_250, "l2_0.0001": 72_250, "matched": 72_250}
RESNET_DRAWINGS = OmniglotConfig(n_classes=1600, standardised=True)  # chosen here, at scale cpu
RESNET_RATE = 1e-3  # likewise
N_EXEMPLARS = 20  # of features
CLUSTERING_SEEDS = (4, 5)
# classes by exemplars of a class; at scale cpu as many as all-MiniLM-L6-v2 has such clusters
TOKEN_CLASSES: dict[Scale, dict[int, int]] = {
    "paper": {10: 1600, 5: 3200},
    "gpu": {10: 1600, 5: 3200},
    "cpu": {10: 1200, 5: 1600},
    "smoke": {10: 16, 5: 32},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Size of the default run of a scale."""

    exemplars: ExemplarConfig
    n_layers: int = 2
    encoder: Encoder = "linear"
    optim: OptimConfig
    n_steps: int
    every: int
    """Steps between two evaluations."""
    n_sequences: int = 1000
    """Sequences of each evaluator."""
    n_checkpoints: int
    batch_size: int = 32
    fewer: int = 1
    """Divides the numbers of classes of sweeps."""


SIZES: dict[Scale, Size] = {
    "paper": Size(
        exemplars=OmniglotConfig(n_classes=1600, side=105),
        n_layers=12,
        encoder="resnet",
        optim=OptimConfig(learning_rate=3e-4, schedule="inverse_sqrt", warmup_steps=4000),
        n_steps=50_000_000,
        every=15625,
        n_checkpoints=100,
    ),
    "gpu": Size(
        exemplars=OmniglotConfig(n_classes=1600, side=105),
        n_layers=12,
        encoder="resnet",
        optim=OptimConfig(learning_rate=3e-4, warmup_steps=4000),
        n_steps=500_000,
        every=2500,
        n_checkpoints=10,
    ),
    "cpu": Size(
        exemplars=OmniglotConfig(n_classes=6400, standardised=True),
        optim=OptimConfig(learning_rate=6e-4),
        n_steps=40_000,
        every=500,
        n_checkpoints=4,
    ),
    "smoke": Size(
        exemplars=GlyphConfig(n_classes=16),
        optim=OptimConfig(learning_rate=1e-3),
        n_steps=40,
        every=4,
        n_sequences=10,
        n_checkpoints=2,
        batch_size=8,
        fewer=100,
    ),
}


def default(scale: Scale) -> RunConfig:
    """Return the setting of figure 1."""
    size = SIZES[scale]
    config = RunConfig(
        model=ModelConfig(
            n_layers=size.n_layers, mlp_ratio=4, positions="sinusoidal", initialiser="paper"
        ),
        data=DataConfig(context=8, burstiness=3, batch_size=size.batch_size),
        optim=size.optim,
        evaluation=EvaluationConfig(
            every=size.every, n_sequences=size.n_sequences, also=("train_burst_2",)
        ),
        n_steps=size.n_steps,
        checkpoint_every=size.n_steps // size.n_checkpoints,
    )
    return _trained_encoder(config, size.exemplars, size.encoder)


def _trained_encoder(config: RunConfig, exemplars: ExemplarConfig, encoder: Encoder) -> RunConfig:
    """Return a run on drawings, with a jointly trained encoder and Chan et al.'s sampler."""
    config = with_model(config, encoder=encoder, attention_bias=True)
    config = with_data(config, distractor_may_match=True, repeats=False)
    return _with_exemplars(config, exemplars)


def _frozen_encoder(scale: Scale, exemplars: ExemplarConfig) -> RunConfig:
    """Return a run at a constant rate on outputs of a frozen network.

    The sampler is that of the coopetition paper.
    """
    config = default(scale)
    config = with_model(config, encoder="linear", attention_bias=False)
    config = with_data(config, distractor_may_match=False, repeats=True)
    config = _with_exemplars(config, exemplars)
    rate = FROZEN_RATE if scale == "cpu" else config.optim.learning_rate
    return with_optim(config, learning_rate=rate, schedule="constant", warmup_steps=0)


def _with_exemplars(config: RunConfig, exemplars: ExemplarConfig) -> RunConfig:
    """Return a run on other exemplars, all of which the evaluators use."""
    evaluation = replace(
        config.evaluation, n_classes=exemplars.n_classes, n_exemplars=exemplars.n_exemplars
    )
    return replace(config, data=config.data.drawn_from(exemplars), evaluation=evaluation)


def _scaled_length(config: RunConfig, factor: float) -> RunConfig:
    """Return a run that is `factor` times as long, with as many evaluations and checkpoints."""
    every = round(factor * config.evaluation.every)
    return replace(
        config,
        evaluation=replace(config.evaluation, every=every),
        n_steps=round(factor * config.n_steps),
        checkpoint_every=round(factor * config.checkpoint_every),
    )


def _bursty(scale: Scale, share: float) -> RunConfig:
    """Return figure 3: a share of bursty sequences, for the length of Chan et al. (2022)."""
    config = default(scale)
    if share < 1:
        config = with_data(config, mixture=(("bursty", share), ("random", 1 - share)))
    return replace(config, n_steps=500_000) if scale == "paper" else config


def _resnet(scale: Scale, **optim: Any) -> RunConfig:
    """Return figure 16: a jointly trained ResNet, at scale cpu on 28 x 28 pixels."""
    config = _trained_encoder(default(scale), SIZES[scale].exemplars, "resnet")
    if scale == "cpu":
        config = _with_exemplars(config, RESNET_DRAWINGS)
        config = with_optim(config, learning_rate=RESNET_RATE)
    return with_optim(config, **optim)


def _large_batch(scale: Scale) -> RunConfig:
    """Return a run with as many sequences and evaluations as the default's, in larger batches."""
    config = default(scale)
    config = with_data(config, batch_size=BATCH_FACTOR * config.data.batch_size)
    config = with_optim(config, warmup_steps=config.optim.warmup_steps // BATCH_FACTOR)
    return _scaled_length(config, 1 / BATCH_FACTOR)


def presets(scale: Scale) -> dict[str, Preset]:
    """Return the runs that need no file, by name, in the order in which a plan trains them."""
    presets: dict[str, Preset] = {}
    base, size = default(scale), SIZES[scale]

    def add(name: str, description: str, config: RunConfig, seeds: tuple[int, ...] = SEEDS) -> None:
        if scale == "cpu":
            config = _scaled_length(config, CPU_LENGTHS.get(name, 1.0))
            config = replace(config, n_steps=LONG_STEPS.get(name, config.n_steps))
        presets[name] = Preset(config=config, description=description, seeds=seeds, together=True)

    def features(n_classes: int) -> RunConfig:
        exemplars = FeatureConfig(n_classes=n_classes // size.fewer, n_exemplars=N_EXEMPLARS)
        return _frozen_encoder(scale, exemplars)

    add("default", "figures 1, 2, 11: the default setting", base)
    add("features_1600", "figure 12: features of a frozen network", features(1600))
    for c in (1e-4, *(each for each in L2 if each != 1e-4)):
        config = with_optim(base, l2=(("all", c),))
        add(f"l2_{c:g}", "figures 8, 15: L2 on all weights", config)
    for n_layers in DEPTHS:
        seeds = SEEDS[:2] if n_layers == max(DEPTHS) else SEEDS
        config = with_model(base, n_layers=n_layers)
        add(f"depth_{n_layers}", "figure 4: depth", config, seeds)
    for n_classes in CLASSES:
        exemplars = size.exemplars.with_fields(n_classes=n_classes // size.fewer)
        add(f"classes_{n_classes}", "figure 6: classes", _with_exemplars(base, exemplars))
    for n in EXEMPLARS:
        config = _with_exemplars(base, size.exemplars.with_fields(n_exemplars=n))
        add(f"exemplars_{n}", "figure 5: exemplars of a class", config)
    for exponent in ZIPF:
        for first in (True, False):
            config = with_data(base, zipf_exponent=exponent, zipf_rarest_first=first)
            name = f"zipf_{exponent:g}" + ("" if first else "_rarest_last")
            rarest = f"class 0 the {'rarest' if first else 'most frequent'}"
            add(name, f"figure 9: Zipf exponent, {rarest}", config)
    for width in WIDTHS:
        config = with_model(base, d_model=width)
        add(f"width_{width}", "figure 10: width", config)
        for mode, name in (("icl_only", "icl_only"), ("no_support", "iwl_only")):
            # two classes fill the context where labels are a pair
            control = with_data(config, mode=mode, burstiness=4, distractor_may_match=False)
            add(f"width_{width}_{name}", "figure 10: control runs on one strategy", control)
    for share in P_BURSTY:
        add(f"p_bursty_{share:g}", "figure 3: P(bursty)", _bursty(scale, share))
    matched = with_data(base, mode="matched", repeats=True)
    add("matched", "matched data: is ICL kept?", matched)
    large_batch = "four times the batch size: does the fade depend on sequences or steps?"
    add("large_batch", large_batch, _large_batch(scale))
    add("features_12800", "figure 12: features of a frozen network", features(12800))
    add("resnet", "figure 16: without L2", _resnet(scale))
    for part in ("mlp", "attention", "encoder"):
        config = _resnet(scale, l2=((part, MODULE_L2),))
        add(f"l2_{part}", "figure 16: L2 on one module", config)
    return presets


def token_presets(scale: Scale) -> dict[str, Preset]:
    """Return the runs that need a file of token embeddings; 2 million steps at scale paper."""
    presets: dict[str, Preset] = {}
    for n_exemplars, n_classes in TOKEN_CLASSES[scale].items():
        for seed in CLUSTERING_SEEDS:
            tokens = TokenConfig(n_classes=n_classes, n_exemplars=n_exemplars, seed=seed)
            config = _frozen_encoder(scale, tokens)
            presets[f"exemplars_{n_exemplars}_clusters_{seed}"] = Preset(
                config=_scaled_length(config, 0.04) if scale == "paper" else config,
                description="figures 7, 13: token embeddings, seed of the clusters",
                seeds=SEEDS,
                together=True,
            )
    return presets


register_presets("transience", presets, SCALES)
register_presets("transience_tokens", token_presets, SCALES)
