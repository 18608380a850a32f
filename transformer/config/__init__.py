"""Configuration of a run: frozen dataclasses of plain values, one per concern.

A config holds everything that changes the numbers of a run.  Device, threads and compilation do
not: the run's manifest records them.  Exemplar kinds, data modes and evaluators are defined in
`transformer.data` and found by registries.
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
