"""Runs of our own: how ICL depends on the variation of exemplars within their classes.

Classes are Gaussian. Levels differ in `noise` alone: the standard deviation within a class over
that between classes. `main` is trained on ordinary data. The controls `icl_only` and `ciwl_only`
are trained on data that only ICL or only in-weights strategies solve: their errors say how well
ICL and CIWL can do.

- Scale *cpu*: 6,400 classes and learning rate 6e-4, where ICL rises and fades within 24,000 steps.
- Scale *paper*: the coopetition paper's classes, rate and length.
- Scale *smoke*: 128 classes and twenty steps.
"""

from dataclasses import replace

from transformer.config import EvaluationConfig, RunConfig
from transformer.config.run import Scale
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.experiments.coopetition import SCALES, base
from transformer.experiments.presets import Preset, register_presets, with_data, with_optim

LEVELS = (0.6, 0.67, 0.74, 0.81)
SEEDS = (14, 15, 16)  # levels and sizes were chosen with others (11, 12, 13)
N_FEATURES = 16  # as the features of the main runs; with 64, ICL comes with few seeds
CPU_STEPS = {"bursty": 30000, "icl_only": 15000, "ciwl_only": 30000}
N_CLASSES: dict[Scale, int] = {"paper": 12800, "cpu": 6400, "smoke": 128}


def presets(scale: Scale) -> dict[str, Preset]:
    """Return all modes at every level, by name."""
    return {
        f"{name}_{noise}": Preset(
            config=_level(noise, mode, scale),
            description=f"{description}, noise {noise}",
            seeds=SEEDS,
        )
        for name, mode, description in (
            ("main", "bursty", "ordinary data"),
            ("icl_only", "icl_only", "data that only ICL solves"),
            ("ciwl_only", "ciwl_only", "data that only CIWL and IWL solve"),
        )
        for noise in LEVELS
    }


def _level(noise: float, mode: str, scale: Scale) -> RunConfig:
    exemplars = GaussianConfig(n_classes=N_CLASSES[scale], d_features=N_FEATURES, noise=noise)
    config = with_data(base(scale), exemplars=exemplars, mode=mode)
    if scale != "cpu":
        return config
    n_steps = CPU_STEPS[mode]
    return replace(
        with_optim(config, learning_rate=6e-4),
        evaluation=EvaluationConfig(every=300),
        n_steps=n_steps,
        checkpoint_every=n_steps // 3,
    )


register_presets("within_class", presets, SCALES)
