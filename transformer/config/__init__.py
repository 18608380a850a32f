"""What defines a run: frozen dataclasses, one per concern, plain values only.

Everything that changes the numbers of a run is here; device, threads and compilation are not, they
belong to the machine and are recorded in the run's manifest.
"""

from transformer.config.data import DataConfig, Mode
from transformer.config.exemplars import (
    ExemplarConfig,
    FeatureConfig,
    GaussianConfig,
    GlyphConfig,
    OmniglotConfig,
    OneHotConfig,
    TokenConfig,
)
from transformer.config.model import ModelConfig
from transformer.config.optim import OptimConfig
from transformer.config.plain import to_dict
from transformer.config.run import EvaluationConfig, RunConfig, StartConfig

__all__ = [
    "DataConfig",
    "EvaluationConfig",
    "ExemplarConfig",
    "FeatureConfig",
    "GaussianConfig",
    "GlyphConfig",
    "Mode",
    "ModelConfig",
    "OmniglotConfig",
    "OneHotConfig",
    "OptimConfig",
    "RunConfig",
    "StartConfig",
    "TokenConfig",
    "to_dict",
]
