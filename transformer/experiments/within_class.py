"""Runs of our own: how ICL fares as exemplars vary more within their classes.

Classes are Gaussian, so that `noise`, the deviation within a class over that between classes, is
all that differs between levels; `main` is trained on ordinary data, `icl_only` on data that only
ICL solves, whose loss says how far ICL gets.  Scale *cpu*: 6,400 classes and learning rate 6e-4,
where ICL rises and fades within 24,000 steps; *paper*: the coopetition paper's classes, rate and
length; *smoke*: 128 classes and twenty steps.
"""

from collections.abc import Callable
from dataclasses import replace

from transformer.config import EvaluationConfig, RunConfig
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.experiments.coopetition import base
from transformer.experiments.presets import PRESETS, Preset, Scale, with_data, with_optim

LEVELS = (0.6, 0.67, 0.74, 0.81)
SEEDS = (14, 15, 16)  # not among those with which levels and sizes were chosen (11, 12, 13)
FEATURES = 16  # as many as the main runs' features have; with 64, ICL comes with few seeds
STEPS = {"bursty": 30000, "icl_only": 15000}  # at cpu
CLASSES: dict[Scale, int] = {"paper": 12800, "cpu": 6400, "smoke": 128}


def level(noise: float, mode: str) -> Callable[[Scale], RunConfig]:
    """Runs of a data mode at one level."""

    def make(scale: Scale) -> RunConfig:
        exemplars = GaussianConfig(n_classes=CLASSES[scale], d_features=FEATURES, noise=noise)
        config = with_data(base(scale), exemplars=exemplars, mode=mode)
        if scale != "cpu":
            return config
        return replace(
            with_optim(config, learning_rate=6e-4),
            evaluation=EvaluationConfig(every=300),
            n_steps=STEPS[mode],
            checkpoint_every=STEPS[mode] // 3,
        )

    return make


def presets() -> dict[str, Preset]:
    """Both modes at every level, by name."""
    return {
        f"{name}_{noise}": Preset(level(noise, mode), f"{what}, noise {noise}", seeds=SEEDS)
        for name, mode, what in (
            ("main", "bursty", "ordinary data"),
            ("icl_only", "icl_only", "data that only ICL solves"),
        )
        for noise in LEVELS
    }


for name, preset in presets().items():
    PRESETS.register(f"within_class/{name}")(preset)
