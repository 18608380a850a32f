"""Sequences as in training with bursts of two (the published code's `b2_train_eval`)."""

from dataclasses import replace

from transformer.config.data import DataConfig
from transformer.config.evaluators import evaluator
from transformer.data.evaluators.train import as_trained


@evaluator("train_burst_2")
def train_burst_2(data: DataConfig) -> DataConfig:
    """As `train`, with the query's class and the distractor twice each in context."""
    return replace(as_trained(data), burstiness=2)
