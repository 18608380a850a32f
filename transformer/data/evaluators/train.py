"""Sequences as in training, of the bursty kind."""

from dataclasses import replace

from transformer.config.data import DataConfig
from transformer.config.evaluators import evaluator


def as_trained(data: DataConfig) -> DataConfig:
    """The training context, bursty and drawn uniformly, whatever the mode."""
    return replace(
        data,
        mode="bursty",
        mixture=(),
        repeats=True,
        zipf_exponent=0.0,
        zipf_rarest_first=False,
        noise=0.0,
    )


@evaluator("train", standing=True, stream=0)
def train(data: DataConfig) -> DataConfig:
    """The training context, bursty in every mode; true labels; every strategy solves it."""
    return as_trained(data)
