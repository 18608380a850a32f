"""Sequences that in-weights learning alone solves."""

from transformer.config.data import DataConfig
from transformer.config.evaluators import evaluator
from transformer.data.evaluators.icl import plain


@evaluator("iwl", standing=True, stream=4)
def iwl(data: DataConfig) -> DataConfig:
    """Distinct other classes, true labels, the query's absent: IWL over all labels."""
    return plain(data, "no_support")
