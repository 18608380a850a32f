"""Sequences that context-constrained in-weights learning solves, and ICL does not."""

from transformer.config.data import DataConfig
from transformer.config.evaluators import evaluator
from transformer.data.evaluators.icl import plain


@evaluator("ciwl", standing=True, brief=True, stream=2)
def ciwl(data: DataConfig) -> DataConfig:
    """Distinct other classes, one label overwritten by the query's: 1 for CIWL, chance for ICL."""
    return plain(data, "ciwl_only")
