"""Sequences that the weights solve with the labels in context: no drawing in context helps."""

import numpy as np

from transformer.config.data import DataConfig
from transformer.config.modes import mode
from transformer.data.modes.no_support import absent_query, no_support
from transformer.data.sequences import Arrays, Pool


@mode("ciwl_only", needs=absent_query)
def ciwl_only(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`no_support` with the query's label in place of one of those in context: CIWL, IWL."""
    exemplars, labels, query = no_support(rng, pool, config, n)
    labels[rng.integers(0, len(labels), n), np.arange(n)] = query
    return exemplars, labels, query
