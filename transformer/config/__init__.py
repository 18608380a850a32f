"""What defines a run: frozen dataclasses, one per concern, plain values only.

Everything that changes the numbers of a run is here; device, threads and compilation are not, they
belong to the machine and are recorded in the run's manifest.  Kinds of exemplars, data modes and
evaluators are each a file in `transformer.data`, found by a registry.
"""

from transformer.config.data import DataConfig, ExemplarConfig
from transformer.config.model import ModelConfig
from transformer.config.optim import OptimConfig
from transformer.config.plain import to_dict
from transformer.config.run import EvaluationConfig, RunConfig, StartConfig

__all__ = [
    "DataConfig",
    "EvaluationConfig",
    "ExemplarConfig",
    "ModelConfig",
    "OptimConfig",
    "RunConfig",
    "StartConfig",
    "to_dict",
]
