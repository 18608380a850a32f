"""Sequences on which in-context and in-weights strategies answer differently."""

from transformer.config.data import DataConfig
from transformer.config.evaluators import evaluator
from transformer.data.evaluators.icl import two_classes


@evaluator("flip", standing=True, brief=True, stream=3)
def flip(data: DataConfig) -> DataConfig:
    """Two classes with their labels swapped: 1 for ICL, 0 for either in-weights strategy."""
    return two_classes(data, "flip")
