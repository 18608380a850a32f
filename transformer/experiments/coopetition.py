"""The runs of the coopetition paper (Singh et al. 2025), main text and appendix.

Scale *paper*: 12,800 classes as ResNet-18 features (`python -m transformer embed`), learning rate
1e-5, 64 million sequences.  Scale *cpu*: the same classes as 28 x 28 Omniglot pixels, learning
rate 1e-4 and a tenth of the sequences: ICL emerges and fades some ten times as early (README).
The 12-layer runs have the paper's rate, 3e-4, at both, and 60,000 steps at scale cpu.  Initial
values are the paper's at both; the preset `omniglot`, whose curves are kept, has narrower ones.
A run that starts from another's checkpoint counts its own sequences, from 0.

Not among them are the two runs that train under an intervention (no previous-token attention;
three heads ablated).
"""

import math
from collections.abc import Callable
from dataclasses import replace

from transformer.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    StartConfig,
)
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.experiments.preset import PRESETS, Preset, Scale, with_data, with_model, with_optim

BATCH = 32
FASTER = 10  # at scale cpu
MILLION = 10**6
# millions of sequences of CIWL-only training after which others start
GRAFTED_AT = (4, 8, 9.75, 9.8, 15, 20, 25, 31.5, 32, 48, 64)
RESUMED_AT = (4, 5, 6, 7, 8, 9, 10, 12, 16)
CLAMPED_AT = 20  # of the main run, for the ICL-only run with its second half
KEPT_AT = (4.25, 7.75, 15, 20, 64)  # of the main run, for figures


def steps(millions: float, scale: Scale) -> int:
    """Steps in which so many millions of the paper's sequences are seen."""
    return math.ceil(millions * MILLION / BATCH / (1 if scale == "paper" else FASTER))


def base(scale: Scale, millions: float = 64, kept_at: tuple[float, ...] = ()) -> RunConfig:
    """The main run's settings, for so many of the paper's millions of sequences."""
    if scale == "paper":
        return RunConfig(
            model=ModelConfig(initialiser="paper"),
            data=DataConfig(exemplars=FeatureConfig(n_classes=12800, n_exemplars=20)),
            optim=OptimConfig(learning_rate=1e-5),
            evaluation=EvaluationConfig(every=steps(0.1, scale), n_sequences=5000),
            n_steps=steps(millions, scale),
            checkpoint_every=steps(16, scale),
            checkpoint_at=_at(kept_at, scale),
        )
    return RunConfig(
        model=ModelConfig(initialiser="paper"),
        data=DataConfig(exemplars=OmniglotConfig()),
        n_steps=steps(millions, scale),
        checkpoint_every=steps(16, scale),
        checkpoint_at=_at(kept_at, scale),
    )


def _at(millions: tuple[float, ...], scale: Scale) -> tuple[int, ...]:
    return tuple(steps(each, scale) for each in millions)


def main(scale: Scale) -> RunConfig:
    """The main run, with checkpoints for the histories of figures 3 and 14.

    At scale paper one every 100,000 sequences (the paper's 50,000 are not a whole number of
    batches); at scale cpu one every 250,000 of the paper's 20 million, 12 of them between emergence
    and fade, 1.7 GB in all.
    """
    if scale == "paper":
        return replace(base(scale, kept_at=KEPT_AT), checkpoint_every=steps(0.1, scale))
    return base(scale, kept_at=tuple(sorted({*KEPT_AT, *(k / 4 for k in range(1, 81))})))


def ciwl_only(scale: Scale) -> RunConfig:
    """CIWL-only data, with the checkpoints that grafts and resumed runs start from."""
    kept = tuple(sorted({*GRAFTED_AT, *RESUMED_AT}))
    return with_data(base(scale, kept_at=kept), mode="ciwl_only")


def icl_only(scale: Scale) -> RunConfig:
    """ICL-only data."""
    return with_data(base(scale), mode="icl_only")


def grafted(millions: float) -> Callable[[Scale], RunConfig]:
    """ICL-only training with everything after the first layer taken over, and kept as it is."""

    def make(scale: Scale) -> RunConfig:
        start = StartConfig(step=steps(millions, scale), parts=("output.0",))
        return replace(icl_only(scale), start=start, frozen=("output.0",))

    return make


def resumed(millions: float) -> Callable[[Scale], RunConfig]:
    """Ordinary training for 32 million sequences from the weights of a CIWL-only run."""

    def make(scale: Scale) -> RunConfig:
        return replace(base(scale, 32), start=StartConfig(step=steps(millions, scale)))

    return make


def matched(scale: Scale) -> RunConfig:
    """Query and context show the same drawing."""
    return with_data(base(scale, 20), mode="matched")


def deep(scale: Scale) -> RunConfig:
    """12 layers with MLPs and sinusoidal positions, 8 pairs in context."""
    config = base(scale, 400)
    exemplars = config.data.exemplars
    n_steps = config.n_steps if scale == "paper" else 60000
    config = with_data(config, context=8, burstiness=3)
    config = with_model(config, n_layers=12, mlp_ratio=4, positions="sinusoidal")
    return replace(
        with_optim(config, learning_rate=3e-4),
        evaluation=EvaluationConfig(
            every=steps(2, scale) if scale == "paper" else 1000,
            n_classes=exemplars.n_classes,
            n_exemplars=exemplars.n_exemplars,
        ),
        n_steps=n_steps,
        checkpoint_every=n_steps // 10,
    )


def deep_matched(scale: Scale) -> RunConfig:
    """`deep` on matched data."""
    return with_data(deep(scale), mode="matched")


def seeded(init_seed: int, data_seed: int) -> Callable[[Scale], RunConfig]:
    """The main run's settings with other seeds."""
    return lambda scale: replace(base(scale), init_seed=init_seed, data_seed=data_seed)


def positioned(positions: str) -> Callable[[Scale], RunConfig]:
    """The main run's settings with positions that are not learned."""
    return lambda scale: with_model(base(scale), positions=positions)


def sized(
    n_classes: int, n_exemplars: int, millions: float, mlp_ratio: int = 0
) -> Callable[[Scale], RunConfig]:
    """The main run's settings on a part of the data."""

    def make(scale: Scale) -> RunConfig:
        config = base(scale, millions)
        exemplars = config.data.exemplars.changed(n_classes=n_classes, n_exemplars=n_exemplars)
        return with_model(with_data(config, exemplars=exemplars), mlp_ratio=mlp_ratio)

    return make


def shallow(scale: Scale) -> RunConfig:
    """One layer."""
    return with_model(base(scale), n_layers=1)


def presets() -> dict[str, Preset]:
    """All of them by name."""
    presets = {
        "main": Preset(main, "figures 1-3, 5, 7, 14: the main run"),
        "ciwl_only": Preset(ciwl_only, "figure 4: CIWL-only data"),
        "icl_only": Preset(icl_only, "figure 4a: ICL-only data"),
        "icl_only_clamped": Preset(
            grafted(CLAMPED_AT), "figure 4a: ICL-only, second half that of main", "coopetition/main"
        ),
    }
    for millions in GRAFTED_AT:
        presets[f"grafted_{millions:g}M"] = Preset(
            grafted(millions),
            f"figure 4b: ICL-only, second half that of CIWL-only at {millions:g}M",
            "coopetition/ciwl_only",
        )
    for millions in RESUMED_AT:
        presets[f"resumed_{millions:g}M"] = Preset(
            resumed(millions),
            f"figure 4c: from CIWL-only at {millions:g}M (add these to its own) on ordinary data",
            "coopetition/ciwl_only",
        )
    presets |= {
        "matched": Preset(matched, "figure 6: matched data"),
        "deep": Preset(deep, "figure 6: 12 layers"),
        "deep_matched": Preset(deep_matched, "figure 6: 12 layers, matched data"),
        "long": Preset(lambda scale: base(scale, 320), "figure 11: five times as long"),
    }
    for init_seed, data_seed in ((5, 3), (5, 4), (6, 2), (6, 3), (7, 2)):
        presets[f"seeds_{init_seed}_{data_seed}"] = Preset(
            seeded(init_seed, data_seed), "figure 7: other seeds (init, data)"
        )
    for positions in ("sinusoidal", "rotary"):
        presets[positions] = Preset(positioned(positions), f"figure 8: {positions} positions")
    for n_classes, n_exemplars in ((12800, 20), (12800, 5), (1600, 20), (1600, 5)):
        name = f"{n_classes}x{n_exemplars}"
        if name != "12800x20":
            presets[name] = Preset(
                sized(n_classes, n_exemplars, 100), "figure 9: classes x exemplars"
            )
        presets[f"mlp_{name}"] = Preset(
            sized(n_classes, n_exemplars, 320, mlp_ratio=4), "figure 10: the same with MLPs"
        )
    presets["one_layer"] = Preset(shallow, "figure 13: one layer")
    return presets


for name, preset in presets().items():
    PRESETS.register(f"coopetition/{name}")(preset)
